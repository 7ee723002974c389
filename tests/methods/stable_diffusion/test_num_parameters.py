"""The size of a method, read from headers of files, is what torch counts of the modules that it loads."""

from __future__ import annotations

from typing import Any

from reelbench.core.weights import count_parameters
from reelbench.methods.zero_shot.zs2 import Zs2


def test_all_modules_of_the_embedded_pipeline_are_counted() -> None:
    method = Zs2(Zs2.Config(weights="sprites/t2i"))
    session: Any = method.load("cpu")
    pipeline = session.pipeline
    modules = [pipeline.unet, pipeline.vae, pipeline.text_encoder]
    assert count_parameters(method.weights()) == sum(p.numel() for m in modules for p in m.parameters())
