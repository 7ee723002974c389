"""Every metric and every stage against an independent implementation: writes docs/agreement.md.

    .venv/bin/python benchmarks/agreement.py            # prints the table
    .venv/bin/python benchmarks/agreement.py --write    # and writes the page

Each row computes the same thing twice, here and by another library or by an evaluation written down from the
definition, and states the largest difference. Backbones have random weights: agreement is a matter of what is
computed, not of what was learned. `tests/metrics/test_agreement.py` holds every row to its bound.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

PAGE = Path(__file__).resolve().parent.parent / "docs" / "agreement.md"


@dataclass(frozen=True)
class Agreement:
    """One row.

    Attributes:
        stage: decode, resize, network, moments, distance, metric or statistics.
        ours, against: what is compared.
        difference: the largest difference that was found.
        bound: what a test holds it to.
        unit: of both: "levels" of 0 to 255, "relative", "absolute".
    """

    stage: str
    ours: str
    against: str
    difference: float
    bound: float
    unit: str


ROWS: list[Callable[[], Agreement]] = []


def row(
    stage: str, ours: str, against: str, bound: float, unit: str
) -> Callable[[Callable[[], float]], Callable[[], Agreement]]:
    """Registers a function that gives the difference as a row of the page."""

    def register(measure: Callable[[], float]) -> Callable[[], Agreement]:
        def run() -> Agreement:
            return Agreement(stage, ours, against, float(measure()), bound, unit)

        run.__name__ = measure.__name__
        run.describe = lambda: (stage, ours, against)  # type: ignore[attr-defined]
        ROWS.append(run)
        return run

    return register


def largest(a: Any, b: Any) -> float:
    """Largest absolute difference."""
    return float(np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64)).max())


def relative(a: float, b: float) -> float:
    return abs(a - b) / abs(b)


# -- inputs ------------------------------------------------------------------------------------


@cache
def pictures() -> np.ndarray:
    """Frames with edges and gradients, uint8 [4, 240, 320, 3]."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:240, 0:320]
    frames = []
    for t in range(4):
        base = 127 + 60 * np.sin((x + 5 * t) / 17) + 60 * np.cos(y / 23)
        colour = np.stack([base, np.roll(base, 40, 0), 255 - base], -1) + rng.normal(0, 12, (240, 320, 3))
        colour[60:120, 80 + 6 * t : 160 + 6 * t] = rng.integers(0, 256, 3)
        frames.append(colour)
    return np.clip(np.stack(frames), 0, 255).astype(np.uint8)


