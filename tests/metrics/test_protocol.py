"""Protocols: named, validated, digested by content, and printed in signatures."""

from __future__ import annotations

import pytest

from reelbench.core.errors import ProtocolError, UnknownNameError
from reelbench.metrics.clipscore import ClipScore
from reelbench.metrics.clipsim import ClipSim
from reelbench.metrics.fvd import Fvd
from reelbench.metrics.protocol import Protocol, load_protocol, parse_protocol
from reelbench.metrics.signature import signature
from reelbench.metrics.textual_alignment import TextualAlignment
from reelbench.metrics.videomae import FvdVideoMae


def test_digest_covers_settings_not_names():
    base = {"name": "a", "version": "1"}
    a = parse_protocol(base)
    assert a.digest == parse_protocol({"name": "b", "version": "2", "description": "x"}).digest
    assert a.digest == parse_protocol({**base, "weights": {"clip": "ViT-L-14:openai"}}).digest
    assert a.digest != parse_protocol({**base, "frechet": {"ddof": 0}}).digest
    assert a.digest != parse_protocol({**base, "sampling": {"stride": 1}}).digest


def test_a_typo_is_answered_with_the_nearest_name():
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
        ({"i3d": {"resize": [{"size": 256}]}}, "must give 224"),
        ({"clip": {"resize": [{"size": 224}]}}, 'size "model"'),
        ({"i3d": {"resize": [{"size": 224, "phase": "corner"}]}}, "antialias off"),
        ({"frechet": {"dtype": "float32"}}, "nuclear"),
        ({"version": "one"}, "version"),
    ],
)
def test_faults_are_named(extra, message):
    with pytest.raises(ProtocolError, match=message):
        parse_protocol({"name": "t", "version": "1", **extra})


def test_files(tmp_path):
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
    file.write_text("- 1")
    with pytest.raises(ProtocolError, match="expected a mapping"):
        load_protocol(file)


def test_reading_gives_the_arguments_of_the_video_reader(tmp_path):
    import inspect

    from reelbench.datasets.video_reading import read_clip

    first = load_protocol("clean").sampling.reading("a")
    assert first == {"num_frames": 16, "stride": None, "fps": 8.0, "start": "first"}
    assert set(first) <= set(inspect.signature(read_clip).parameters)
    seeded = load_protocol("cd-fvd").sampling
    assert seeded.reading("a") == seeded.reading("a")
    assert isinstance(seeded.reading("a")["start"], int)
    assert seeded.reading("a")["start"] != seeded.reading("b")["start"]


def test_signature_names_what_the_number_depends_on(clean):
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


def test_signatures_differ_when_a_setting_differs(clean):
    other = clean.model_copy(update={"frechet": clean.frechet.model_copy(update={"ddof": 0})})
    other = Protocol.model_validate(other.model_dump())
    assert signature(Fvd(clean), clean, {}, 5, 5) != signature(Fvd(other), other, {}, 5, 5)


def test_signatures_of_clip_metrics_name_what_acts_on_generated_frames(clean):
    data = clean.model_dump() | {
        "sampling": {"generated_rate": "protocol", "context_frames": "keep", "fps": 4}
    }
    other = Protocol.model_validate(data)
    text = signature(ClipSim(other), other, {}, 5)
    assert "frames:all|rate:4fps|context:keep|generated:protocol" in text
    assert signature(ClipScore(clean), clean, {}, 5).count("prefix:'A photo depicts'") == 1
    assert "scale:model" in signature(TextualAlignment(clean), clean, {}, 5)


def test_signatures_of_video_transformers(clean):
    text = signature(FvdVideoMae(clean), clean, {"videomae": "ab" * 32, "i3d": "cd" * 32}, 5, 5)
    assert text.startswith("fvd_videomae.")
    assert "resize:bilinear-aa-squash-model|normalise:model" in text
    assert "videomae:abababab" in text
    assert "i3d:" not in text
    cd_fvd = load_protocol("cd-fvd")
    assert "normalise:none" in signature(FvdVideoMae(cd_fvd), cd_fvd, {}, 5, 5)


def test_another_backbone_than_the_published_one_is_named():
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
