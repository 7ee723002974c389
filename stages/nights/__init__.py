"""One night of a run and the nights before."""
