"""The tokenizer of the Sprites models: CLIP's byte-level BPE with a vocabulary learned from the captions.

All 256 byte symbols are in the base vocabulary, so that a prompt in any script has tokens; the captions' own
words become single tokens.
"""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

from .captions import captions
from .scene import sample_scene

MAX_LENGTH = 32
START, END = "<|startoftext|>", "<|endoftext|>"
_MERGES = 600


def byte_symbols() -> list[str]:
    """The 256 printable stand-ins of GPT-2's byte-level alphabet, in byte order."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    symbols, moved = [], 0
    for byte in range(256):
        if byte in printable:
            symbols.append(chr(byte))
        else:
            symbols.append(chr(256 + moved))
            moved += 1
    return symbols


def learn_merges(words: Counter[str], count: int) -> list[tuple[str, str]]:
    """Byte-pair merges learned from word counts: the most frequent pair first, ties alphabetically."""
    pieces = {w: (*w[:-1], w[-1] + "</w>") for w in words}
    merges: list[tuple[str, str]] = []
    while len(merges) < count:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, split in pieces.items():
            for pair in pairwise(split):
                pairs[pair] += words[word]
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        for word, split in pieces.items():
            pieces[word] = _merged(split, best)
    return merges


def _merged(split: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    out: list[str] = []
    i = 0
    while i < len(split):
        if i + 1 < len(split) and (split[i], split[i + 1]) == pair:
            out.append(split[i] + split[i + 1])
            i += 2
        else:
            out.append(split[i])
            i += 1
    return tuple(out)


def build_tokenizer(num_scenes: int = 400) -> Any:
    """A transformers CLIPTokenizer for the captions of this world; the same on every machine."""
    from transformers import CLIPTokenizer

    words: Counter[str] = Counter()
    for index in range(num_scenes):
        for caption in captions(sample_scene(index, "train")):
            for word in caption.replace(",", " , ").replace("-", " - ").split():
                words[word] += 1
    merges = learn_merges(words, _MERGES)
    symbols = byte_symbols()
    tokens = [*symbols, *(s + "</w>" for s in symbols), *("".join(m) for m in merges), START, END]
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_LENGTH)


def save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Writes the tokenizer in the slow and the fast format: readers of either kind find their files."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(folder)
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"], ensure_ascii=False))
    lines = (m if isinstance(m, str) else " ".join(m) for m in model["merges"])
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(lines) + "\n")


def token_ids(tokenizer: Any, texts: list[str]) -> Any:
    """Token ids, int64 [B, L], cut and padded to the length of the tokenizer's model."""
    return tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt").input_ids
