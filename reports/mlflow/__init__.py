"""Runs and trainings in MLflow; all that imports it."""
