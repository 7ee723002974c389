"""YAML that people write: read as `yaml.safe_load` does, but a key that stands twice in a mapping is refused.

PyYAML takes the last one in silence, so half of two blocks that were pasted together would be lost.
"""

from __future__ import annotations

from typing import Any

import yaml

_MERGE = "tag:yaml.org,2002:merge"
_MANY = 10_000


class DoubledKeyError(yaml.YAMLError):
    """A key stands twice in one mapping; the message names each such key and its lines."""


def load_yaml(text: str) -> Any:
    """The value of a text of YAML.

    Raises:
        DoubledKeyError: a key stands twice in one mapping, at any depth.
        yaml.YAMLError: not YAML, or of a type that is not plain data.

    >>> load_yaml("limit: 4")
    {'limit': 4}
    """
    loader = _UniqueKeys(text)
    try:
        value = loader.get_single_data()
    except (ValueError, RecursionError) as error:
        # Dates that do not exist, brackets nested thousands deep.
        raise yaml.YAMLError(f"not readable ({error})") from error
    finally:
        loader.dispose()
    return value


class _UniqueKeys(yaml.SafeLoader):
    """Looks at mappings as they are written: merged keys (`<<`) are not in them yet."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._doubled: list[str] = []

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        written: dict[tuple[type, Any], list[yaml.ScalarNode]] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
                name = self.construct_object(key)
                written.setdefault((type(name), name), []).append(key)  # 1 and true are two names
        for keys in written.values():
            if len(keys) > 1:
                *lines, last = (str(key.start_mark.line + 1) for key in keys)
                times = "twice" if len(keys) == 2 else f"{len(keys)} times"
                where = f"in lines {', '.join(lines)} and {last}"
                self._doubled.append(f"the key {keys[0].value!r:.80} stands {times} in one mapping, {where}")
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        if len(node.value) > _MANY:
            # Merges of merges repeat their pairs, nine times nine times ...: of each the last one counts.
            pairs = {(id(key), id(value)): (key, value) for key, value in reversed(node.value)}
            node.value = list(pairs.values())[::-1]

    def compose_document(self) -> Any:
        node = super().compose_document()
        if self._doubled:
            raise DoubledKeyError("; ".join(self._doubled) + ": write it once, with all that is meant")
        return node
