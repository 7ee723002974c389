"""From clips and captions to features: one file or folder for each backbone."""
