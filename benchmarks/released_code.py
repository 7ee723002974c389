"""Protocols beside the released code that they are named after: same clips, same weights.

    .venv/bin/python benchmarks/released_code.py FOLDER            # prints the table
    .venv/bin/python benchmarks/released_code.py FOLDER --write    # and records it for docs/agreement.md

FOLDER holds checkouts under their repositories' names: content-debiased-fvd, TATS, VideoGPT, LVDM,
SeerVideoLDM, common_metrics_on_video_quality, VBench; FOLDER/commits.json says of each which commit it is.
Their files import libraries that are not here, so single functions are taken out of them and run as they are;
what stands around these (bytes made of floats, Pillow's and torchvision's transforms) is written here after
their scripts. The functions are run: look at them first.

Clips are moving sections of scikit-learn's two photographs. I3D has random weights and 1/16 of its width,
with 400 logits, and is the same on both sides: what differs is what is done to frames and to features.
"""

from __future__ import annotations

import argparse
import ast
import json
import math
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from sklearn.metrics.pairwise import polynomial_kernel
from torch import Tensor
from torchvision import transforms

from reelbench.datasets.video import seer_squares
from reelbench.metrics.clips.consistency import FrameConsistencyFirstAndPrevious, SubjectConsistency
from reelbench.metrics.extractors.backbone import normalise, resize_frames
from reelbench.metrics.extractors.frames.dino import MEAN, STD
from reelbench.metrics.extractors.i3d.network import InceptionI3d
from reelbench.metrics.protocol import Protocol, load_protocol
from reelbench.metrics.sets.frechet import frechet_distance
from reelbench.metrics.sets.fvd import Fvd
from reelbench.metrics.sets.kvd import Kvd

RECORD = Path(__file__).with_name("agreement") / "released_code.json"
SIZES = ((240, 320), (336, 596), (256, 341), (240, 427), (427, 240), (50, 50))
"""Height and width of the real clips; generated ones have the side of the protocol's models."""
NUM_CLIPS = NUM_FRAMES = 16
DIMENSION = 400

Frames = np.ndarray
Way = Callable[[Frames], Tensor]


