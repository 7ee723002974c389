"""Metrics of single clips."""
