"""Reelbench: a reproducible benchmark of the ways to turn a pretrained diffusion model into a video model."""

__version__ = "0.1.0"
