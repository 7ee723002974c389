"""Measuring folders of videos that are there already: `evaluate`, the Python side of `reelbench evaluate`."""

from .evaluator import evaluate
from .result import Evaluation

__all__ = ["Evaluation", "evaluate"]
