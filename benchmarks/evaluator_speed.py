"""How much of the time of an evaluation is not the backbones': throughput, own cost, memory.

    .venv/bin/python benchmarks/evaluator_speed.py            # all parts, some minutes on two cores
    .venv/bin/python benchmarks/evaluator_speed.py --part throughput

Everything is compared within one process and run, so the ratios travel between machines better than the
seconds do. Backbones have random weights at their real size; what they compute does not change what it costs.

* throughput: clips a second through the extraction engine (decoding, resizing, forward passes, storing) over
  those of the bare forward passes on ready tensors, on as many threads. Goal: 0.9 on a CPU; 0.8 on a
  GPU.
* own cost: seconds of a whole evaluation (matching, digests, decoding, resizing, storing, tables) with a
  backbone of next to no cost, over bare decoding and resizing of the same files on one thread. Goal: at
  most 1.3 on one core. On two cores the engine's time is set against the larger of decoding and forward pass.
* memory: peak memory of an evaluation of 4,000 clips over that of 1,000. Goal: 1.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from thin_backbone import spin
from timing import in_child, interleaved, peak_gib

THIN_PLUGIN = Path(__file__).resolve().parent / "thin_backbone.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--part", choices=["throughput", "own-cost", "memory"], action="append")
    parser.add_argument("--clips", type=int, default=8, help="of the throughput part")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory-clips", type=int, nargs=2, default=(1000, 4000))
    parser.add_argument("--child", metavar="JSON", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(json.loads(options.child))
        return
    parts = options.part or ["throughput", "own-cost", "memory"]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        if "throughput" in parts:
            throughput(root, options.clips, options.repeats)
        if "own-cost" in parts:
            own_cost(root, options.repeats)
        if "memory" in parts:
            memory(root, *options.memory_clips)


# -- clips -------------------------------------------------------------------------------------


def write_clips(folder: Path, count: int, size: int, num_frames: int = 16) -> list[Path]:
    """H.264 clips of smooth noise that moves: their bytes and decoding time are those of ordinary video."""
    from reelbench.datasets.video import write_preview

    folder.mkdir(parents=True)
    paths = []
    for index in range(count):
        rng = np.random.default_rng(index)
        small = rng.integers(0, 256, (size // 8 + 4, size // 8 + 4, 3)).astype(np.float32)
        large = np.kron(small, np.ones((8, 8, 1), np.float32))
        for _ in range(3):
            large = (large + np.roll(large, 3, 0) + np.roll(large, 3, 1) + np.roll(large, -3, 0)) / 4
        frames = np.stack([large[t % 24 : t % 24 + size, t % 16 : t % 16 + size] for t in range(num_frames)])
        paths.append(folder / f"clip{index:05}.mp4")
        write_preview(paths[-1], frames.astype(np.uint8), 8.0)
    return paths


def i3d_weights(folder: Path) -> Path:
    """A full-size I3D at random weights."""
    import torch
    from safetensors.torch import save_file

    from reelbench.metrics.extractors.i3d.network import InceptionI3d

    torch.manual_seed(0)
    network = InceptionI3d(width_multiplier=1.0, num_classes=400)
    folder.mkdir()
    config = {"width_multiplier": 1.0, "num_classes": 400, "classes": []}
    (folder / "config.json").write_text(json.dumps(config))
    save_file(network.state_dict(), folder / "model.safetensors")
    return folder


def clip_weights(folder: Path) -> Path:
    """A ViT-B/32 of open_clip at random weights."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    config = open_clip.get_model_config("ViT-B-32")
    network = open_clip.create_model("ViT-B-32")
    folder.mkdir()
    preprocess = {"mean": list(open_clip.OPENAI_DATASET_MEAN), "std": list(open_clip.OPENAI_DATASET_STD)}
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": preprocess})
    )
    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    return folder


# -- throughput --------------------------------------------------------------------------------


