"""Metrics of two sets of clips, and comparisons of systems by them."""
