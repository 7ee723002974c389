"""Metrics and extractors by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from reelbench.core import registry
from reelbench.core.errors import MetricError, UnknownNameError, WeightsError
from reelbench.core.hashing import canonical_json
from reelbench.metrics.build import (
    build_extractor,
    build_metric,
    check_roles,
    extractors_needed,
    refuse_unavailable,
    weights_role,
)
from reelbench.metrics.protocol import Protocol, parse_protocol

NAMES = ["clipsim", "frame_consistency_all_pairs", "frame_consistency_consecutive", "fvd", "kvd"]
MORE = [
    "clipscore",
    "textual_alignment",
    "frame_consistency_first_and_previous",
    "pickscore",
    "fvd_videomae",
    "kvd_videomae",
    "jedi_mmd",
    "fvd_others",
    "kvd_others",
    "fvd_videomae_others",
    "kvd_videomae_others",
    "jedi_mmd_others",
    "fid",
    "fvmd",
    "fvmd_others",
    "clip_fid",
    "subject_consistency",
    "dynamic_degree",
    "aesthetic_quality",
]
PIXELS = [
    "psnr",
    "ssim",
    "lpips",
    "temporal_flickering",
    "motion_magnitude",
    "warping_error",
    "motion_alignment",
    "motion_correlation",
    "structure_kept",
]


def test_every_registered_metric_is_tested_here() -> None:
    assert {name for name in registry.names("metrics") if _is_ours(name)} == {*NAMES, *MORE, *PIXELS}


def _is_ours(name: str) -> bool:
    return registry.get("metrics", name).__module__.startswith("reelbench.")


@pytest.mark.parametrize("name", [*NAMES, *MORE, *PIXELS])
def test_metrics_meet_the_contract(name: str, clean: Protocol) -> None:
    assert name in registry.names("metrics")
    metric = build_metric(name, clean)
    assert metric.name == name
    assert metric.level in ("clip", "set")
    assert metric.version
    assert metric.unit
    assert metric.label
    assert metric.min_n >= 1
    assert metric.higher_is_better in (True, False, None)
    assert set(metric.needs) <= set(registry.names("extractors"))
    canonical_json(metric.parameters())


@pytest.mark.parametrize(
    "name", ["i3d", "clip_image", "clip_image_raw", "clip_text", "clip_text_depicts", "clip_text_scaled"]
)
def test_extractors_meet_the_contract(name: str, clean: Protocol) -> None:
    extractor = build_extractor(name, clean, {"clip": "somewhere/clip", "i3d": "somewhere/i3d"})
    assert extractor.name == name
    assert extractor.modality in ("video", "text")
    assert [ref.location for ref in extractor.weights()] == [f"somewhere/{extractor.weights()[0].name}"]
    assert extractor.resources().num_gpus
    canonical_json(extractor.config.model_dump(mode="json"))
    assert build_extractor(name, clean).config.weights == f"sprites/{extractor.weights()[0].name}"


def test_needs_by_side(clean: Protocol) -> None:
    needs = extractors_needed(build_metric(name, clean) for name in NAMES)
    assert needs.generated == ("clip_image", "i3d")
    assert needs.reference == ("i3d",)
    assert needs.prompt == ("clip_text",)
    only = extractors_needed([build_metric("frame_consistency_consecutive", clean)])
    assert (only.generated, only.reference, only.prompt) == (("clip_image",), (), ())


def test_unknown_names(clean: Protocol) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'fvd'"):
        build_metric("fwd", clean)
    with pytest.raises(UnknownNameError, match="clip_image"):
        build_extractor("clip_imag", clean)


def test_a_set_metric_cannot_read_texts(clean: Protocol) -> None:
    metric = build_metric("fvd", clean)
    metric.needs = ("clip_text",)
    with pytest.raises(MetricError, match="reads texts"):
        extractors_needed([metric])


def test_research_extractors_from_a_file(tmp_path: Path, clean: Protocol) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from reelbench.core.contracts import Extractor, FrozenConfig\n"
        "class Mine(Extractor):\n"
        "    class Config(FrozenConfig):\n"
        "        weights: str = 'a'\n"
        "    name, version, modality = 'mine', '1', 'video'\n"
        "    def load(self, device): raise NotImplementedError\n"
    )
    spec = f"{file}:Mine"
    assert build_extractor(spec, clean).config.weights == "a"
    assert build_extractor(spec, clean, {spec: "b"}).config.weights == "b"


def test_protocols_with_too_few_frames_for_i3d_are_refused() -> None:
    short = parse_protocol({"name": "t", "version": "1", "sampling": {"num_frames": 8}})
    extractor = build_extractor("i3d", short)  # the other metrics of a run are measured
    with pytest.raises(MetricError, match="at least 9"):
        extractor.load("cpu")


@pytest.mark.parametrize(
    "name",
    [
        "pick_image",
        "pick_text",
        "videomae",
        "vjepa",
        "inception",
        "dino",
        "aesthetic",
        "fastest_motion",
        "point_motion",
    ],
)
def test_extractors_without_default_weights_meet_the_contract(name: str, clean: Protocol) -> None:
    role = weights_role(name)
    extractor = build_extractor(name, clean, {role: "somewhere/else"})
    assert extractor.name == name
    assert extractor.modality == ("text" if name == "pick_text" else "video")
    assert [(ref.name, ref.location) for ref in extractor.weights()] == [(role, "somewhere/else")]
    canonical_json(extractor.config.model_dump(mode="json"))
    assert build_extractor(name, clean).config.weights == ""


@pytest.mark.parametrize("name", ["pixel_difference", "flow", "pair_pixels", "pair_flow", "pair_edges"])
def test_extractors_without_weights_meet_the_contract(name: str, clean: Protocol) -> None:
    extractor = build_extractor(name, clean)
    assert extractor.name == name
    assert extractor.modality == ("pair" if name.startswith("pair_") else "video")
    assert (extractor.weights(), extractor.resources().num_gpus) == ((), 0)
    canonical_json(extractor.config.model_dump(mode="json"))
    assert extractor.config == type(extractor).Config()  # the defaults are those of clean


def test_lpips_meets_the_contract(clean: Protocol) -> None:
    extractor = build_extractor("lpips", clean, {"lpips": "somewhere/lpips"})
    assert (extractor.name, extractor.modality) == ("lpips", "pair")
    assert [(ref.name, ref.location) for ref in extractor.weights()] == [("lpips", "somewhere/lpips")]
    assert build_extractor("lpips", clean).config.weights == ""


def test_clipsim_clipscore_and_alignment_in_one_run(clean: Protocol) -> None:
    needs = extractors_needed(
        build_metric(name, clean) for name in ("clipsim", "clipscore", "textual_alignment")
    )
    assert needs.generated == ("clip_image",)
    assert needs.prompt == ("clip_text", "clip_text_depicts", "clip_text_scaled")
    assert {weights_role(name) for name in needs.prompt} == {"clip"}


def test_metrics_that_have_their_weights_are_let_through(clean: Protocol) -> None:
    metrics = [build_metric(name, clean) for name in (*NAMES, *MORE)]
    # Those of a hub may be fetched later.
    there = dict.fromkeys(
        ("pickscore", "videomae", "vjepa", "inception", "dino", "raft", "aesthetic", "pips"),
        "owner/model-of-nobody",
    )
    refuse_unavailable(metrics, there)
    refuse_unavailable(metrics, {**there, "pipeline": "owner/model", "clip": "sprites/clip"})
    refuse_unavailable([build_metric(name, clean) for name in NAMES], {})


def test_every_metric_without_weights_is_named_with_the_reason(clean: Protocol, tmp_path: Path) -> None:
    metrics = [build_metric(name, clean) for name in (*NAMES, *MORE)]
    with pytest.raises(WeightsError) as caught:
        refuse_unavailable(metrics, {"vjepa": str(tmp_path / "none")})
    message = str(caught.value)
    assert "pickscore: no weights are named: give `weights: {pickscore: <PickScore_v1" in message
    videomae = "fvd_videomae, kvd_videomae, fvd_videomae_others, kvd_videomae_others"
    assert f"{videomae}: no weights are named: give `weights: {{videomae:" in message
    assert f"jedi_mmd, jedi_mmd_others: no weights at {tmp_path / 'none'}" in message
    assert "clipsim" not in message
    assert message.count("pickscore: no weights") == 1


def test_unknown_roles_are_answered_with_the_nearest(clean: Protocol) -> None:
    with pytest.raises(
        WeightsError, match=r"unknown role 'pickscor' in weights.*\n.*did you mean 'pickscore'"
    ):
        refuse_unavailable([build_metric("fvd", clean)], {"pickscor": "a/b"})
    with pytest.raises(WeightsError, match="did you mean 'i3d'"):
        check_roles({"i3": "x"})
    # The extractor's name is not the role of its weights.
    with pytest.raises(WeightsError, match="unknown role 'clip_image'"):
        refuse_unavailable([build_metric("clipsim", clean)], {"clip_image": "sprites/clip"})
    with pytest.raises(WeightsError, match="unknown role 'pipeline'"):
        check_roles({"pipeline": "x"})
    check_roles({"pipeline": "x", "mine": "y"}, more=("pipeline", "mine"))