class Released:
    """Functions of released files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def functions(self, path: str, *names: str, **around: Any) -> types.SimpleNamespace:
        """The functions and classes of these names, run in a module of torch, numpy and `around`."""
        tree = ast.parse((self._folder / path).read_text(encoding="utf-8"))
        wanted = [item for item in tree.body if getattr(item, "name", None) in names]
        names_around: dict[str, Any] = {
            **{"torch": torch, "F": torch.nn.functional, "np": np, "math": math, "scipy": scipy},
            **{"sqrtm": scipy.linalg.sqrtm, "polynomial_kernel": polynomial_kernel, **vars(typing)},
            **{"transforms": transforms, **vars(transforms), "BICUBIC": transforms.InterpolationMode.BICUBIC},
            **around,
        }
        exec(compile(ast.Module(wanted, []), path, "exec"), names_around)
        return types.SimpleNamespace(**{name: names_around[name] for name in names})


@dataclass(frozen=True)
class Recipe:
    """What the code of one repository does.

    Attributes:
        repository: its folder.
        real, generated: a clip uint8 [T, H, W, 3] as the network's input [3, T, 224, 224], in [-1, 1].
        distance: of features [N, D] float32, generated and real.
        kernel: KVD likewise; None where it has none.
        side: of the generated clips.
    """

    repository: str
    real: Way
    generated: Way
    distance: Callable[[Tensor, Tensor], float]
    kernel: Callable[[Tensor, Tensor], float] | None = None
    side: int = 256


def recipes(released: Released) -> dict[str, Callable[[], Recipe]]:
    """By protocol, made when asked for."""
    roots = ("_symmetric_matrix_square_root", "trace_sqrt_product", "cov", "frechet_distance")

    def single_precision(path: str, *more: str) -> types.SimpleNamespace:
        return released.functions(path, *roots, *more)

    def on_copies(function: Callable[..., Any], x: Tensor, y: Tensor) -> float:
        return float(function(x.clone(), y.clone()))  # some subtract means in place

    def cd_fvd() -> Recipe:
        home = "content-debiased-fvd/cdfvd"
        load = released.functions(f"{home}/utils/data_utils.py", "preprocess").preprocess
        squash = released.functions(
            f"{home}/third_party/i3d/utils.py", "preprocess_i3d", TARGET_RESOLUTION=(224, 224)
        ).preprocess_i3d
        stats = released.functions(f"{home}/utils/metric_utils.py", "FeatureStats").FeatureStats

        def way(frames: Frames) -> Tensor:
            video = load(torch.from_numpy(frames), 256)["video"][None]
            return squash((video * 255).permute(0, 2, 3, 4, 1).byte().numpy())[0]

        def distance(x: Tensor, y: Tensor) -> float:
            moments = []
            for features in (x, y):
                of_side = stats(capture_mean_cov=True)
                of_side.append(features.numpy())
                moments.append(of_side.get_mean_cov())
            (mean_x, cov_x), (mean_y, cov_y) = moments
            root = scipy.linalg.sqrtm(cov_y @ cov_x)  # as its compute_fvd_from_stats, without `disp`
            return float(np.real(np.square(mean_x - mean_y).sum() + np.trace(cov_x + cov_y - 2 * root)))

        return Recipe("content-debiased-fvd", way, way, distance)

    def tats() -> Recipe:
        load = released.functions("TATS/tats/data.py", "preprocess").preprocess
        fvd = single_precision("TATS/tats/fvd/fvd.py", "preprocess", "polynomial_mmd")

        def real(frames: Frames) -> Tensor:
            video = load(torch.from_numpy(frames), 128)["video"][None]
            return generated(((video + 0.5) * 255).permute(0, 2, 3, 4, 1).byte().numpy()[0])

        def generated(frames: Frames) -> Tensor:
            return fvd.preprocess(frames[None], (224, 224))[0]

        distance, kernel = (partial(on_copies, f) for f in (fvd.frechet_distance, fvd.polynomial_mmd))
        return Recipe("TATS", real, generated, distance, kernel, side=128)

    def videogpt() -> Recipe:
        load = released.functions("VideoGPT/videogpt/data.py", "preprocess").preprocess
        fvd = released.functions("VideoGPT/videogpt/fvd/fvd.py", "preprocess", *roots, preprocess_single=load)

        def real(frames: Frames) -> Tensor:
            video = load(torch.from_numpy(frames), 128)[None] + 0.5
            return generated((video.permute(0, 2, 3, 4, 1).numpy() * 255).astype("uint8")[0])

        def generated(frames: Frames) -> Tensor:
            return fvd.preprocess(frames[None])[0]

        return Recipe("VideoGPT", real, generated, partial(on_copies, fvd.frechet_distance), side=128)

    def lvdm() -> Recipe:
        fvd = single_precision("LVDM/scripts/fvd_utils/fvd_utils.py", "preprocess", "polynomial_mmd")
        of_pictures = transforms.Compose([transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)])
        # torchvision of its time does not antialias tensors.
        of_video = transforms.Compose([transforms.Resize(256, antialias=False), transforms.CenterCrop(256)])

        def real(frames: Frames) -> Tensor:
            video = of_video(torch.stack([of_pictures(Image.fromarray(frame)) for frame in frames], 1))[None]
            return generated(((video + 1) * 255 / 2).permute(0, 2, 3, 4, 1).int().numpy()[0])

        def generated(frames: Frames) -> Tensor:
            return fvd.preprocess(frames[None], (224, 224))[0]

        distance, kernel = (partial(on_copies, f) for f in (fvd.frechet_distance, fvd.polynomial_mmd))
        return Recipe("LVDM", real, generated, distance, kernel)

    def seer() -> Recipe:
        fvd = single_precision(
            "SeerVideoLDM/utils/fvd.py", "preprocess_single", "preprocess", "polynomial_mmd"
        )
        of_pictures = transforms.Compose(
            [transforms.Resize(256), transforms.CenterCrop(256), transforms.ToTensor()]
        )

        blend = released.functions("SeerVideoLDM/dataset/data_utils.py", "cast_num_frames").cast_num_frames

        def real(frames: Frames) -> Tensor:
            video = 2.0 * torch.stack([of_pictures(Image.fromarray(frame)) for frame in frames], 1) - 1.0
            video = (blend(video, frames=NUM_FRAMES) + 1.0) / 2.0
            return generated((video.permute(1, 2, 3, 0).numpy() * 255).astype("uint8"))

        def generated(frames: Frames) -> Tensor:
            return fvd.preprocess(frames[None])[0]

        def kernel(x: Tensor, y: Tensor) -> float:
            x, y = x.clone(), y.clone()
            fvd.frechet_distance(x, y)  # as its eval_video_fvd, which hands the same tensors on
            return float(fvd.polynomial_mmd(x, y))

        return Recipe("SeerVideoLDM", real, generated, partial(on_copies, fvd.frechet_distance), kernel)

    def common_metrics() -> Recipe:
        fvd = released.functions(
            "common_metrics_on_video_quality/fvd/styleganv/fvd.py",
            *("preprocess_single", "compute_stats", "frechet_distance"),
            sqrtm=lambda matrix, disp=False: (scipy.linalg.sqrtm(matrix), None),
        )

        def way(frames: Frames) -> Tensor:
            return fvd.preprocess_single((torch.from_numpy(frames) / 255.0).permute(3, 0, 1, 2))

        return Recipe(
            "common_metrics_on_video_quality",
            way,
            way,
            lambda x, y: fvd.frechet_distance(x.numpy(), y.numpy()),
        )

    return {
        **{"cd-fvd": cd_fvd, "common-metrics": common_metrics, "lvdm": lvdm, "seer": seer},
        **{"tats": tats, "videogpt": videogpt},
    }


# -- clips and networks ------------------------------------------------------------------------


def clip(height: int, width: int, seed: int, num_frames: int = NUM_FRAMES) -> Frames:
    """A section of a photograph that moves, uint8 [num_frames, height, width, 3]."""
    rng = np.random.default_rng(seed)
    photo = load_sample_images().images[seed % 2]
    tall, wide = photo.shape[:2]
    box_width = min(wide, tall * width / height) * rng.uniform(0.5, 0.9)
    box_height = box_width * height / width
    place, speed = rng.uniform(0, 40, 2), rng.uniform(-3, 3, 2)
    frames = []
    for t in range(num_frames):
        left = float(np.clip(place[0] + speed[0] * t, 0, wide - box_width))
        top = float(np.clip(place[1] + speed[1] * t, 0, tall - box_height))
        box = (left, top, left + box_width, top + box_height)
        frames.append(Image.fromarray(photo).resize((width, height), Image.Resampling.BICUBIC, box=box))
    return np.stack([np.asarray(frame) for frame in frames])


def noisy(frames: Frames, seed: int) -> Frames:
    """A clip as a model might have made it."""
    noise = np.random.default_rng(seed).normal(0, 12, frames.shape)
    return np.clip(frames + noise, 0, 255).astype(np.uint8)


@cache
def network() -> InceptionI3d:
    """I3D at random weights."""
    torch.manual_seed(0)
    i3d = InceptionI3d(width_multiplier=0.0625, num_classes=DIMENSION).eval()
    for module in i3d.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.05, 0.5)
            module.bias.normal_(0, 0.1)
    return i3d


def features(inputs: list[Tensor]) -> Tensor:
    """Logits float32 [N, D], scaled to a deviation of about 1."""
    return torch.cat([network()(video[None]) for video in inputs]) * 100


# -- what is compared --------------------------------------------------------------------------


def measure(name: str, recipe: Recipe) -> dict[str, Any]:
    """One row of the record: differences of a protocol from a recipe."""
    protocol = load_protocol(name)
    ways: list[tuple[Way, Way, list[Frames]]] = [
        (partial(ours, protocol), recipe.generated, []),
        (partial(ours_of_real, protocol), recipe.real, []),
    ]
    for seed in range(NUM_CLIPS):
        ways[0][2].append(noisy(clip(recipe.side, recipe.side, 100 + seed), seed))
        # Half of Seer's real clips are longer, and blended.
        number = 40 if name == "seer" and seed % 2 else NUM_FRAMES
        ways[1][2].append(clip(*SIZES[seed % len(SIZES)], seed, number))
    levels, sides = 0.0, []
    for mine, theirs, clips in ways:
        inputs = [(mine(frames), theirs(frames)) for frames in clips]
        levels = max(levels, *(float((a - b).abs().max()) * 127.5 for a, b in inputs))
        sides.append([features([pair[which] for pair in inputs]) for which in (0, 1)])
    (mine_x, theirs_x), (mine_y, theirs_y) = sides
    ddof = protocol.frechet.ddof
    exact = [frechet_distance(x.numpy(), y.numpy(), ddof) for x, y in zip(*sides, strict=True)]
    row: dict[str, Any] = {
        "levels": levels,
        "fvd_frames": apart(*exact),
        "fvd_16": apart(fvd(protocol, mine_x, mine_y), recipe.distance(theirs_x, theirs_y)),
    }
    for number in (64, 600):
        rng = np.random.default_rng(number)
        scales = np.arange(1, DIMENSION + 1) ** -0.5
        x, y = (
            torch.from_numpy((rng.standard_normal((number, DIMENSION)) * scales * s).astype(np.float32))
            for s in (1.0, 1.1)
        )
        row[f"distance_{number}"] = apart(fvd(protocol, x, y), recipe.distance(x, y))
    if recipe.kernel is not None:
        row["kvd_16"] = apart(kvd(protocol, mine_x, mine_y), recipe.kernel(theirs_x, theirs_y))
    return row


def ours(protocol: Protocol, frames: Frames) -> Tensor:
    """The network's input [3, T, 224, 224], as reader and extractor make it."""
    return resize_frames(frames, protocol.i3d.resize, 224).transpose(0, 1) / 127.5 - 1.0


