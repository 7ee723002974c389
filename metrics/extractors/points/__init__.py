"""Points followed through a clip, and what FVMD makes of their motion."""
