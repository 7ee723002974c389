"""The keys under which work is stored: digests of everything that the result depends on.

Hardware and library versions are provenance, not key. `source` is the digest of a class that is not
Reelbench's own (`core.sources`); None, for our own, leaves the key as it is without.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .hashing import digest


def method_key(
    name: str,
    version: str,
    config: Mapping[str, Any],
    weight_digests: Mapping[str, str],
    source: str | None = None,
) -> str:
    """Identity of a configured method. Where its weights lie is not part of it, what they are is."""
    config = {key: value for key, value in config.items() if key != "weights"}
    return digest(
        {
            "kind": "method",
            "name": name,
            "version": version,
            "config": config,
            "weights": dict(weight_digests),
            **_source(source),
        }
    )


def fresh_key(method: str, code: str, libraries: Mapping[str, str]) -> str:
    """`method_key` of a method in a run that makes everything anew when what it runs on has changed.

    Args:
        code: digest of the code that the method runs.
        libraries: their versions by name.
    """
    return digest({"kind": "fresh", "method": method, "code": code, "libraries": dict(libraries)})


def tune_key(method: str, reference_digest: str | None, prompt: str | None, seed: int) -> str:
    """Key of a tuning; the edit prompts are left out, so that many of them share one tuning.

    Args:
        method: `method_key` of the method restricted to its tuning configuration.
        reference_digest: content of the reference clip, or the fingerprint of the training data.
        prompt: the source prompt of the tuning, where the method has one.
    """
    return digest(
        {"kind": "tune", "method": method, "reference": reference_digest, "prompt": prompt, "seed": seed}
    )


def clip_key(
    method: str, tune: str | None, prompt: str, context_digest: str | None, sample_id: str, seed: int
) -> str:
    """Key of a generated clip."""
    return digest(
        {
            "kind": "clip",
            "method": method,
            "tune": tune,
            "prompt": prompt,
            "context": context_digest,
            "sample_id": sample_id,
            "seed": seed,
        }
    )


def upscaled_key(upscaler: str, base: str, seed: int) -> str:
    """Key of a clip that an upscaler makes of another.

    Args:
        upscaler: `method_key` of the upscaler.
        base: key of the clip that it enlarges.
    """
    return digest({"kind": "upscaled", "upscaler": upscaler, "clip": base, "seed": seed})


def feature_key(
    extractor: str,
    version: str,
    config: Mapping[str, Any],
    weight_digests: Mapping[str, str],
    content: str,
    source: str | None = None,
) -> str:
    """Key of the features of one clip or text, by its content digest."""
    config = {key: value for key, value in config.items() if key != "weights"}
    return digest(
        {
            "kind": "feature",
            "extractor": extractor,
            "version": version,
            "config": config,
            "weights": dict(weight_digests),
            "content": content,
            **_source(source),
        }
    )


def score_key(
    metric: str,
    version: str,
    parameters: Mapping[str, Any],
    feature_keys: Sequence[str],
    source: str | None = None,
) -> str:
    """Key of a number: the metric, its parameters and the features it was made from, in any order."""
    return digest(
        {
            "kind": "score",
            "metric": metric,
            "version": version,
            "parameters": dict(parameters),
            "features": sorted(feature_keys),
            **_source(source),
        }
    )


def _source(source: str | None) -> dict[str, str]:
    return {} if source is None else {"source": source}
