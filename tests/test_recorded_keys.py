"""Stores made before stay hits: digests of the embedded weights, and keys that the run files in `configs/`
gave with them.

The constants were computed by the code of November 2026, when everything in a folder was digested. A change
of one makes every clip or feature under it missing: announce it in the changelog.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import reelbench
from reelbench.core.file_digests import FileDigests
from reelbench.core.planner import make_plan
from reelbench.core.run_file_loading import parse_run_file
from reelbench.core.store import Store
from reelbench.core.weights import WeightsFinder, digest_weights
from reelbench.datasets.video import default_codec
from reelbench.metrics.build import build_extractor
from reelbench.metrics.protocol import load_protocol
from reelbench.stages.measuring import PlannedExtractor

WEIGHTS = Path(reelbench.__file__).resolve().parent / "worlds" / "sprites" / "weights"
TINY = Path(__file__).parent / "plugins" / "tiny.py"

DIGESTS = {
    "clip": "343359d01339d91b15b0b9f22b6c12d8abeb528bac03c030d01b8fbb345ee62f",
    "cogvideox": "3d7a67b9f56863f9b28f112b92cdddaf4f4f9cb425a0f651e20a2d564e6dcf12",
    "fca": "973dd606294be64e47de67d9bbe05b748fc83e7af1d7190314abcf0659642c29",
    "i3d": "15dacb47de4c0e79721a2ce6d337d06c42e0c34e44e7c8109ed6ba0dab74b43e",
    "lora": "6637a592daa5932a9603388cf8d571e3de40d72b0e7eed39120c65322f1ff5d3",
    "simda": "2a96e913fdd68aa7b0a595950e7d293cd8947e1a27bb8e6f51e279d0fca1509e",
    "simda-paper": "43bff9805f0f1aef9ef7bd7624b6a59ceb30ea72c334dea3205278ed35838efc",
    "t2i": "d260fbbb2e9a278e7743014fb4add0e90fddce829b8cd69b98a633337598ebd6",
    "upscaler": "74980fd84fe939ea6e9f56f082ffd7d3bdcaf6328cf4c02c4279b834b29a1c4f",
    "upscaler-simda": "825be2ca0fbd88cdfc256f4a963a446c522cee3791f4e61fd21db7a620b1785e",
}

METHODS: list[tuple[str, dict[str, Any], str, str | None]] = [
    (
        "ddim-frames",
        {"num_frames": 16, "num_steps": 20, "guidance_scale": 4.0, "weights": "sprites/t2i"},
        "5073e3f79339d36e1eb1b292676649c55c203a4edc5cf0e00a846054969d81c3",
        None,
    ),
    (
        "text2video-zero",
        {"num_frames": 16, "num_steps": 20, "guidance_scale": 4.0, "weights": "sprites/t2i"},
        "7cb2375d9e0f547d0d777b1a29d702b8f9f7c81aede85e359513102c2b532917",
        None,
    ),
    (
        "zs2",
        {"num_frames": 16, "num_steps": 20, "guidance_scale": 4.0, "weights": "sprites/t2i"},
        "95ec16112a25bbb8a3b095abebc13aab640851fca88d303a9609bc9a3783d448",
        None,
    ),
    (
        "simda",
        {"num_frames": 16, "num_steps": 20, "guidance_scale": 7.5, "weights": "sprites/t2i"},
        "3e60f07a072ac9aca3331cf5020c67f30bca1b6c1d8ff8309da3351a9f1b3361",
        None,
    ),
    (
        "tune-a-video",
        {"preset": "sprites", "weights": "sprites/t2i"},
        "2219c5ed96a3963f969102c02f60244b3427dac7f6772222927f76e01f1e5bd1",
        "6efb45893e4e01592d201cf5e8d5d49715a05787082b533300880876c8cfc99e",
    ),
    (
        "simda-edit",
        {"preset": "sprites", "weights": "sprites/t2i"},
        "ca5f80b4126d38397b8695e8517e9fe21e26a5caca370e6c26b5d61fbf5865db",
        "e666f078d45f4329825ba519bb1d04fe3b7f90d58e8ecbe3e72e64d05e5635d7",
    ),
    (
        "fca",
        {"num_steps": 20, "guidance_scale": 2.0},
        "2823083ec13ca0d673629bc9b665fd27fd2a123432dc8ba7a18ead8d4bb09930",
        None,
    ),
    (
        "cogvideox-lora",
        {"num_steps": 20, "guidance_scale": 2.0},
        "46aeacb534db938d9c5bdf2273d5fcddb95a4827bcc708aaf444c641b09d8af0",
        None,
    ),
    (
        "cogvideox",
        {"num_steps": 20, "guidance_scale": 5.0},
        "69b7602c5d7e15ae8602e343a8f630d62d0aaf06ca21541704c1c647dbe7403b",
        None,
    ),
    (
        "repeat-last-frame",
        {"height": 32, "width": 32},
        "b17f3c3f3545c3e78766b3a2c1383ae070dc34e89378ee2479a9536da8d19ccd",
        None,
    ),
    (
        "constant-velocity",
        {"height": 32, "width": 32},
        "b5bc7501df76d55b3f43f920652d8a2dca7c019b5774ad37eacd2d03cf94917d",
        None,
    ),
]
"""Name, configuration, key and tuning key."""

EXTRACTORS = {
    ("clean", "clip_image"): "83d5dc9ddaa3f32e7ee88dc3ed7cfaa45e75075d114ba3a8e963b1d1e86896e5",
    ("clean", "clip_text"): "915a88f7d4a0b4a013fbde0ae568c7926a624651b08fb2c6a036dfaaf57d530b",
    ("clean", "i3d"): "1b46d71f0e6ee779a079a2c46afde68ff8e7f584df6e0b86c758ad0576c7360b",
    ("loveu", "clip_image"): "9aae0cc3917dae51c29d0e356e1110b64fdf180a09c0970cba7d8d0c5941866d",
    ("loveu", "clip_text_scaled"): "3fc559e9c7d10c57b0606ab50fcadd3e075f6a7a0ed22d5e9fc0a57be7382b96",
    ("loveu", "pair_edges"): "830ddf3ebd11d450c7cab580f4a71bc77b456f139264fd7a6cf5951619287291",
    ("loveu", "pair_flow"): "dc0fbb1de278ff95b648fe3212fb0d390c270a26044b4f286db0506cb4137efa",
    ("predicted", "clip_image"): "83d5dc9ddaa3f32e7ee88dc3ed7cfaa45e75075d114ba3a8e963b1d1e86896e5",
    ("predicted", "clip_text"): "915a88f7d4a0b4a013fbde0ae568c7926a624651b08fb2c6a036dfaaf57d530b",
    ("predicted", "i3d"): "827877a30f0c256c90d5cc126e41532854f6e9477b9ba9eea59fa455b3022357",
    ("predicted", "pair_pixels"): "4bd3ee842afd8f0fc58307eb67de9f334038167dc34934d59da21248ef15997c",
    ("seer", "clip_image"): "83d5dc9ddaa3f32e7ee88dc3ed7cfaa45e75075d114ba3a8e963b1d1e86896e5",
    ("seer", "clip_text"): "915a88f7d4a0b4a013fbde0ae568c7926a624651b08fb2c6a036dfaaf57d530b",
    ("seer", "i3d"): "784a5c22557c8b6cf7ae744539b78de14209c8c5a7d51685b60bc8eb75b97021",
    ("seer", "pair_pixels"): "4bd3ee842afd8f0fc58307eb67de9f334038167dc34934d59da21248ef15997c",
}
"""Key of the features of a content "content", by protocol and extractor."""


@pytest.fixture(autouse=True)
def no_weights_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REELBENCH_WEIGHTS", raising=False)


def test_every_embedded_model_is_recorded() -> None:
    assert {path.name for path in WEIGHTS.iterdir() if path.is_dir()} == set(DIGESTS)


@pytest.mark.parametrize("name", DIGESTS)
def test_the_digests_of_the_embedded_weights(name: str) -> None:
    assert digest_weights(WEIGHTS / name) == DIGESTS[name]


@pytest.mark.parametrize(("name", "config", "key", "tuning_key"), METHODS, ids=lambda value: str(value)[:20])
def test_the_keys_of_methods(
    name: str, config: dict[str, Any], key: str, tuning_key: str | None, tmp_path: Path
) -> None:
    run = parse_run_file(
        {
            "name": "keys",
            "methods": [{"name": name, "config": config}],
            "datasets": [{"name": f"{TINY}:Words"}],
        }
    )
    (planned,) = make_plan(run, Store(tmp_path, default_codec(), read_only=True)).methods
    assert (planned.key, planned.tuning_key) == (key, tuning_key)


@pytest.mark.parametrize(("protocol", "role"), EXTRACTORS)
def test_the_keys_of_features(protocol: str, role: str) -> None:
    plugin = build_extractor(role, load_protocol(protocol))
    weights = WeightsFinder(FileDigests(None), fetch=False)
    planned = PlannedExtractor(role, plugin, {ref.name: weights.digest(ref) for ref in plugin.weights()})
    assert planned.key("content") == EXTRACTORS[protocol, role]
