"""What latent-shift attention costs against plain attention over as many keys. Goal: at most 1.3.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/attention_time.py

At a level of Stable Diffusion 1.x (320 channels, 32 x 32 latents, 8 frames), random weights; both sides are
timed in turns, and the medians are compared.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import torch
from diffusers.models.attention_processor import Attention

from reelbench.methods.latent_shift_attention import LatentShiftAttention


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    attention: Any = Attention(query_dim=320, heads=8, dim_head=40).requires_grad_(False).to(device)
    plain, shift = attention.processor, LatentShiftAttention(8, 32, 32)
    hidden = torch.randn(8, 32 * 32, 320, device=device)
    doubled = torch.randn(8, 2 * 32 * 32, 320, device=device)

    def seconds(processor: Any, keys: torch.Tensor | None) -> float:
        attention.set_processor(processor)
        started = time.perf_counter()
        attention(hidden, encoder_hidden_states=keys)
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started

    with torch.inference_mode():
        pairs = [(seconds(shift, None), seconds(plain, doubled)) for _ in range(options.repeats + 1)][1:]
    ours, theirs = (statistics.median(times) for times in zip(*pairs, strict=True))
    print(f"latent-shift {ours * 1e3:.1f} ms, plain over as many keys {theirs * 1e3:.1f} ms")
    print(f"ratio {ours / theirs:.2f}")


if __name__ == "__main__":
    main()
