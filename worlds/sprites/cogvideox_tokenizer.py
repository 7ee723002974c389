"""The tokenizer of the embedded CogVideoX: T5's class, a unigram model, with the words of this world.

A text is cut into the pieces that are likeliest together (Kudo 2018). Every word of the captions is one
piece, in both spellings of its first letter, and the printable ASCII characters are pieces of very low
probability: a known word is always one token, and any other English prompt has tokens. Other scripts become
unknown.
"""

from __future__ import annotations

import string
from typing import Any

from .layouts import wordings
from .scene import sample_scene

MAX_LENGTH = 24
"""Tokens of a prompt; the longest caption has 20, its end included."""

_SPACE = "\u2581"
_WORD, _CHARACTER = -4.0, -30.0
"""Log probabilities: two pieces of characters are always less likely than the word that they spell."""

_NUM_SCENES = 1500


def build_t5_tokenizer() -> Any:
    """A transformers T5Tokenizer for the captions and labels of this world; the same on every machine."""
    from transformers import T5Tokenizer

    words: set[str] = set()
    for index in range(_NUM_SCENES):
        for text in wordings(sample_scene(index, "train")):
            words.update(text.replace(",", "").split())
    spellings = sorted({spelling for word in words for spelling in (word, word.lower(), word.capitalize())})
    known = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    known += [(_SPACE + word, _WORD) for word in spellings]
    characters = string.ascii_letters + string.digits + string.punctuation
    known += [(piece, _CHARACTER) for piece in (_SPACE, *characters)]
    scores: dict[str, float] = {}
    for piece, score in known:
        scores.setdefault(piece, score)
    return T5Tokenizer(vocab=list(scores.items()), extra_ids=0, model_max_length=MAX_LENGTH)
