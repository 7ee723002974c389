"""Embedded worlds: data sets that are computed, with small models trained on them."""
