"""The shipped protocols: complete, frozen, and each one acting as the code it is compatible with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from reelbench.core.types import Estimate
from reelbench.metrics.protocol import PROTOCOLS_DIR, Protocol, load_protocol, protocol_names
from reelbench.metrics.protocol_table import page_with_tables, protocol_tables
from reelbench.metrics.sets.frechet import frechet_distance
from reelbench.metrics.sets.fvd import Fvd
from reelbench.metrics.sets.kvd import Kvd
from reelbench.metrics.settings import ResizeStep, Settings

DIGESTS = {
    "cd-fvd": ("3", "1f29e7776926a83e006faaa55ad31ce72dff942b0a84555d4afdb8854dea5fbc"),
    "clean": ("2", "f57ed2ba23b029c3535454a69165c6fb150a3c2556ef1a7bf75601d22832e877"),
    "common-metrics": ("1", "7ccb096d636edf701f17104fd833ef15c6d4ba0f026d8e6a821456f38693a59f"),
    "loveu": ("2", "da2cb5065bee895ce361a511a554870ca3339dc73a6c0aa353a45cd8848ad378"),
    "lvdm": ("3", "88b9d8815f968dbee1acf2aed76acfbe7ebb4ea70bf890cbfb20f4b9ad37a09e"),
    "predicted": ("1", "b4c449e63e199c1264c936b103caa401ac177344c5466f4121eddec03b408251"),
    "seer": ("5", "09e920654a91e6b23a26e7abc5b74eb7ce21c932a7d33521c0f714010d3e888b"),
    "simda": ("2", "f57ed2ba23b029c3535454a69165c6fb150a3c2556ef1a7bf75601d22832e877"),
    "stylegan-v": ("2", "80e98556cd307c9c873b011ba761b6ea50589e4ba56ba87ea66ad6b09d25e11b"),
    "tats": ("3", "4c41ab1b5765583d70dc64a94b9078d0c0cee2e61eded3fac7c7c94002756c93"),
    "tf-reference": ("2", "50b706b45c15b92cfd1cda5812eebfd521723d6767d41dbf7deb785b9a2758b1"),
    "vbench": ("4", "10a64e653284dd2a996d38e188522ebba6fc70a1c3d54d6747c26b02b084f9ba"),
    "videogpt": ("3", "007300e1dbf13661c0aa76aaed238d8dd8911425be4c997148a46fc17c744d52"),
}
"""A change here changes every key and every table: raise the file's version with it."""


def test_every_shipped_protocol_is_frozen() -> None:
    assert set(protocol_names()) == set(DIGESTS)
    for name in protocol_names():
        protocol = load_protocol(name)
        assert protocol.name == name
        assert (name, protocol.version, protocol.digest) == (name, *DIGESTS[name])
        assert protocol.description


def test_only_simda_shares_its_settings_with_another() -> None:
    """Nothing that can be verified of SimDA's differs from `clean`: the two are one protocol, and say so."""
    digests = {name: load_protocol(name).digest for name in protocol_names() if name != "simda"}
    assert len(set(digests.values())) == len(digests)
    assert load_protocol("simda").digest == digests["clean"]


def test_clean_names_the_defaults() -> None:
    assert load_protocol("clean").digest == Protocol(name="x", version="1").digest


def test_clean_names_every_choice() -> None:
    data = yaml.safe_load((PROTOCOLS_DIR / "clean.yaml").read_text(encoding="utf-8"))
    assert set(data) == set(Protocol.model_fields)
    for section, value in load_protocol("clean"):
        if not isinstance(value, Settings):
            continue
        left_out = set(type(value).model_fields) - set(data[section])
        assert left_out <= {
            "stride",
            "blend_side",
            "resolution",
            "reference_resize",
        }  # of which clean has none
        for step in data[section].get("resize", ()) if section != "pair" else ():
            assert set(step) == set(ResizeStep.model_fields)


@pytest.mark.parametrize("name", sorted(set(protocol_names()) - {"clean"}))
def test_the_others_name_what_differs_from_clean(name: str) -> None:
    data = yaml.safe_load((PROTOCOLS_DIR / f"{name}.yaml").read_text(encoding="utf-8"))
    protocol, clean = load_protocol(name), load_protocol("clean")
    for section in set(data) - {"name", "version", "description", "weights"}:
        for key in data[section]:
            assert getattr(getattr(protocol, section), key) != getattr(getattr(clean, section), key), key


