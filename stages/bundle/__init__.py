"""Bundles for reviewers: what goes in (`contents`), and whether its numbers follow from it (`checks`)."""
