"""Protocols: named, validated, digested by content, and printed in signatures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reelbench.core.errors import ProtocolError, UnknownNameError
from reelbench.metrics.clips.text import ClipScore, ClipSim, TextualAlignment
from reelbench.metrics.protocol import Protocol, load_protocol, parse_protocol
from reelbench.metrics.sets.fvd import Fvd, FvdVideoMae
from reelbench.metrics.signature import signature


def test_digest_covers_settings_not_names() -> None:
    base = {"name": "a", "version": "1"}
    a = parse_protocol(base)
    assert a.digest == parse_protocol({"name": "b", "version": "2", "description": "x"}).digest
    assert a.digest == parse_protocol({**base, "weights": {"clip": "ViT-L-14:openai"}}).digest
    assert a.digest != parse_protocol({**base, "frechet": {"ddof": 0}}).digest
    assert a.digest != parse_protocol({**base, "sampling": {"stride": 1}}).digest


def test_a_setting_that_came_later_counts_where_it_is_used() -> None:
    """A protocol that leaves frames as they are is the one that it was before they could be blended."""
    base = {"name": "a", "version": "1"}
    left, said, used = (
        parse_protocol({**base, "sampling": {"stride": 1, **more}})
        for more in ({}, {"frames": "exact"}, {"frames": "seer"})
    )
    # As computed before the setting was there.
    assert left.digest == "e821f253b8cfa57057e65798b4b036a1b0dde633c2b64382638b4e18dfc058e0"
    assert said.digest == left.digest
    assert used.digest != left.digest
    assert set(used.sampling.digest_data()) - set(left.sampling.digest_data()) == {"frames"}
    assert left.sampling.describe() == said.sampling.describe() != used.sampling.describe()
    text = signature(Fvd(used), used, {}, 5, 5)
    assert "frames:16|rate:seer-blend|start:first" in text
    assert "stride1" not in text
    assert "seer" not in signature(ClipSim(used), used, {}, 5)  # it reads no reference


def test_a_typo_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'clean'"):
        load_protocol("clena")


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"samplin": {}}, "samplin: unknown key; did you mean 'sampling'"),
        ({"kernel": {"gama": 1}}, "kernel.gama: unknown key; did you mean 'gamma'"),
        ({"i3d": {"resize": [{"size": 224, "antialais": True}]}}, "did you mean 'antialias'"),
        ({"sampling": {"fps": 8, "stride": 2}}, "exactly one of fps and stride"),
        ({"sampling": {"num_frames": "many"}}, "sampling.num_frames"),
        ({"i3d": {"resize": [{"size": 256}]}}, "must be of size 224 or 'model'"),
        ({"clip": {"resize": [{"size": 224}]}}, "must be of size 'model'"),
        ({"i3d": {"resize": [{"size": 224, "phase": "corner"}]}}, "antialias off"),
        ({"i3d": {"resize": [{"size": "resolution"}, {"size": 224}]}}, "set resolution, in pixels"),
        ({"i3d": {"resize": [{"size": {}}, {"size": []}, 7]}}, "i3d.resize"),
        ({"i3d": {"resolution": {}, "resize": [{"size": {}}]}}, "resolution"),
        ({"i3d": {"resolution": 128}}, "resolution is 128, and no resize is of it"),
        ({"i3d": {"resolution": "many", "resize": [{"size": "resolution"}, {}]}}, "i3d.resolution: must be"),
        ({"i3d": {"reference_resize": []}}, "i3d.reference_resize: must hold at least 1"),
        ({"i3d": {"reference_resize": [{"size": 128}]}}, "must be of size 224 or 'model'"),
        ({"i3d": {"reference_resze": [{}]}}, "did you mean 'reference_resize'"),
        ({"i3d": {"resize": [{"quantise": "truncate-sined"}]}}, "did you mean 'truncate-signed'"),
        ({"i3d": {"resize": [{"clamp": False, "quantise": "round"}]}}, "clamp must be true"),
        ({"clip": {"resize": [{"antialias": False, "quantise": "pillow"}]}}, "Pillow knows no other resize"),
        ({"clip": {"resize": [{"size": 9}, {"quantise": "pillow"}]}}, "the step before must quantise"),
        ({"clip": {"resize": [{"long_side": "up"}]}}, "must be 'truncate', 'round', 'ceil' or 'ceil-scale'"),
        ({"frechet": {"dtype": "float32"}}, "nuclear"),
        ({"version": "one"}, "version"),
        ({"sampling": {"frames": "blended"}}, "sampling.frames"),
        ({"sampling": {"blend_side": 256}}, "blend_side 256 goes with frames 'seer'"),
        ({"sampling": {"frames": "seer"}}, r"stride must be 1; got None \(fps is 8\)"),
        ({"sampling": {"frames": "seer", "fps": 4}}, r"stride must be 1; got None \(fps is 4\)"),
        ({"sampling": {"frames": "seer", "stride": 2}}, "stride must be 1; got 2"),
        ({"sampling": {"frames": "seer", "stride": 1, "start": "seeded"}}, "start must be first; got seeded"),
        (
            {"sampling": {"frames": "seer", "stride": 1, "generated_rate": "protocol"}},
            "generated_rate must be stored; got protocol",
        ),
    ],
)
def test_faults_are_named(extra: dict[str, Any], message: str) -> None:
    with pytest.raises(ProtocolError, match=message):
        parse_protocol({"name": "t", "version": "1", **extra})


def test_files(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("name: mine\nversion: '3'\nsampling: {stride: 2}\n")
    protocol = load_protocol(file)
    assert (protocol.sampling.stride, protocol.sampling.fps) == (2, None)
    assert load_protocol(str(file)) == protocol
    with pytest.raises(ProtocolError, match="cannot read"):
        load_protocol(tmp_path / "none.yaml")
    file.write_text("name: [")
    with pytest.raises(ProtocolError, match="not valid YAML"):
        load_protocol(file)
    file.write_text("name: mine\nversion: '3'\nsampling: {stride: 2}\nname: other\n")
    with pytest.raises(ProtocolError, match="the key 'name' stands twice in one mapping, in lines 1 and 4"):
        load_protocol(file)
    file.write_text("- 1")
    with pytest.raises(ProtocolError, match="expected a mapping"):
        load_protocol(file)


def test_reading_gives_the_arguments_of_the_video_reader(tmp_path: Path) -> None:
    from reelbench.datasets.video import Reading

    first = load_protocol("clean").sampling.reading("a")
    assert first == {"num_frames": 16, "stride": None, "fps": 8.0, "start": "first"}
    assert Reading(**first) == Reading(16, fps=8.0)
    blended = load_protocol("seer").sampling.reading("a")
    assert Reading(**blended) == Reading(16, 1, frames="seer")
    seeded = load_protocol("cd-fvd").sampling
    assert seeded.reading("a") == seeded.reading("a")
    assert isinstance(seeded.reading("a")["start"], int)
    assert seeded.reading("a")["start"] != seeded.reading("b")["start"]


def test_signature_names_what_the_number_depends_on(clean: Protocol) -> None:
    text = signature(Fvd(clean), clean, {"i3d": "ab" * 32, "clip": "cd" * 32}, 2990, 2048)
    for part in (
        "fvd.1",
        "n:2990",
        "nref:2048",
        "frames:16",
        "rate:8fps",
        "bilinear-aa-squash-224",
        "bneps:0.001",
        "ddof:1",
        "float64",
        "i3d:abababab",
        f"protocol:clean.{clean.version}#{clean.digest[:8]}",
    ):
        assert part in text.replace("resize:", "").split("|")
    assert "clip:" not in text
    clipsim = signature(ClipSim(clean), clean, {"clip": "cd" * 32}, 10)
    assert "clip:cdcdcdcd" in clipsim
    assert "nref" not in clipsim
    assert "frames:all|context:drop|generated:stored" in clipsim


def test_signatures_differ_when_a_setting_differs(clean: Protocol) -> None:
    other = clean.model_copy(update={"frechet": clean.frechet.model_copy(update={"ddof": 0})})
    other = Protocol.model_validate(other.model_dump())
    assert signature(Fvd(clean), clean, {}, 5, 5) != signature(Fvd(other), other, {}, 5, 5)


def test_signatures_of_clip_metrics_name_what_acts_on_generated_frames(clean: Protocol) -> None:
    data = clean.model_dump() | {
        "sampling": {"generated_rate": "protocol", "context_frames": "keep", "fps": 4}
    }
    other = Protocol.model_validate(data)
    text = signature(ClipSim(other), other, {}, 5)
    assert "frames:all|rate:4fps|context:keep|generated:protocol" in text
    assert signature(ClipScore(clean), clean, {}, 5).count("prefix:'A photo depicts'") == 1
    assert "scale:model" in signature(TextualAlignment(clean), clean, {}, 5)


def test_signatures_of_video_transformers(clean: Protocol) -> None:
    text = signature(FvdVideoMae(clean), clean, {"videomae": "ab" * 32, "i3d": "cd" * 32}, 5, 5)
    assert text.startswith("fvd_videomae.")
    assert "resize:bilinear-aa-squash-model|normalise:model" in text
    assert "videomae:abababab" in text
    assert "i3d:" not in text
    cd_fvd = load_protocol("cd-fvd")
    assert "normalise:none" in signature(FvdVideoMae(cd_fvd), cd_fvd, {}, 5, 5)


def test_another_backbone_than_the_published_one_is_named() -> None:
    loveu = load_protocol("loveu")
    (note,) = loveu.weights_notes({"clip": "ViT-B-32:openai", "i3d": "sprites/i3d"})
    assert (
        note
        == "protocol 'loveu': published numbers use 'ViT-L-14:openai' as clip, this run 'ViT-B-32:openai'"
    )
    assert len(loveu.weights_notes({"clip": "sprites/clip", "pickscore": "somebody/else"})) == 2
    for clip in ("ViT-L-14:openai", "ViT-L-14:/data/l14.pt", f"ViT-L-14:openai#sha256:{'0' * 64}"):
        assert loveu.weights_notes({"clip": clip}) == ()
    assert len(loveu.weights_notes({"clip": "ViT-L-14:laion2b_s32b_b82k"})) == 1
    assert loveu.weights_notes({"pickscore": "/data/PickScore_v1"}) == ()
    assert loveu.weights_notes({}) == ()
    # What is only described cannot be compared.
    assert load_protocol("videogpt").weights_notes({"i3d": "sprites/i3d"}) == ()


def test_a_file_with_a_shipped_name_and_other_settings_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text('{name: clean, version: "2", sampling: {num_frames: 12}}')
    with pytest.raises(
        ProtocolError, match="called 'clean' as a shipped protocol is, and its settings are others"
    ):
        load_protocol(path)
    path.write_text('{name: clean, version: "1"}')  # the same settings are the same protocol
    assert load_protocol(path).digest == load_protocol("clean").digest


def test_a_negative_seed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text('{name: mine, version: "1", sampling: {stride: 1, start: seeded, seed: -1}}')
    with pytest.raises(ProtocolError, match=r"sampling.seed: .*-1"):
        load_protocol(path)
