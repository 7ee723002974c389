"""Numbers that were recorded: published ones, and those of this repository's benchmark."""
