"""What attention across frames costs against plain attention over as many keys. Goal: at most 1.3 each.

    OMP_NUM_THREADS=1 taskset -c 0 .venv/bin/python benchmarks/attention_time.py          # some minutes
    .venv/bin/python benchmarks/attention_time.py --frames 8 16 24 --backward --json out/attention.json

The self-attention layers of Stable Diffusion 1.x at their real sizes (320 channels on 64 x 64 tokens to 1280
on 8 x 8, 8 heads), one clip, random weights. A layer with one of our processors is set against the same layer
with everything in place beforehand:

* the same projections, of every token once: queries, keys, values, output;
* torch's scaled_dot_product_attention of the same queries over *as many keys and values*, which lie ready
  in one piece. There are S for a frame of S tokens with cross-frame and temporal momentum attention, and 2 S
  with sparse-causal and latent-shift attention.

So the ratio holds all that looking at other frames costs: mixing, gathering and copying. With --backward the
gradient for the hidden states is computed on both sides, too (a frozen layer within a tuning).

Both sides run in turns, and the median of the ratios of neighbouring runs is given with its quartiles: the
machine may be busy. On a CPU one thread is timed by its own clock, on a GPU the wall clock of
whole runs is taken.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers.models.attention_processor import Attention
from timing import clock_of, device_and_name, write_json
from torch.nn.functional import scaled_dot_product_attention

from reelbench.core.markdown import table_head, table_line
from reelbench.methods.adapters.layers import LatentShiftAttention
from reelbench.methods.stable_diffusion.attention import (
    CrossFrameAttention,
    SparseCausalAttention,
    TemporalMomentumAttention,
)

LEVELS = {64: 320, 32: 640, 16: 1280, 8: 1280}
"""Channels by the side of the square of tokens."""

HEADS = 8
DTYPES = ("float32", "bfloat16")

Processors = dict[str, tuple[Callable[[int, int], Any], int]]
PROCESSORS: Processors = {
    "cross-frame": (lambda frames, side: CrossFrameAttention(frames), 1),
    "temporal momentum": (lambda frames, side: TemporalMomentumAttention(frames, 0.98), 1),
    "sparse-causal": (lambda frames, side: SparseCausalAttention(frames), 2),
    "latent-shift, paper": (lambda frames, side: LatentShiftAttention(frames, side, side, "paper"), 2),
    "latent-shift, released": (lambda frames, side: LatentShiftAttention(frames, side, side, "released"), 2),
}
"""How a processor is made for (frames, side), and how many keys it has for every token of a frame."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--frames", type=int, nargs="+", default=[8])
    parser.add_argument("--sides", type=int, nargs="+", choices=list(LEVELS), default=list(LEVELS))
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=list(DTYPES))
    parser.add_argument("--only", nargs="+", choices=list(PROCESSORS), default=list(PROCESSORS))
    parser.add_argument("--repeats", type=int, default=7, help="pairs of runs that count")
    parser.add_argument("--backward", action="store_true", help="also the gradient for the hidden states")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    options = parser.parse_args()
    device, where = device_and_name()
    torch.set_num_threads(1)
    kind = "forward and backward" if options.backward else "forward"
    print(f"{kind} of one layer, one clip, {HEADS} heads, {where}, torch {torch.__version__}\n")
    headings = ["attention", "frames", "tokens", "channels", "number format", "ms", "plain, ms", "ratio"]
    print(*table_head([*headings, "quartiles"], "lrrrlr"), sep="\n")
    rows = []
    for side in options.sides:
        for frames in options.frames:
            for dtype in options.dtypes:
                for name in options.only:
                    row = measure(name, frames, side, dtype, device, options.repeats, options.backward)
                    rows.append(row)
                    low, high = row["quartiles"]
                    what = [name, str(frames), f"{side} x {side}", str(LEVELS[side]), dtype]
                    times = [f"{row['ours_ms']:.1f}", f"{row['plain_ms']:.1f}", f"{row['ratio']:.2f}"]
                    print(table_line([*what, *times, f"{low:.2f} to {high:.2f}"]), flush=True)
    worst = max(rows, key=lambda row: row["ratio"])
    print(f"\nlargest ratio: {worst['ratio']:.2f} ({worst['attention']}, {worst['side']} x {worst['side']})")
    facts = {"device": where, "torch": torch.__version__, "passes": kind, "rows": rows}
    write_json(options.json, facts)


def measure(
    name: str, frames: int, side: int, dtype: str, device: str, repeats: int, backward: bool
) -> dict[str, Any]:
    """One row: medians of the seconds of both sides, and of the ratios of neighbouring runs."""
    make, keys_per_token = PROCESSORS[name]
    number_format: torch.dtype = getattr(torch, dtype)
    width, tokens = LEVELS[side], side * side
    torch.manual_seed(0)
    layer: Any = Attention(query_dim=width, heads=HEADS, dim_head=width // HEADS).requires_grad_(False)
    layer.to(device, number_format)
    hidden_TSD = torch.randn(frames, tokens, width, device=device, dtype=number_format)
    ready_TND = torch.randn(2, frames, keys_per_token * tokens, width, device=device, dtype=number_format)
    gradient_TSD = torch.randn_like(hidden_TSD)
    processor = make(frames, side)

    def ours() -> None:
        with torch.set_grad_enabled(backward):
            out_TSD = processor(layer, hidden_TSD.detach().requires_grad_(backward))
            if backward:
                out_TSD.backward(gradient_TSD)

    def plain() -> None:
        with torch.set_grad_enabled(backward):
            hidden = hidden_TSD.detach().requires_grad_(backward)
            key_TND, value_TND = (part.detach().requires_grad_(backward) for part in ready_TND)
            projected = [layer.to_k(hidden), layer.to_v(hidden)]
            attended = scaled_dot_product_attention(
                *(
                    x.unflatten(-1, (HEADS, -1)).transpose(1, 2)
                    for x in (layer.to_q(hidden), key_TND, value_TND)
                )
            )
            out_TSD = layer.to_out[0](attended.transpose(1, 2).flatten(2))
            if backward:
                # The projections get a gradient of their own, as their results are not what attention took.
                torch.autograd.backward([out_TSD, *projected], [gradient_TSD] * 3)

    pairs = [(seconds(ours, device), seconds(plain, device)) for _ in range(repeats + 1)][1:]
    ratios = sorted(one / other for one, other in pairs)
    quartiles = statistics.quantiles(ratios, n=4, method="inclusive") if repeats > 1 else ratios * 3
    return {
        "attention": name,
        "frames": frames,
        "side": side,
        "channels": width,
        "dtype": dtype,
        "ours_ms": statistics.median(one for one, _ in pairs) * 1e3,
        "plain_ms": statistics.median(other for _, other in pairs) * 1e3,
        "ratio": statistics.median(ratios),
        "quartiles": [quartiles[0], quartiles[2]],
    }


def seconds(run: Callable[[], None], device: str) -> float:
    """Of one run."""
    clock = clock_of(device)
    started = clock()
    run()
    return clock() - started


if __name__ == "__main__":
    main()
