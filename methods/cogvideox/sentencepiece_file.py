"""T5's tokenizer from a SentencePiece file, as the published CogVideoX folders have it.

They hold `tokenizer/spiece.model` and no `tokenizer.json`. transformers turns the one into the other through
a library that this project does not depend on; all that is needed of the file is its list of pieces with
their scores and its table of characters, which are read here by the format's published protobuf description.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...core.errors import WeightsError

_FILE = "spiece.model"


def has_sentencepiece_only(folder: Path) -> bool:
    """Whether a tokenizer's folder holds a SentencePiece file and no tokenizer.json."""
    return (folder / _FILE).is_file() and not (folder / "tokenizer.json").is_file()


def t5_tokenizer(folder: Path) -> Any:
    """transformers' T5Tokenizer with the pieces of `folder`/spiece.model.

    Raises:
        WeightsError: the file is not a unigram model of SentencePiece.
    """
    from google.protobuf.message import DecodeError
    from transformers import T5Tokenizer
    from transformers.utils import sentencepiece_model_pb2_new as description

    model: Any = description.ModelProto()  # type: ignore[attr-defined]  # made when it is imported
    try:
        model.ParseFromString((folder / _FILE).read_bytes())
    except DecodeError as error:
        raise WeightsError(
            f"{folder / _FILE} is not a SentencePiece file: {error}", "fetch the pipeline again"
        ) from error
    pieces = [(piece.piece, piece.score) for piece in model.pieces]
    unigram = 1
    if not pieces or model.trainer_spec.model_type != unigram:
        raise WeightsError(
            f"{folder / _FILE} holds {len(pieces)} pieces of a model of type "
            f"{model.trainer_spec.model_type}; T5 has a unigram model (type 1)",
            "fetch the pipeline again",
        )
    return T5Tokenizer(
        vocab=pieces, _spm_precompiled_charsmap=model.normalizer_spec.precompiled_charsmap or None
    )