@cache
def features(n: int = 300, d: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of features with a falling spectrum, float32."""
    rng = np.random.default_rng(1)
    scale = np.arange(1, d + 1) ** -0.7
    mix = rng.normal(size=(d, d)) / np.sqrt(d)
    x = rng.normal(size=(n, d)) * scale @ mix
    y = rng.normal(size=(n, d)) * (1.2 * scale) @ mix + 0.3
    return x.astype(np.float32), y.astype(np.float32)


# -- decode ------------------------------------------------------------------------------------


@row("decode", "PyAV, H.264 4:2:0", "OpenCV's own FFmpeg", 2.0, "levels")
def decode_h264() -> float:
    import cv2

    from reelbench.core.types import ClipRef
    from reelbench.datasets.video import read_clip, write_preview

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        write_preview(path, np.tile(pictures(), (4, 1, 1, 1)), 8.0)
        ours = read_clip(ClipRef(path))
        capture = cv2.VideoCapture(str(path))
        theirs = []
        while True:
            there, frame = capture.read()
            if not there:
                break
            theirs.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
    return largest(ours, np.stack(theirs)) if len(theirs) == len(ours) else float("inf")


@row("decode", "frames stored losslessly (FFV1)", "the frames that were written", 0.0, "levels")
def decode_lossless() -> float:
    from reelbench.datasets.video import read_lossless, write_lossless

    with tempfile.TemporaryDirectory() as folder:
        write_lossless(Path(folder) / "clip.mkv", pictures(), 8.0)
        return largest(read_lossless(Path(folder) / "clip.mkv"), pictures())


# -- resize ------------------------------------------------------------------------------------


def resized(**settings: Any) -> np.ndarray:
    """Our frames after one step, float32 [T, 224, 224, 3]."""
    from reelbench.metrics.preprocess import resize_frames
    from reelbench.metrics.settings import ResizeStep

    step = ResizeStep(size=224, **settings)
    return resize_frames(pictures(), (step,), 224).permute(0, 2, 3, 1).numpy()


@row(
    "resize", "bilinear, antialiased, squash (`clean`)", "Pillow in float, channel by channel", 5e-3, "levels"
)
def resize_clean() -> float:
    from PIL import Image

    theirs = [
        np.stack(
            [
                np.asarray(
                    Image.fromarray(frame[..., c].astype(np.float32)).resize(
                        (224, 224), Image.Resampling.BILINEAR
                    )
                )
                for c in range(3)
            ],
            -1,
        )
        for frame in pictures()
    ]
    return largest(resized(), theirs)


@row(
    "resize",
    "bilinear without antialias (`stylegan-v`, `tats`)",
    "OpenCV INTER_LINEAR in float",
    5e-3,
    "levels",
)
def resize_plain() -> float:
    import cv2

    theirs = [
        cv2.resize(frame.astype(np.float32), (224, 224), interpolation=cv2.INTER_LINEAR)
        for frame in pictures()
    ]
    return largest(resized(antialias=False), theirs)


@row("resize", "TensorFlow 1's corner phase (`tf-reference`)", "its definition in float64", 5e-3, "levels")
def resize_corner() -> float:
    def axis(length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        at = np.arange(224) * (length / 224)
        low = np.floor(at).astype(int)
        return low, np.minimum(low + 1, length - 1), at - low

    top, bottom, wy = axis(240)
    left, right, wx = axis(320)
    x = pictures().astype(np.float64)
    rows = x[:, top] * (1 - wy)[None, :, None, None] + x[:, bottom] * wy[None, :, None, None]
    theirs = rows[:, :, left] * (1 - wx)[None, None, :, None] + rows[:, :, right] * wx[None, None, :, None]
    return largest(resized(antialias=False, phase="corner"), theirs)


@row(
    "resize",
    "CLIP's transform (bicubic, crop, 8-bit)",
    "open_clip's own transform on Pillow images",
    1.01,
    "levels",
)
def resize_clip() -> float:
    from open_clip.transform import image_transform
    from PIL import Image

    transform = image_transform(224, is_train=False, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    theirs = (
        np.stack([transform(Image.fromarray(frame)).permute(1, 2, 0).numpy() for frame in pictures()]) * 255
    )
    ours = resized(geometry="short-side-crop", filter="bicubic", quantise="round")
    return largest(ours, theirs)


# -- network -----------------------------------------------------------------------------------


def same(x: np.ndarray, kernel: tuple[int, ...], stride: tuple[int, ...]) -> np.ndarray:
    """[C, T, H, W] zero-padded as TensorFlow's SAME, then all windows: [C, t, h, w, kt, kh, kw]."""
    pads = [(0, 0)]
    for n, k, s in zip(x.shape[1:], kernel, stride, strict=True):
        total = max((int(np.ceil(n / s)) - 1) * s + k - n, 0)
        pads.append((total // 2, total - total // 2))
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, pads), kernel, axis=(1, 2, 3))
    return windows[:, :: stride[0], :: stride[1], :: stride[2]]


def numpy_i3d(state: dict[str, np.ndarray], video_CTHW: np.ndarray) -> np.ndarray:
    """I3D in float64 with numpy alone, written down from the reference graph (BatchNorm epsilon 1e-3)."""

    def unit(x: np.ndarray, name: str, kernel: tuple[int, ...] = (1, 1, 1), stride: int = 1) -> np.ndarray:
        weight = state[f"{name}.conv3d.weight"].astype(np.float64)
        windows = same(x, kernel, (stride,) * 3)
        y = np.tensordot(weight, windows, axes=([1, 2, 3, 4], [0, 4, 5, 6]))
        if f"{name}.bn.running_mean" not in state:
            return y + state[f"{name}.conv3d.bias"][:, None, None, None]
        mean, var, shift = (
            state[f"{name}.bn.{key}"].astype(np.float64)[:, None, None, None]
            for key in ("running_mean", "running_var", "bias")
        )
        return np.maximum((y - mean) / np.sqrt(var + 1e-3) + shift, 0)

    def pool(x: np.ndarray, kernel: tuple[int, ...], stride: tuple[int, ...]) -> np.ndarray:
        return same(x, kernel, stride).max(axis=(4, 5, 6))

    def mixed(x: np.ndarray, name: str) -> np.ndarray:
        three = (3, 3, 3)
        return np.concatenate(
            [
                unit(x, f"{name}.b0"),
                unit(unit(x, f"{name}.b1a"), f"{name}.b1b", three),
                unit(unit(x, f"{name}.b2a"), f"{name}.b2b", three),
                unit(pool(x, three, (1, 1, 1)), f"{name}.b3b"),
            ]
        )

    x = pool(unit(video_CTHW.astype(np.float64), "Conv3d_1a_7x7", (7, 7, 7), 2), (1, 3, 3), (1, 2, 2))
    x = unit(unit(x, "Conv3d_2b_1x1"), "Conv3d_2c_3x3", (3, 3, 3))
    x = pool(x, (1, 3, 3), (1, 2, 2))
    x = pool(mixed(mixed(x, "Mixed_3b"), "Mixed_3c"), (3, 3, 3), (2, 2, 2))
    for letter in "bcdef":
        x = mixed(x, f"Mixed_4{letter}")
    x = pool(x, (2, 2, 2), (2, 2, 2))
    x = mixed(mixed(x, "Mixed_5b"), "Mixed_5c")
    x = np.lib.stride_tricks.sliding_window_view(x, (2, 7, 7), axis=(1, 2, 3)).mean(axis=(4, 5, 6))
    return unit(x, "logits").mean(axis=(1, 2, 3))


@row(
    "network",
    "I3D, float32 (1/16 of its width, 17 frames)",
    "the same graph in numpy, float64",
    1e-5,
    "relative",
)
def network_i3d() -> float:
    import torch

    from reelbench.metrics.i3d_network import InceptionI3d

    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(0)
        network = InceptionI3d(width_multiplier=0.0625, num_classes=12).eval()
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm3d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.05, 0.5)
                module.bias.normal_(0, 0.1)
        video = torch.rand(1, 3, 17, 224, 224) * 2 - 1
        ours = network(video)[0].numpy()
        state = {name: value.numpy() for name, value in network.state_dict().items()}
    theirs = numpy_i3d(state, video[0].numpy())
    return largest(ours, theirs) / float(np.abs(theirs).max())


