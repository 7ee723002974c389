"""Comparing results of different runs: the result as data, on a terminal, as a page."""
