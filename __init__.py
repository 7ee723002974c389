"""Reelbench: a reproducible benchmark of the ways to turn a pretrained diffusion model into a video model."""

__version__ = "0.1.0"

__all__ = ["__version__", "evaluate", "read_frame", "read_summary"]


def __getattr__(name: str) -> object:
    """Functions for Python users, imported when they are asked for: `import reelbench` stays light."""
    if name == "evaluate":
        from .evaluation import evaluate

        return evaluate
    if name in ("read_frame", "read_summary"):
        from .reports.tables import frames

        return getattr(frames, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