def vision_as_transformers(tensors: dict[str, Any], num_layers: int) -> dict[str, Any]:
    """open_clip's image tower under the names of transformers' CLIPVisionModelWithProjection."""
    import torch

    renamed = {
        "visual_projection.weight": tensors["visual.proj"].T,
        "vision_model.embeddings.class_embedding": tensors["visual.class_embedding"],
        "vision_model.embeddings.patch_embedding.weight": tensors["visual.conv1.weight"],
        "vision_model.embeddings.position_embedding.weight": tensors["visual.positional_embedding"],
    }
    for kind in ("weight", "bias"):
        renamed[f"vision_model.pre_layrnorm.{kind}"] = tensors[f"visual.ln_pre.{kind}"]
        renamed[f"vision_model.post_layernorm.{kind}"] = tensors[f"visual.ln_post.{kind}"]
        for layer in range(num_layers):
            old, new = f"visual.transformer.resblocks.{layer}", f"vision_model.encoder.layers.{layer}"
            parts = torch.chunk(tensors[f"{old}.attn.in_proj_{kind}"], 3)
            for name, part in zip("qkv", parts, strict=True):
                renamed[f"{new}.self_attn.{name}_proj.{kind}"] = part
            for theirs, ours in (
                ("self_attn.out_proj", "attn.out_proj"),
                ("layer_norm1", "ln_1"),
                ("layer_norm2", "ln_2"),
                ("mlp.fc1", "mlp.c_fc"),
                ("mlp.fc2", "mlp.c_proj"),
            ):
                renamed[f"{new}.{theirs}.{kind}"] = tensors[f"{old}.{ours}.{kind}"]
    return {name: value.contiguous() for name, value in renamed.items()}


