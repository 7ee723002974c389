"""YAML that people write: plain data alone, each key once, and nothing that reads as what it does not say.

PyYAML takes the last of two equal keys in silence, so half of two blocks that were pasted together would be
lost; it reads 1:30 as 90, 010 as 8, and makes sets, bytes and dates, which no setting takes. What is refused
is told in one line, with its place.
"""

from __future__ import annotations

import math
from typing import Any

import yaml

_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"
_PLAIN = frozenset(f"{_TAG}{name}" for name in ("null", "bool", "int", "float", "str", "seq", "map", "merge"))
_DATE = f"{_TAG}timestamp"
_WORDS = {
    f"{_TAG}int": "whole number",
    f"{_TAG}float": "number",
    f"{_TAG}bool": "true or false",
    _DATE: "date that exists",
}

MAX_DEPTH = 100
"""Of lists and mappings in each other."""
_MOST_ITEMS = 1_000_000
"""With all that aliases repeat."""
_MOST_DIGITS = 40
_WORD = 2**63


class YamlTextError(yaml.MarkedYAMLError):
    """Not YAML, or none that is taken; as text it is one line: where, and what."""

    def __str__(self) -> str:
        mark = self.problem_mark or self.context_mark
        what = " ".join(f"{self.problem or self.context}".split())
        return what if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: {what}"


class DoubledKeyError(yaml.YAMLError):
    """A key stands twice in one mapping; the message names each such key and its lines."""


def load_yaml(text: str, any_scalar: bool = False) -> Any:
    """The value of a text of YAML.

    Args:
        any_scalar: takes dates, numbers that are not finite or of any size, and such as 1:30 and 010: lists
            that other programs wrote hold these in fields that nobody asks for.

    Raises:
        DoubledKeyError: a key stands twice in one mapping, at any depth.
        YamlTextError: anything else that is wrong, in one line.

    >>> load_yaml("limit: 4")
    {'limit': 4}
    """
    loader = None
    try:
        loader = _Strict(text, any_scalar)
        return loader.get_single_data()
    except (YamlTextError, DoubledKeyError):
        raise
    except yaml.composer.ComposerError as error:
        if error.context != "expected a single document in the stream":
            raise YamlTextError(
                problem=error.problem or error.context, problem_mark=error.problem_mark or error.context_mark
            ) from error
        raise YamlTextError(
            problem="a second document begins here (after ---); delete it, or save it as a file of its own",
            problem_mark=error.problem_mark,
        ) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlTextError(problem=error.problem or error.context, problem_mark=mark) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise YamlTextError(problem=f"line {line} holds the character {chr(error.character)!r}, which is not "
                            "allowed; delete it") from error  # fmt: skip
    except (ValueError, LookupError, AttributeError, RecursionError) as error:
        raise YamlTextError(problem=f"not readable ({error})") from error
    finally:
        if loader is not None:
            loader.dispose()


