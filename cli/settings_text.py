"""What a method, a data set, a metric or a protocol is, and its settings, as plain text."""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from enum import Enum
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

    from ..metrics.protocol import Protocol

WIDTH = 100


def class_lines(name: str, cls: Any) -> list[str]:
    """A plug-in class: its name, a sentence, its settings with types, defaults and descriptions, presets."""
    lines = [name, *_wrapped(_sentence(cls), "  ")]
    facts = [f"{fact}: {text}" for fact in ("unit", "min_n") if (text := getattr(cls, fact, None))]
    if needs := getattr(cls, "needs", ()):
        facts.append(f"needs: {', '.join(needs)}")
    if facts:
        lines += _wrapped("; ".join(facts), "  ")
    config = getattr(cls, "Config", None)
    if config is None:
        return [*lines, "  no settings of its own; what it reads of a protocol: `reelbench ls protocols -v`"]
    presets = getattr(config, "presets", None)
    if isinstance(presets, Mapping):
        lines.append(f"  presets: {', '.join(presets)}")
    fields = list(_settings(config, "  "))
    return [*lines, *(fields or ["  no settings"])]


def protocol_lines(protocol: Protocol) -> list[str]:
    """A protocol: its name, what it is, and the values of its settings."""
    lines = [f"{protocol.name}  version {protocol.version}", *_wrapped(protocol.description, "  ")]
    for section in type(protocol).model_fields:
        value = getattr(protocol, section)
        if hasattr(value, "model_dump"):
            values = [f"{key}={_plain(part)}" for key, part in value.model_dump(mode="json").items()]
            lines += _wrapped(f"{section}: {', '.join(values)}", "  ", "      ")
    return lines


def _settings(config: type[BaseModel], indent: str, owner: str = "") -> Iterator[str]:
    from ..core.plain_faults import written

    for name, field in config.model_fields.items():
        model = _model(field.annotation)
        default = ", required" if field.is_required() else f" = {_plain(field.get_default())}"
        if model is not None and not owner:
            default = ""  # its settings follow
        yield f"{indent}{owner}{written(name, field)}: {_type(field)}{default}"
        yield from _wrapped(_paragraph(field.description or _attribute(config, name)), f"{indent}    ")
        if model is not None and not owner:
            yield from _settings(model, f"{indent}  ", f"{name}.")


def _attribute(config: type[BaseModel], name: str) -> str:
    """What a class's docstring says of a setting under "Attributes:"; empty where it says nothing."""
    for cls in config.__mro__:
        text = inspect.cleandoc(cls.__dict__.get("__doc__") or "").partition("Attributes:\n")[2]
        if found := re.search(rf"^ +{name}: ((?:.|\n {{5,}})+)", text, re.MULTILINE):
            return found[1]
    return ""


def _model(annotation: Any) -> type[BaseModel] | None:
    """The settings' class that a field holds, also as `Class | None`."""
    from pydantic import BaseModel

    for part in (annotation, *get_args(annotation)):
        if inspect.isclass(part) and issubclass(part, BaseModel):
            return part
    return None


def _type(field: FieldInfo) -> str:
    """For example `int (>= 1)`, `"a" | "b"` or `tuple[str, ...] | null`."""
    limits = [text for limit in field.metadata if (text := _limit(limit))]
    return _type_text(field.annotation) + (f" ({', '.join(limits)})" if limits else "")


def _type_text(annotation: Any) -> str:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_text(parts[0])
    if origin is Literal:
        return " | ".join(_plain(part) for part in parts)
    if origin in (Union, UnionType):
        return " | ".join(_type_text(part) for part in parts)
    if annotation is type(None):
        return "null"
    if annotation is Ellipsis:
        return "..."
    if parts:
        return f"{_type_text(origin)}[{', '.join(_type_text(part) for part in parts)}]"
    return str(getattr(annotation, "__name__", annotation))


def _limit(limit: Any) -> str:
    for attribute, sign in (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<")):
        if (bound := getattr(limit, attribute, None)) is not None:
            return f"{sign} {bound}"
    return ""


def _plain(value: Any) -> str:
    """A value as a run file writes it."""
    import json

    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, float) or not isinstance(value, str | int | None | list | tuple | dict):
        return str(value)
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError):
        return str(value)


def _sentence(cls: Any) -> str:
    """The first sentence of a class's docstring, else of its module's."""
    own = cls.__dict__.get("__doc__") or getattr(sys.modules.get(cls.__module__), "__doc__", None) or ""
    text = _paragraph(own)
    return re.split(r"(?<=[.;])\s+(?=[A-Z])", text, maxsplit=1)[0]


def _paragraph(text: str | None) -> str:
    return " ".join(inspect.cleandoc(text or "").split("\n\n")[0].split())


def _wrapped(text: str, indent: str, later: str | None = None) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=later or indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
