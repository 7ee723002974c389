"""From features to the numbers of a run or an evaluation. Pure: no files, no models."""