@row(
    "network",
    "CLIP ViT-B/32 by open_clip, full size, unit features",
    "transformers' CLIP at the same weights",
    1e-5,
    "absolute",
)
def network_clip() -> float:
    import open_clip
    import torch
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(0)
        network = open_clip.create_model("ViT-B-32").eval()
        config = CLIPVisionConfig(
            hidden_size=768,
            intermediate_size=3072,
            num_hidden_layers=12,
            num_attention_heads=12,
            image_size=224,
            patch_size=32,
            projection_dim=512,
            hidden_act="gelu",
        )
        other = CLIPVisionModelWithProjection(config).eval()
        other.load_state_dict(vision_as_transformers(network.state_dict(), 12), strict=True)
        frames = torch.randn(2, 3, 224, 224)
        ours = network.encode_image(frames, normalize=True)
        theirs = torch.nn.functional.normalize(other(pixel_values=frames).image_embeds, dim=-1)
    return largest(ours, theirs)


# -- moments and distances ---------------------------------------------------------------------


@row(
    "moments",
    "mean and scatter merged over shards, float64",
    "numpy.mean and numpy.cov on all rows",
    1e-12,
    "relative",
)
def moments_merged() -> float:
    from reelbench.metrics.moments import Moments

    x = features()[0].astype(np.float64) + 100.0
    parts = [Moments.of(part) for part in np.array_split(x, 7)]
    merged = parts[0]
    for part in parts[1:]:
        merged = merged.merge(part)
    covariance = merged.scatter_DD / (merged.n - 1)
    return max(
        largest(merged.mean_D, x.mean(axis=0)) / 100.0,
        largest(covariance, np.cov(x, rowvar=False)) / float(np.abs(covariance).max()),
    )


@row("distance", "FVD, N > D", "mpmath, 50 digits", 1e-12, "relative")
def distance_mpmath() -> float:
    import mpmath

    from reelbench.metrics.frechet import frechet_distance

    x, y = (side[:60, :6].astype(np.float64) for side in features())
    with mpmath.workdps(50):

        def moments(rows: np.ndarray) -> tuple[Any, Any]:
            matrix = mpmath.matrix(rows.tolist())
            n, d = matrix.rows, matrix.cols
            mean = [mpmath.fsum(matrix[i, j] for i in range(n)) / n for j in range(d)]
            centred = mpmath.matrix(n, d)
            for i in range(n):
                for j in range(d):
                    centred[i, j] = matrix[i, j] - mean[j]
            return mean, centred.T * centred / (n - 1)

        (mean_x, cov_x), (mean_y, cov_y) = moments(x), moments(y)
        roots = mpmath.eig(cov_x * cov_y, left=False, right=False)
        root_trace = mpmath.fsum(mpmath.sqrt(mpmath.re(value)) for value in roots)
        shift = mpmath.fsum((a - b) ** 2 for a, b in zip(mean_x, mean_y, strict=True))
        trace = mpmath.fsum(cov_x[i, i] + cov_y[i, i] for i in range(cov_x.rows))
        exact = float(shift + trace - 2 * root_trace)
    return relative(frechet_distance(x, y), exact)


@row("distance", "FVD, N > D", "torchmetrics' Fréchet distance, float64", 1e-10, "relative")
def distance_torchmetrics() -> float:
    import torch
    from torchmetrics.image.fid import _compute_fid

    from reelbench.metrics.frechet import frechet_distance

    x, y = (side.astype(np.float64) for side in features())
    moments = [
        torch.from_numpy(value) for side in (x, y) for value in (side.mean(0), np.cov(side, rowvar=False))
    ]
    return relative(frechet_distance(x, y), float(_compute_fid(*moments)))


