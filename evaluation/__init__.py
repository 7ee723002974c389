"""Measuring folders of videos that are there already: `evaluate`, the Python side of `reelbench evaluate`."""

from .evaluator import Evaluation, evaluate

__all__ = ["Evaluation", "evaluate"]