def ours_of_real(protocol: Protocol, frames: Frames) -> Tensor:
    """As `ours`, of a real clip."""
    if (side := protocol.sampling.blend_side) is not None:
        frames = seer_squares(frames, NUM_FRAMES, side)
    return ours(protocol.of_references(), frames)


def fvd(protocol: Protocol, x: Tensor, y: Tensor) -> float:
    return _set_value(Fvd(protocol), x, y)


def kvd(protocol: Protocol, x: Tensor, y: Tensor) -> float:
    return _set_value(Kvd(protocol), x, y)


def _set_value(metric: Fvd | Kvd, x: Tensor, y: Tensor) -> float:
    sources = [[str(index) for index in range(len(side))] for side in (x, y)]
    return float(metric.compute(x.numpy(), y.numpy(), *sources).value)


def apart(a: float, b: float) -> float:
    """Relative difference."""
    return abs(a - b) / abs(b)


def measure_vbench(released: Released) -> dict[str, Any]:
    """Frames for CLIP and for DINO, and both consistencies, with a random linear encoder in their place."""
    weights = torch.randn(3 * 32 * 32, 64, generator=torch.Generator().manual_seed(0))

    def encode(images: Tensor) -> Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(images, 32).flatten(1) @ weights

    around = {"get_rank": lambda: 0, "tqdm": _Silent, "load_video": lambda frames: frames}
    transform = released.functions("VBench/vbench/utils.py", "clip_transform").clip_transform
    consistency = released.functions(
        "VBench/vbench/background_consistency.py",
        "background_consistency",
        clip_transform=transform,
        **around,
    ).background_consistency
    dino_transform = released.functions("VBench/vbench/utils.py", "dino_transform").dino_transform
    of_subjects = released.functions(
        "VBench/vbench/subject_consistency.py",
        "subject_consistency",
        dino_transform=dino_transform,
        **around,
    ).subject_consistency
    model = types.SimpleNamespace(encode_image=encode)
    vbench = load_protocol("vbench")
    steps = vbench.clip.resize
    mean, deviation = (
        torch.tensor(values).view(3, 1, 1)
        for values in ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
    )
    levels, difference = 0.0, 0.0
    for seed, size in enumerate(SIZES):
        frames = clip(*size, seed)
        video = torch.Tensor(frames).permute(0, 3, 1, 2)  # as its load_video: float32 of 0 to 255
        mine = (resize_frames(frames, steps, 224) / 255 - mean) / deviation
        levels = max(levels, float(((mine - transform(224)(video)) * deviation).abs().max()) * 255)
        encoded = torch.nn.functional.normalize(encode(mine), dim=-1).numpy()
        value = FrameConsistencyFirstAndPrevious(load_protocol("vbench")).compute({"clip_image": encoded})
        theirs = consistency(model, None, [video], "cpu", False)[0]
        difference = max(difference, abs(value - theirs))
        whole = normalise(resize_frames(frames, vbench.dino.resize, 224), MEAN, STD)
        apart = (whole - dino_transform(224)(video)) * torch.tensor(STD).view(3, 1, 1)
        levels = max(levels, float(apart.abs().max()) * 255)
        subject = SubjectConsistency(vbench).compute({"dino": encode(whole).numpy()})
        difference = max(difference, abs(subject - of_subjects(encode, [video], "cpu", False)[0]))
    return {"levels": levels, "consistency": difference}