@row("distance", "FVD, N > D", "scipy.linalg.sqrtm of the product, float64", 1e-10, "relative")
def distance_scipy() -> float:
    from scipy.linalg import sqrtm

    from reelbench.metrics.frechet import frechet_distance

    x, y = (side.astype(np.float64) for side in features())
    cov_x, cov_y = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    shift = x.mean(0) - y.mean(0)
    theirs = shift @ shift + np.trace(cov_x) + np.trace(cov_y) - 2 * np.trace(sqrtm(cov_x @ cov_y)).real
    return relative(frechet_distance(x, y), float(theirs))


@row(
    "distance",
    "FVD, N < D (singular covariances)",
    "nuclear norm from eigenvalues, mpmath 50 digits",
    1e-10,
    "relative",
)
def distance_singular() -> float:
    import mpmath

    from reelbench.metrics.frechet import frechet_distance

    x, y = (side[:8].astype(np.float64) for side in features())
    with mpmath.workdps(50):
        a = mpmath.matrix((x - x.mean(0)).tolist())
        b = mpmath.matrix((y - y.mean(0)).tolist())
        cross = a * b.T
        squares = mpmath.eigsy(cross * cross.T, eigvals_only=True)
        root = float(mpmath.fsum(mpmath.sqrt(abs(value)) for value in squares) / 7)
    shift = x.mean(0) - y.mean(0)
    traces = sum(float(np.square(side - side.mean(0)).sum()) / 7 for side in (x, y))
    return relative(frechet_distance(x, y), float(shift @ shift + traces - 2 * root))


@row("distance", "KVD, unbiased, cubic", "torchmetrics' polynomial MMD (KID)", 1e-9, "relative")
def kernel_torchmetrics() -> float:
    import torch
    from torchmetrics.image.kid import poly_mmd

    from reelbench.metrics.kernel import polynomial_mmd

    x, y = (side.astype(np.float64) for side in features())
    return relative(polynomial_mmd(x, y), float(poly_mmd(torch.from_numpy(y), torch.from_numpy(x))))


@row("distance", "KVD, unbiased, cubic", "scikit-learn's polynomial_kernel, sums by hand", 1e-9, "relative")
def kernel_sklearn() -> float:
    from sklearn.metrics.pairwise import polynomial_kernel

    from reelbench.metrics.kernel import polynomial_mmd

    x, y = (side.astype(np.float64) for side in features())
    n, m = len(x), len(y)
    within_x, within_y, between = (polynomial_kernel(a, b) for a, b in ((x, x), (y, y), (x, y)))
    theirs = (
        (within_x.sum() - np.trace(within_x)) / (n * (n - 1))
        + (within_y.sum() - np.trace(within_y)) / (m * (m - 1))
        - 2 * between.mean()
    )
    return relative(polynomial_mmd(x, y), float(theirs))


@row(
    "distance",
    "FVD without each of 20 groups (jackknife)",
    "the distance computed anew on the rows that are left",
    1e-10,
    "relative",
)
def distance_left_out() -> float:
    from reelbench.metrics.frechet import frechet_distance, frechet_without_each_group

    x, y = (side.astype(np.float64) for side in features())
    group = np.arange(len(x)) % 20
    ours = frechet_without_each_group(x, y, group, group, 20)
    theirs = [frechet_distance(x[group != g], y[group != g]) for g in range(20)]
    return max(relative(a, b) for a, b in zip(ours, theirs, strict=True))


# -- metrics of a clip -------------------------------------------------------------------------


@cache
def clip_features() -> dict[str, np.ndarray]:
    """Features of 16 frames that drift, and of a caption; float32, not of unit length."""
    rng = np.random.default_rng(5)
    frames = np.cumsum(rng.normal(size=(16, 64)), axis=0) + 3 * rng.normal(size=64)
    return {"clip_image": frames.astype(np.float32), "clip_text": rng.normal(size=64).astype(np.float32)}


def of_clip(metric: str) -> float:
    from reelbench.metrics.build import build_metric
    from reelbench.metrics.protocol import load_protocol

    return float(build_metric(metric, load_protocol("clean")).compute(clip_features()))


@row("metric", "CLIPSIM", "scikit-learn's cosine_similarity, averaged", 1e-6, "absolute")
def clipsim() -> float:
    from sklearn.metrics.pairwise import cosine_similarity

    found = clip_features()
    theirs = cosine_similarity(found["clip_image"].astype(np.float64), found["clip_text"][None]).mean()
    return abs(of_clip("clipsim") - float(theirs))