def test_frechet_settings_act() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((30, 6)), rng.standard_normal((30, 6)) * 1.2
    sources = [str(k) for k in range(30)]
    value = {
        name: Fvd(load_protocol(name)).compute(x, y, sources, sources).value for name in protocol_names()
    }
    assert value["clean"] == pytest.approx(frechet_distance(x, y, 1), rel=1e-12)
    for name in ("stylegan-v", "cd-fvd"):
        assert value[name] == pytest.approx(frechet_distance(x, y, 0), rel=1e-12)
    # TF-GAN's roots in float64 agree with the exact ones at full rank; in float32 they nearly do.
    assert value["tf-reference"] == pytest.approx(value["clean"], rel=1e-9)
    for name in ("videogpt", "tats", "lvdm", "seer"):
        assert value[name] == pytest.approx(value["clean"], rel=1e-4)
        assert value[name] != value["clean"]


def test_seers_kvd_is_blind_to_a_shift_and_the_switch_undoes_it() -> None:
    rng = np.random.default_rng(2)
    x = rng.standard_normal((80, 6))
    y = rng.standard_normal((80, 6)) + 2
    sources = [str(k) for k in range(80)]

    def kvd(protocol: Protocol) -> Estimate:
        return Kvd(protocol).compute(x, y, sources, sources)

    seer = load_protocol("seer")
    switched = Protocol.model_validate(
        seer.model_dump() | {"name": "mine", "kernel": seer.kernel.model_dump() | {"centred": False}}
    )
    assert kvd(switched).value == kvd(load_protocol("tats")).value
    assert abs(kvd(seer).value) < 0.05 * kvd(switched).value
    assert any("blind to a shift" in note for note in kvd(seer).notes)
    assert switched.digest != seer.digest


def test_choices_that_the_engine_reads() -> None:
    seer = load_protocol("seer")
    assert seer.sampling.context_frames == "keep"
    assert {load_protocol(n).sampling.context_frames for n in protocol_names() if n != "seer"} == {"drop"}
    blended = {name for name in protocol_names() if load_protocol(name).sampling.frames == "seer"}
    assert blended == {"seer"}
    seeded = {name for name in protocol_names() if load_protocol(name).sampling.start == "seeded"}
    assert seeded == {"stylegan-v", "lvdm", "cd-fvd", "tats", "videogpt"}
    epsilons = {name: load_protocol(name).i3d.batchnorm_epsilon for name in protocol_names()}
    ports = {"videogpt", "tats", "lvdm", "seer", "cd-fvd"}
    assert {name for name, epsilon in epsilons.items() if epsilon == 1e-5} == ports
    assert {epsilon for name, epsilon in epsilons.items() if name not in ports} == {1e-3}


def test_predicted_is_clean_on_the_frames_behind_two_given_ones() -> None:
    predicted, clean = load_protocol("predicted"), load_protocol("clean")
    assert {name for name, value in predicted if getattr(clean, name) != value} == {
        *("name", "version", "description", "sampling")
    }
    sampling = clean.sampling.model_dump() | {"num_frames": 14, "fps": None, "stride": 1}
    assert predicted.sampling.model_dump() == sampling
    assert (sampling["context_frames"], sampling["num_frames"] + 2) == ("drop", 16)


def test_the_page_holds_the_table_of_the_files() -> None:
    page = Path(__file__).parents[2] / "docs" / "protocols.md"
    text = page.read_text(encoding="utf-8")
    assert protocol_tables() in text, "run: python -m reelbench.metrics.protocol_table docs/protocols.md"
    assert page_with_tables(text) == text
    for name in protocol_names():
        assert f"`{name}`" in text


def test_every_protocol_has_a_page() -> None:
    docs = Path(__file__).parents[2] / "docs"
    pages = {path.stem: path.read_text(encoding="utf-8") for path in (docs / "protocols").glob("*.md")}
    assert set(pages) == set(protocol_names())
    overview = (docs / "protocols.md").read_text(encoding="utf-8")
    for name, text in pages.items():
        assert f"(protocols/{name}.md)" in overview
        headings = [line for line in text.splitlines() if line.startswith("#")]
        expected = [f"# `{name}`", "## Steps", "## What is known", "## A folder against itself"]
        assert headings == expected, name
        assert "\nWhose: " in text
        protocol = load_protocol(name)
        goes_apart = protocol.of_references() != protocol or protocol.sampling.frames == "seer"
        assert ("FVD is not 0" in text) == goes_apart, name