def throughput(root: Path, num_clips: int, repeats: int) -> None:
    """The engine against bare forward passes, with both backbones at full size."""
    import torch

    from reelbench.core.store import Store
    from reelbench.core.types import ClipRef
    from reelbench.datasets.video import Reading, default_codec
    from reelbench.metrics.build import build_extractor
    from reelbench.metrics.protocol import load_protocol
    from reelbench.stages.extraction import ExtractItem, ExtractorSpec, Wanted, extract
    from reelbench.stages.inputs import VideoInput
    from reelbench.stages.work import PluginSpec, WorkerContext

    paths = write_clips(root / "throughput", num_clips, 256)
    weights = {"i3d": str(i3d_weights(root / "i3d")), "clip": str(clip_weights(root / "clip"))}
    device = "cuda" if torch.cuda.is_available() else "cpu"
    threads = len(os.sched_getaffinity(0))
    protocol = load_protocol("clean")
    plugins = {name: build_extractor(name, protocol, weights) for name in ("i3d", "clip_image")}
    specs = [
        ExtractorSpec(PluginSpec.of("extractors", name, plugin), name) for name, plugin in plugins.items()
    ]
    context = WorkerContext(Store(root / "store", default_codec()), device, threads)
    items = [
        ExtractItem(
            path.stem,
            (VideoInput(ClipRef(path), Reading(num_frames=16)),),
            tuple(Wanted(spec.name, spec.session_key, f"{spec.name}{path.stem}") for spec in specs),
        )
        for path in paths
    ]
    sessions: dict[str, Any] = {}
    for spec in specs:
        load = functools.partial(plugins[spec.name].load, device)
        sessions[spec.name] = context.extractor_session(spec.session_key, load)
    network, clip = sessions["i3d"]._network, sessions["clip_image"]._model.network
    batch = 1 if device == "cpu" else min(16, num_clips)
    video_BCTHW = torch.randn(batch, 3, 16, 224, 224, device=device)
    frames_BCHW = torch.randn(16 * batch, 3, 224, 224, device=device)

    def forward() -> None:
        with torch.inference_mode():
            network(video_BCTHW).cpu()
            clip.encode_image(frames_BCHW).cpu()

    def bare(num_threads_each: int) -> Callable[[], None]:
        """All forward passes: one clip after the other on all cores, or a clip for each core."""

        def run() -> None:
            before = torch.get_num_threads()
            torch.set_num_threads(num_threads_each)
            try:
                if num_threads_each > 1 or device != "cpu":
                    for _ in range(num_clips // batch):
                        forward()
                else:
                    with ThreadPoolExecutor(threads) as pool:
                        list(pool.map(lambda _: forward(), range(num_clips)))
            finally:
                torch.set_num_threads(before)

        return run

    def engine() -> None:
        for extracted in extract(items, specs, context):
            assert not extracted.failures, extracted.failures
            for (name, key), values in extracted.features.items():
                context.store.features.put(name, {key: values})

    found = interleaved(
        {"a clip a core": bare(1), f"a clip on {threads} cores": bare(threads), "engine": engine}, repeats
    )
    best = min(seconds for name, seconds in found.items() if name != "engine")
    print(f"\nthroughput, {device}, {threads} threads, {num_clips} clips of 16 x 256 x 256, I3D and ViT-B/32")
    for name, seconds in found.items():
        print(f"  {name:24} {seconds / num_clips * 1e3:8.0f} ms/clip")
    print(f"  engine / faster bare forward passes: {best / found['engine']:.3f} of its throughput")


# -- own cost ----------------------------------------------------------------------------------


def own_cost(root: Path, repeats: int, num_clips: int = 200) -> None:
    """A whole evaluation with a backbone of next to no cost, against bare decoding and resizing."""
    from reelbench.core.types import ClipRef
    from reelbench.datasets.video import read_clip
    from reelbench.evaluation import evaluate
    from reelbench.metrics.extractors.backbone import resize_frames
    from reelbench.metrics.settings import ResizeStep

    paths = write_clips(root / "own", num_clips, 256)
    folder, steps = paths[0].parent, (ResizeStep(size=224),)
    run = 0

    def bare_on(num_threads: int, forward_s: float = 0.0, reads: bool = True) -> Callable[[], None]:
        import torch

        def one(path: Path) -> None:
            if reads:
                resize_frames(read_clip(ClipRef(path), num_frames=16), steps, 224)
            if forward_s:
                spin(forward_s)

        def run() -> None:
            torch.set_num_threads(1)
            with ThreadPoolExecutor(num_threads) as pool:
                list(pool.map(one, paths))

        return run

    def evaluation(workers: int, busy_s: float = 0.0) -> Callable[[], None]:
        def run_it() -> None:
            nonlocal run
            run += 1
            os.environ["THIN_BUSY_S"] = str(busy_s)
            evaluate(
                folder,
                metrics=[f"{THIN_PLUGIN}:MeanLevel"],
                output=root / f"own{run}",
                workers=workers,
                device="cpu",
            )

        return run_it

    with one_core():
        found = interleaved({"bare": bare_on(1), "evaluation": evaluation(1)}, repeats)
    print(f"\nown cost, {num_clips} clips of 16 x 256 x 256, one core")
    for name, seconds in found.items():
        print(f"  {name:24} {seconds / num_clips * 1e3:8.2f} ms/clip")
    print(f"  evaluation / bare decoding and resizing: {found['evaluation'] / found['bare']:.2f}")
    if len(os.sched_getaffinity(0)) < 2:
        print("  (one core only: no overlap to measure)")
        return
    read_s = found["bare"] / num_clips
    found = interleaved(
        {
            "decoding alone": bare_on(1),
            "forward alone": bare_on(1, read_s, reads=False),
            "evaluation": evaluation(2, read_s),
        },
        repeats,
    )
    larger = max(found["decoding alone"], found["forward alone"])
    both = found["decoding alone"] + found["forward alone"]
    print("two cores, a forward pass as long as the decoding")
    for name, seconds in found.items():
        print(f"  {name:24} {seconds / num_clips * 1e3:8.2f} ms/clip")
    ratio = found["evaluation"] / larger
    print(f"  evaluation / the larger of the two: {ratio:.2f} (their sum would be {both / larger:.2f})")


@contextlib.contextmanager
def one_core() -> Iterator[None]:
    """This process on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


# -- memory ------------------------------------------------------------------------------------


def memory(root: Path, few: int, many: int) -> None:
    """Peak memory of two evaluations, each in a process of its own."""
    paths = write_clips(root / "memory" / "many", many, 48)
    (root / "memory" / "few").mkdir()
    for path in paths[:few]:
        os.link(path, root / "memory" / "few" / path.name)
    found = {}
    for name, count in (("few", few), ("many", many)):
        folder = root / "memory" / name
        request = {"folder": str(folder), "output": str(root / f"memory-{name}")}
        found[count] = in_child(__file__, request)["peak_mib"]
    print("\nmemory of an evaluation (16 x 48 x 48, a backbone of next to no size)")
    for count, peak_mib in found.items():
        print(f"  {count:6} clips {peak_mib:8.0f} MiB")
    print(f"  {many} / {few} clips: {found[many] / found[few]:.3f}")


def child(request: dict[str, Any]) -> None:
    """One evaluation; prints this process's peak memory."""
    from reelbench.evaluation import evaluate

    result = evaluate(
        request["folder"],
        metrics=[f"{THIN_PLUGIN}:MeanLevel"],
        output=request["output"],
        device="cpu",
    )
    assert result.num_failures == 0
    print(json.dumps({"peak_mib": 1024 * peak_gib()}))


if __name__ == "__main__":
    main()