class _Silent:
    """In place of a progress bar."""

    write = staticmethod(lambda *_: None)

    def __new__(cls, items: Any, **_: Any) -> Any:
        return items


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, help="checkouts of the released code")
    parser.add_argument("--only", nargs="*", help="these protocols; others stay as they are recorded")
    parser.add_argument("--write", action="store_true", help=f"record the differences in {RECORD.name}")
    options = parser.parse_args()
    torch.set_grad_enabled(False)
    torch.set_num_threads(1)
    commits = json.loads((options.folder / "commits.json").read_text())
    released = Released(options.folder)
    record = json.loads(RECORD.read_text()) if options.only else {}
    for name, make in sorted({**recipes(released), "vbench": None}.items()):
        if options.only and name not in options.only:
            continue
        recipe = None if make is None else make()
        repository = "VBench" if recipe is None else recipe.repository
        found = measure_vbench(released) if recipe is None else measure(name, recipe)
        protocol = load_protocol(name)
        record[name] = {
            "repository": f"{repository} @ {commits[repository]}",
            "protocol": f"{protocol.version} #{protocol.digest[:8]}",
            **{key: float(f"{value:.1e}") for key, value in found.items()},
        }
        print(name, json.dumps(record[name]), flush=True)
    if options.write:
        RECORD.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
