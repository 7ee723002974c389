"""Protocols: named, validated, digested by content, and printed in signatures."""

from __future__ import annotations

import pytest

from reelbench.core.errors import ProtocolError, UnknownNameError
from reelbench.metrics.clipsim import ClipSim
from reelbench.metrics.fvd import Fvd
from reelbench.metrics.protocol import Protocol, load_protocol, parse_protocol, protocol_names
from reelbench.metrics.signature import signature


def test_every_shipped_protocol_loads_under_its_own_name():
    assert "clean" in protocol_names()
    for name in protocol_names():
        assert load_protocol(name).name == name


def test_clean_names_the_defaults():
    assert load_protocol("clean").digest == Protocol(name="x", version="1").digest


def test_the_digest_of_clean_is_frozen():
    # A change here changes every key and every table: raise the version in clean.yaml with it.
    assert load_protocol("clean").version == "2"
    assert load_protocol("clean").digest.startswith("f57ed2ba23b029c3")


def test_digest_covers_settings_not_names():
    base = {"name": "a", "version": "1"}
    a = parse_protocol(base)
    assert a.digest == parse_protocol({"name": "b", "version": "2", "description": "x"}).digest
    assert a.digest != parse_protocol({**base, "frechet": {"ddof": 0}}).digest
    assert a.digest != parse_protocol({**base, "sampling": {"stride": 1}}).digest


def test_protocols_differ_from_each_other():
    digests = [load_protocol(name).digest for name in protocol_names()]
    assert len(set(digests)) == len(digests)


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
        f"protocol:clean.1#{clean.digest[:8]}",
    ):
        assert part in text.replace("resize:", "").split("|")
    assert "clip:" not in text
    clipsim = signature(ClipSim(clean), clean, {"clip": "cd" * 32}, 10)
    assert "clip:cdcdcdcd" in clipsim
    assert "nref" not in clipsim


def test_signatures_differ_when_a_setting_differs(clean):
    other = clean.model_copy(update={"frechet": clean.frechet.model_copy(update={"ddof": 0})})
    other = Protocol.model_validate(other.model_dump())
    assert signature(Fvd(clean), clean, {}, 5, 5) != signature(Fvd(other), other, {}, 5, 5)
