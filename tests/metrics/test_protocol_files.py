"""The shipped protocols: complete, frozen, and each one acting as the code it is compatible with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from reelbench.core.types import Estimate
from reelbench.metrics.extractors.backbone import resize_frames
from reelbench.metrics.protocol import PROTOCOLS_DIR, Protocol, load_protocol, protocol_names
from reelbench.metrics.protocol_table import page_with_tables, protocol_tables
from reelbench.metrics.sets.frechet import frechet_distance
from reelbench.metrics.sets.fvd import Fvd
from reelbench.metrics.sets.kvd import Kvd
from reelbench.metrics.settings import ResizeStep, Settings

DIGESTS = {
    "cd-fvd": ("2", "024236e2578707b26f79a1d08ecf30a4ebf583b3c782f4eb285dd0eb9b0930d4"),
    "clean": ("2", "f57ed2ba23b029c3535454a69165c6fb150a3c2556ef1a7bf75601d22832e877"),
    "loveu": ("2", "da2cb5065bee895ce361a511a554870ca3339dc73a6c0aa353a45cd8848ad378"),
    "lvdm": ("2", "116cb69a2555b756066749ef9b9d71ba6de50c8de3800ceeed17a6115147f8be"),
    "predicted": ("1", "b4c449e63e199c1264c936b103caa401ac177344c5466f4121eddec03b408251"),
    "seer": ("3", "5ebc9b71199fa44fcbb18d30163104e3d5c481eb4674dffe2d9501cae584aec4"),
    "simda": ("2", "f57ed2ba23b029c3535454a69165c6fb150a3c2556ef1a7bf75601d22832e877"),
    "stylegan-v": ("2", "80e98556cd307c9c873b011ba761b6ea50589e4ba56ba87ea66ad6b09d25e11b"),
    "tats": ("2", "b924b9cefdfadd4b6d625c8697a69d346c2a0209782fee7746323edb173812b2"),
    "tf-reference": ("2", "50b706b45c15b92cfd1cda5812eebfd521723d6767d41dbf7deb785b9a2758b1"),
    "vbench": ("2", "ba2ec2253ce45eeae905edfc671cfebd80cfc907e0b10bf88428f038ffbfe47c"),
    "videogpt": ("2", "1f3b9fd36cbd712d84f2fb044a7463024705ee5d1a1ffbec2fb5ea5dda79e85c"),
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
        assert left_out == ({"stride"} if section == "sampling" else set())
        for step in data[section].get("resize", ()) if section != "pair" else ():
            assert set(step) == set(ResizeStep.model_fields)


@pytest.mark.parametrize("name", sorted(set(protocol_names()) - {"clean"}))
def test_the_others_name_what_differs_from_clean(name: str) -> None:
    data = yaml.safe_load((PROTOCOLS_DIR / f"{name}.yaml").read_text(encoding="utf-8"))
    protocol, clean = load_protocol(name), load_protocol("clean")
    for section in set(data) - {"name", "version", "description", "weights"}:
        for key in data[section]:
            assert getattr(getattr(protocol, section), key) != getattr(getattr(clean, section), key), key


def _frames(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, height, width, 3), dtype=np.uint8)


def _i3d_frames(name: str, frames: np.ndarray) -> torch.Tensor:
    return resize_frames(frames, load_protocol(name).i3d.resize, 224)


def _plain(frames: np.ndarray, size: tuple[int, int]) -> torch.Tensor:
    x = torch.from_numpy(frames).permute(0, 3, 1, 2).float()
    return torch.nn.functional.interpolate(x, size=size, mode="bilinear", align_corners=False)


@pytest.mark.parametrize("name", ["stylegan-v", "tats", "lvdm"])
def test_plain_squash(name: str) -> None:
    frames = _frames(240, 320)
    torch.testing.assert_close(_i3d_frames(name, frames), _plain(frames, (224, 224)), atol=1e-3, rtol=0)


def test_videogpts_crop() -> None:
    """Short side to 224, the long one rounded up, then the middle by whole division."""
    frames = _frames(240, 321)
    wide = _plain(frames, (224, 300))  # ceil(321 * 224 / 240)
    torch.testing.assert_close(_i3d_frames("videogpt", frames), wide[..., 38 : 38 + 224], atol=1e-3, rtol=0)


def test_tensorflow_1_samples_at_corners() -> None:
    """A ramp shows the phase: output i lies at source i * in / out, without the half-pixel shift."""
    ramp = np.tile(np.arange(112, dtype=np.uint8)[None, None, :, None], (1, 112, 1, 3))
    out = _i3d_frames("tf-reference", ramp)[0, 0, 5]
    expected = np.minimum(np.arange(224) * 112 / 224, 111)
    np.testing.assert_allclose(out.numpy(), expected, atol=1e-4)
    assert abs(float(_i3d_frames("tats", ramp)[0, 0, 5, 100]) - expected[100]) == pytest.approx(
        0.25, abs=1e-4
    )


def test_cd_fvd_and_seer_go_through_256() -> None:
    frames = _frames(300, 400)
    truncated = resize_frames(frames, load_protocol("cd-fvd").i3d.resize[:1], 224)
    assert torch.equal(truncated, truncated.trunc())
    assert truncated.shape == (3, 3, 256, 256)
    eight_bits = truncated.permute(0, 2, 3, 1).numpy().astype(np.uint8)
    torch.testing.assert_close(
        _i3d_frames("cd-fvd", frames), _plain(eight_bits, (224, 224)), atol=1e-3, rtol=0
    )
    cd_fvd = load_protocol("cd-fvd")
    assert cd_fvd.videomae.resize[0] == cd_fvd.i3d.resize[0]
    small = resize_frames(frames, load_protocol("seer").i3d.resize[:1], 224)
    assert torch.equal(small, small.round())
    assert _i3d_frames("seer", frames).shape == (3, 3, 224, 224)


def test_loveu_squashes_as_pil_does_before_clips_own_transform() -> None:
    from PIL import Image

    frames = _frames(270, 480)
    step = load_protocol("loveu").clip.resize[0]
    ours = resize_frames(frames, (step,), 224).permute(0, 2, 3, 1).numpy()
    theirs = np.stack([np.asarray(Image.fromarray(frame).resize((480, 480))) for frame in frames])
    # PIL's fixed point is off by one level in a few places.
    assert np.abs(ours - theirs).max() <= 1
    assert (ours != theirs).mean() < 0.01
    assert load_protocol("loveu").clip.resize[1:] == load_protocol("clean").clip.resize


def test_vbenchs_transform_is_torchvisions_without_antialias() -> None:
    from torchvision.transforms import functional as tv

    frames = _frames(300, 401)
    ours = resize_frames(frames, load_protocol("vbench").clip.resize, 224)
    video = torch.from_numpy(frames).permute(0, 3, 1, 2)
    small = tv.resize(video, 224, interpolation=tv.InterpolationMode.BICUBIC, antialias=False)
    theirs = tv.center_crop(small, 224).float()
    assert (ours - theirs).abs().max() <= 1
    assert (ours != theirs).float().mean() < 1e-3


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
    assert seeded == {"stylegan-v", "lvdm", "cd-fvd"}
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
