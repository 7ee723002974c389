"""Seeds that depend on content, never on order.

The seed of a sample is derived from (run seed, sample id), so results do not depend on sharding,
on the order of the samples or on the number of workers.
"""

from __future__ import annotations

import hashlib

import numpy as np


def derive_seed(*parts: int | str) -> int:
    """A seed in [0, 2**63) derived from the parts by sha256.

    The parts are joined unambiguously (type and length are included), so ("a", "bc") and
    ("ab", "c") give different seeds.
    """
    text = "".join(f"{type(part).__name__}:{len(str(part))}:{part};" for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(*parts: int | str) -> np.random.Generator:
    """A local numpy generator seeded by `derive_seed(*parts)`."""
    return np.random.Generator(np.random.PCG64(derive_seed(*parts)))
