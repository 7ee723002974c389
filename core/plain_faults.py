"""What pydantic refuses, in plain words: the place, what is allowed, and what was given."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ValidationError, ValidationInfo
from pydantic.fields import FieldInfo

from .errors import nearest

_WORDS = {
    "invalid_key": "its keys must be text",
    "missing": "required, but missing",
    "string_type": "must be text",
    "string_too_short": "must have {min_length} characters or more",
    "path_type": "must be the name of a file or folder",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "set_type": "must be a list",
    "frozen_set_type": "must be a list",
    "dict_type": "must be a mapping, `key: value`",
    "mapping_type": "must be a mapping, `key: value`",
    "model_type": "must be a mapping, `key: value`",
    "model_attributes_type": "must be a mapping, `key: value`",
    "none_required": "must be null",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "too_short": "must hold at least {min_length}",
    "too_long": "must hold at most {max_length}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "string_pattern_mismatch": "must have the form {pattern}",
}
"""By pydantic's type of error. A type that is not here keeps pydantic's words."""


@dataclass(frozen=True)
class Fault:
    """One place of settings that is refused.

    Attributes:
        path: keys and indices that lead to it.
        what: what is wrong, with what is allowed.
    """

    path: tuple[int | str, ...]
    what: str


def plain_faults(model: type[BaseModel], data: Any, error: ValidationError) -> list[Fault]:
    """What is wrong with the settings of a model, each place once.

    Args:
        data: the settings as they were given.
    """
    raw = [(_path(data, fault["loc"], fault["type"]), fault) for fault in error.errors(include_url=False)]
    meant = {  # keys that are missing because they are misspelt
        (*path[:-1], nearest(str(path[-1]), written_names(model, path[:-1])))
        for path, fault in raw
        if fault["type"] == "extra_forbidden"
    }
    found: dict[tuple[int | str, ...], list[str]] = {}
    given: dict[tuple[int | str, ...], Any] = {}
    for path, fault in raw:
        kind = fault["type"]
        if kind == "missing" and path in meant:
            continue
        if kind != "value_error" and any(p[: len(path)] == path != p for p, _ in raw):
            continue  # too short as none is valid, or an alternative that is not meant
        if kind == "extra_forbidden":
            what = unknown_key(str(path[-1]), written_names(model, path[:-1]))
        elif kind == "value_error":
            what = fault["msg"].removeprefix("Value error, ")
        else:
            words = _WORDS.get(kind)
            what = fault["msg"] if words is None else words.format(**_shown(fault.get("ctx", {})))
        if kind not in ("extra_forbidden", "value_error", "missing"):
            given[path] = fault["input"]
        of_place = found.setdefault(path, [])
        if what not in of_place:
            of_place.append(what)
    return [
        Fault(path, _either(of_place) + (_got(of_place, given[path]) if path in given else ""))
        for path, of_place in found.items()
    ]


def refuse_boolean(model: type[BaseModel], given: Any, info: ValidationInfo) -> Any:
    """The value of a field as it was given; for validators of all fields.

    Raises:
        ValueError: true or false stands where a field takes none; pydantic would take them for 1 and 0.
    """
    values = given if isinstance(given, list | tuple) else [given]
    has_boolean = any(isinstance(value, bool) for value in values)
    if has_boolean and not _takes_boolean(model.model_fields[info.field_name or ""].annotation):
        raise ValueError(f"must not be true or false (got {given!r:.60})")
    return given


def _takes_boolean(annotation: Any) -> bool:
    arguments = get_args(annotation)
    if get_origin(annotation) is Annotated:
        arguments = arguments[:1]
    return annotation in (bool, Any) or isinstance(annotation, bool) or any(map(_takes_boolean, arguments))


def place(data: Any, path: Sequence[int | str]) -> str:
    """How messages write a place: `methods[1] (zs2).config.num_steps`, counted from 0, with the label or name
    of a list's entry."""
    text = ""
    for part in path:
        inside = isinstance(data, Mapping) or (isinstance(data, Sequence) and not isinstance(data, str))
        try:
            data = data[part] if inside else None
        except (LookupError, TypeError):
            data = None
        if isinstance(part, int):
            names = [data.get(key) for key in ("label", "name")] if isinstance(data, Mapping) else []
            label = next((name for name in names if name and isinstance(name, str)), None)
            text += f"[{part}]" + (f" ({label})" if label else "")
        else:
            text += f".{part}" if text else part
    return text


def unknown_key(key: str, allowed: Sequence[str]) -> str:
    """ "unknown key; did you mean 'seeds'?", or what is allowed where nothing is close."""
    close = nearest(key, allowed)
    hint = f"did you mean {close!r}?" if close else f"allowed: {', '.join(sorted(allowed))}"
    return f"unknown key; {hint}"


def written_names(model: type[BaseModel], path: Sequence[int | str] = ()) -> list[str]:
    """The keys that the settings at a place may have, as files write them."""
    models = [model]
    for part in path:
        if isinstance(part, str):
            models = [inner for name, f in _fields(models) if part in name for inner in _models(f.annotation)]
    return list(dict.fromkeys(names[-1] for names, _ in _fields(models)))


def written(name: str, field: FieldInfo) -> str:
    """How a file writes the name of a field."""
    choices = getattr(field.validation_alias, "choices", ())
    return next((choice for choice in reversed(choices) if isinstance(choice, str)), name)


def _fields(models: Sequence[type[BaseModel]]) -> list[tuple[tuple[str, str], FieldInfo]]:
    """The fields of models, each with its name in Python and as files write it."""
    return [((name, written(name, f)), f) for model in models for name, f in model.model_fields.items()]


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


def _path(data: Any, loc: Sequence[int | str], kind: str) -> tuple[int | str, ...]:
    """A location without what pydantic adds: the alternatives of a union."""
    path: list[int | str] = []
    for part in loc:
        if isinstance(data, Mapping):
            if part not in data and kind != "missing":
                continue
            data = data.get(part)
        elif isinstance(data, Sequence) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            continue
        path.append(part)
    return tuple(path)


def _shown(context: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: f"{value:g}" if isinstance(value, float) and value.is_integer() else value
        for key, value in context.items()
    }


def _either(found: Sequence[str]) -> str:
    first, *others = found
    return ", or ".join([first, *(what.removeprefix("must be ") for what in others)])


def _got(allowed: Sequence[str], given: Any) -> str:
    """What was given; of names that are known, the one that may be meant."""
    close = nearest(given, re.findall(r"'([^']+)'", " ".join(allowed))) if isinstance(given, str) else None
    return f" (got {given!r:.80})" + (f"; did you mean {close!r}?" if close else "")
