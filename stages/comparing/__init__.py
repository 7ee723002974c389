"""Comparing two results."""