class _Strict(yaml.SafeLoader):
    """Looks at mappings as they are written: merged keys (`<<`) are not in them yet."""

    def __init__(self, text: str, any_scalar: bool) -> None:
        super().__init__(text)
        self._any_scalar = any_scalar
        self._doubled: list[str] = []
        self._depth = 0
        self._extents: dict[int, tuple[int, int]] = {}
        """Of finished nodes by their id: items and depth, with what aliases repeat."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        mark = event.start_mark
        self._depth += 1
        try:
            if self._depth > MAX_DEPTH:
                raise _deep(mark)
            node = super().compose_node(parent, index)
        finally:
            self._depth -= 1
        if id(node) not in self._extents:
            if isinstance(event, yaml.AliasEvent):  # of what is not finished yet
                raise YamlTextError(
                    problem="an alias (*) stands inside of what it repeats; write out what is meant",
                    problem_mark=mark,
                )
            self._extents[id(node)] = self._extent(node, mark)
        return node

    def _extent(self, node: Any, mark: Any) -> tuple[int, int]:
        if isinstance(node, yaml.ScalarNode):
            return 1, 1
        children = [part for item in node.value for part in (item if isinstance(item, tuple) else (item,))]
        extents = [self._extents[id(child)] for child in children]
        items = 1 + sum(found for found, _ in extents)
        depth = 1 + max((found for _, found in extents), default=0)
        if depth > MAX_DEPTH:
            raise _deep(mark)
        if items > _MOST_ITEMS:
            raise YamlTextError(
                problem=f"aliases (*) repeat more than {_MOST_ITEMS:,} items; write out what is meant",
                problem_mark=mark,
            )
        return items, depth

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        written: dict[tuple[type, Any], list[yaml.ScalarNode]] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise YamlTextError(
                    problem="a list or mapping stands as a key; keys are text", problem_mark=key.start_mark
                )
            if key.tag != _MERGE:
                name = self.construct_object(key)
                written.setdefault((type(name), name), []).append(key)  # 1 and true are two names
        for keys in written.values():
            if len(keys) > 1:
                *lines, last = (str(key.start_mark.line + 1) for key in keys)
                times = "twice" if len(keys) == 2 else f"{len(keys)} times"
                where = f"in lines {', '.join(lines)} and {last}"
                self._doubled.append(f"the key {keys[0].value!r:.80} stands {times} in one mapping, {where}")
        return node

    def compose_document(self) -> Any:
        node = super().compose_document()
        if self._doubled:
            raise DoubledKeyError("; ".join(self._doubled) + ": write it once, with all that is meant")
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if node.tag not in _PLAIN and not (node.tag == _DATE and self._any_scalar):
            raise YamlTextError(problem=_other(node), problem_mark=node.start_mark)
        if isinstance(node, yaml.ScalarNode):
            why = _refused_number(node.tag, str(node.value), self._any_scalar)
            if why is None:
                try:
                    value = super().construct_object(node, deep)
                except (ValueError, LookupError, AttributeError, OverflowError) as error:
                    digits = "int_max_str_digits" in str(error)
                    why = (
                        "has thousands of digits"
                        if digits
                        else f"is no {_WORDS.get(node.tag, 'value of its tag')}"
                    )
                else:
                    why = _refused_value(value, self._any_scalar)
                    if why is None:
                        return value
            raise YamlTextError(problem=f"{node.value!r:.60} {why}", problem_mark=node.start_mark)
        return super().construct_object(node, deep)


def _deep(mark: Any) -> YamlTextError:
    what = f"lists and mappings are nested more than {MAX_DEPTH} deep; a bracket may be missing before"
    return YamlTextError(problem=what, problem_mark=mark)


def _other(node: yaml.Node) -> str:
    if node.tag == _DATE:
        return f"{node.value} is read as a date, which no setting takes; write '{node.value}' for the text"
    tag = node.tag.replace(_TAG, "!!")
    return f"the tag {tag:.60} is not taken; text, numbers, true, false, null, lists and mappings are"


def _refused_number(tag: str, text: str, any_scalar: bool) -> str | None:
    """Why a number is not taken, by what is written."""
    if tag not in (f"{_TAG}int", f"{_TAG}float"):
        return None
    if len(text) > _MOST_DIGITS and tag == f"{_TAG}int" and not any_scalar:
        return f"is a number of {len(text)} characters; whole numbers go from -2^63 to 2^63 - 1"
    if any_scalar:
        return None
    if ":" in text:
        return f"is read in sixties, as 1:30 for 90; write the number, or '{text:.30}' for the text"
    digits = text.lstrip("+-").replace("_", "")
    if tag == f"{_TAG}int" and digits.isdigit() and digits[0] == "0" and len(digits) > 1:
        return f"is read in eights, as 010 for 8; write it without the zero, or '{text:.30}' for the text"
    return None


def _refused_value(value: Any, any_scalar: bool) -> str | None:
    if isinstance(value, str):
        bad = next((letter for letter in value if letter == "\0" or "\ud800" <= letter <= "\udfff"), None)
        return None if bad is None else f"holds the character {bad!r}, which is not allowed; delete it"
    if any_scalar or isinstance(value, bool):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return "is not a finite number; leave the setting out where there is no limit"
    if isinstance(value, int) and not -_WORD <= value < _WORD:
        return "is too large; whole numbers go from -2^63 to 2^63 - 1"
    return None