@row(
    "metric",
    "frame consistency, all pairs",
    "scikit-learn's cosine_similarity off the diagonal",
    1e-6,
    "absolute",
)
def all_pairs() -> float:
    from sklearn.metrics.pairwise import cosine_similarity

    cosines = cosine_similarity(clip_features()["clip_image"].astype(np.float64))
    theirs = cosines[~np.eye(len(cosines), dtype=bool)].mean()
    return abs(of_clip("frame_consistency_all_pairs") - float(theirs))


@row(
    "metric",
    "frame consistency, first and previous (VBench)",
    "its definition on scikit-learn's cosines",
    1e-6,
    "absolute",
)
def first_and_previous() -> float:
    from sklearn.metrics.pairwise import cosine_similarity

    cosines = np.maximum(cosine_similarity(clip_features()["clip_image"].astype(np.float64)), 0)
    theirs = np.mean([(cosines[t, t - 1] + cosines[t, 0]) / 2 for t in range(1, len(cosines))])
    return abs(of_clip("frame_consistency_first_and_previous") - float(theirs))


# -- statistics --------------------------------------------------------------------------------


@row("statistics", "mean, standard error and t-interval, one clip a source", "scipy.stats", 1e-12, "relative")
def mean_interval() -> float:
    from scipy import stats

    from reelbench.core.statistics import mean_estimate

    values = np.random.default_rng(3).gamma(2.0, size=40)
    ours = mean_estimate(values, [str(k) for k in range(40)])
    low, high = stats.t.interval(0.95, 39, values.mean(), stats.sem(values))
    assert ours.low is not None
    assert ours.high is not None
    return max(relative(ours.low, float(low)), relative(ours.high, float(high)))


@row("statistics", "sign-flip test, exact", "scipy.stats.permutation_test, all patterns", 1e-12, "absolute")
def sign_flips() -> float:
    from scipy import stats

    from reelbench.core.statistics import sign_flip_test

    values = np.random.default_rng(4).normal(0.4, 1.0, 12)
    theirs = stats.permutation_test(
        (values,),
        lambda x, axis: x.mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf,
    )
    return abs(sign_flip_test(values, [str(k) for k in range(12)]).p_value - float(theirs.pvalue))


# -- the page ----------------------------------------------------------------------------------


def measured() -> Iterator[Agreement]:
    for run in ROWS:
        yield run()


def page(rows: list[Agreement]) -> str:
    from importlib.metadata import version

    libraries = (
        "torch",
        "torchvision",
        "torchmetrics",
        "open_clip_torch",
        "transformers",
        "scipy",
        "scikit-learn",
    )
    libraries = (*libraries, "scikit-image", "opencv-python-headless", "pillow", "mpmath", "numpy", "av")
    lines = [
        "# Agreement",
        "",
        "Every metric and every stage of measuring against an independent implementation: the largest",
        "difference that was found. Written by `benchmarks/agreement.py --write`;",
        "`tests/metrics/test_agreement.py` holds every row to its bound. Backbones have random weights (no",
        "published weights were at hand): this page says that the right thing is computed, not that published",
        "numbers were reproduced.",
        "",
        "| stage | here | against | largest difference | bound | unit |",
        "|---|---|---|---:|---:|---|",
    ]
    lines += [
        f"| {item.stage} | {item.ours} | {item.against} | {item.difference:.1e} | {item.bound:g} | "
        f"{item.unit} |"
        for item in rows
    ]
    names = ", ".join(f"{name} {version(name)}" for name in libraries)
    return "\n".join([*lines, "", f"Measured on a CPU with {names}.", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--write", action="store_true", help="write docs/agreement.md")
    options = parser.parse_args()
    rows = list(measured())
    text = page(rows)
    print(text)
    beyond = [item for item in rows if not item.difference <= item.bound]
    for item in beyond:
        print(f"beyond its bound: {item}")
    if options.write and not beyond:
        PAGE.write_text(text, encoding="utf-8")
    raise SystemExit(1 if beyond else 0)


if __name__ == "__main__":
    main()
