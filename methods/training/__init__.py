"""Trainings on a data set, which `reelbench train` calls."""
