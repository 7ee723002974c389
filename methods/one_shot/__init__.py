"""Methods that are tuned on one clip and edit it: Tune-A-Video, and what SimDA's editing shares with it."""
