"""Reading a run file; all that is wrong with it is told at once.

What is faulty is noted and taken out, and the rest is checked as a run file of its own. What only follows
from something that was taken out is not told.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from . import registry
from .contract_check import Kind, plugin_errors
from .errors import Faults, ReelbenchError, RunFileError, nearest, unknown_name
from .plain_faults import place, plain_faults, unknown_key, written_names
from .redaction import MASK, secrets_in
from .run_file import (
    MAX_SEED,
    ONE_BY_ONE,
    DatasetEntry,
    LimitsEntry,
    MethodEntry,
    PluginEntry,
    ResourcesEntry,
    RunFile,
    UpscalerEntry,
    plugin_class,
    plugin_config,
)
from .yaml_text import load_yaml

_MAX_BYTES = 10 * 2**20
_MAX_FRAMES = 10_000
"""Of a clip: what more would do is end a worker for lack of memory."""

MoreFaults = Callable[[RunFile], Iterable[ReelbenchError]]

_ENTRIES: dict[Kind, type[PluginEntry]] = {"methods": MethodEntry, "datasets": DatasetEntry}
_STAND_INS = {"name": "unnamed", "methods": [{"name": "none"}], "datasets": [{"name": "none"}]}
"""Of what a run file must have."""


@dataclass
class _Entry:
    """An entry of `methods` or `datasets`, or what is left of it."""

    place: str
    label: str | None
    """None where it cannot be told."""
    plugin: Any = None
    """None where not even its name is left."""
    faulty: frozenset[int | str] = frozenset()
    """Its keys that were taken out."""
    is_sound: bool = False
    """Whether its plug-ins are there and take their configuration."""
    rest: Any = None
    """Of an unsound method: what can be built without the faulty settings, to look at its weights."""
    meant: str | None = None
    """The registered name that may be meant by an unknown one."""


def load_run_file(path: Path, more_faults: MoreFaults | None = None, look_up: bool = True) -> RunFile:
    """Read and validate a run file, with the configurations of its plug-ins.

    Args:
        more_faults: asked only where something is wrong already, for what else a run would be refused for (of
            what is sound: missing weights, data sets), so that all is told at once.
        look_up: False leaves plug-ins alone: results that are there can be read without them.

    Raises:
        RunFileError: it is missing, no plain file, too large, not YAML, or not valid; all faults are listed.
        UnknownNameError: it names a method, data set or metric that does not exist.
    """
    try:
        status = path.stat()
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            raise RunFileError(f"the run file {path} is no plain file", "save it as a file, and name that")
        if status.st_size > _MAX_BYTES:
            size = f"{status.st_size / 2**20:,.0f} MiB; at most {_MAX_BYTES // 2**20} are read"
            raise RunFileError(
                f"the run file {path} has {size}",
                "name a run file; see configs/demo.yaml for an example",
            )
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RunFileError(
            f"cannot read the run file {path}: {error.strerror}", "see configs/demo.yaml for an example"
        ) from error
    except UnicodeDecodeError as error:
        raise RunFileError(f"the run file {path} is not UTF-8: {error}", "save it as UTF-8") from error
    try:
        data = load_yaml(text)
    except yaml.YAMLError as error:
        raise RunFileError(f"the run file {path} is not valid YAML: {error}") from error
    return parse_run_file(data, str(path), more_faults, look_up)


def parse_run_file(
    data: Any, where: str = "run file", more_faults: MoreFaults | None = None, look_up: bool = True
) -> RunFile:
    """Validate a run file given as plain data; see `load_run_file`."""
    if not isinstance(data, dict):
        raise RunFileError(f"{where}: expected a mapping with `name`, `methods` and `datasets`")
    return _Check(where).run_file(data, more_faults, look_up)


class _Check:
    """Collects what is wrong with one run file."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._faults = Faults()

    def run_file(self, given: Mapping[str, Any], more_faults: MoreFaults | None, look_up: bool) -> RunFile:
        data = self._with_known_keys(self._without_secrets(given))
        faulty: set[int | str] = set()
        whole = None
        try:
            whole = RunFile.model_validate(data, context=ONE_BY_ONE)
        except ValidationError as error:
            for fault in plain_faults(RunFile, data, error):
                self._say(place(data, fault.path), fault.what)
                faulty.update(fault.path[:1])
        run = _rest(data, faulty)
        methods, datasets = (_entries(data, kind) for kind in _ENTRIES)
        run = run.model_copy(
            update={
                "methods": tuple(entry.plugin for entry in methods if entry.plugin is not None),
                "datasets": tuple(entry.plugin for entry in datasets if entry.plugin is not None),
            }
        )
        for text in run.doubled():
            self._faults.add(RunFileError(f"{self._where}: {text}"))
        if not look_up:
            self._faults.refuse()
            assert whole is not None
            return whole
        for entry in methods:
            self._look_at(run, "methods", entry)
        for entry in datasets:
            self._look_at(run, "datasets", entry)
        if all(isinstance(data.get(kind), list | tuple) for kind in _ENTRIES):
            self._check_methods_of(datasets, methods)
        unknown = self._unknown_metrics(run)
        if self._faults.found and more_faults is not None:
            measured = run.without_metrics(run.all_metrics if "weights" in faulty else unknown)
            for part in _parts(measured, methods, datasets):
                for found in more_faults(part):
                    self._faults.add(found)
        self._faults.refuse()
        assert whole is not None
        return whole

    def _say(self, at: str, what: str) -> None:
        self._faults.add(RunFileError(f"{self._where}: {at}: {what}"))

    def _without_secrets(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """The data with *** for each secret, so that no other message shows it. Tables, reports and MLflow
        hold the run file."""
        for path in list(secrets_in(given)):
            self._faults.add(
                RunFileError(
                    f"{self._where}: {place(given, path)}: holds a password or token; a run file goes into "
                    "tables and reports",
                    "take it out (and get a new one, if others could read it); secrets are found in the "
                    "environment (HF_TOKEN or `hf auth login`, MLFLOW_TRACKING_USERNAME and _PASSWORD, ...)",
                )
            )
            given = _with_mask(given, path)
        return given

    def _with_known_keys(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The data without unknown keys; what they hold goes where it is probably meant to be."""
        data = self._known(RunFile, given, "")
        if isinstance(data.get("resources"), Mapping):
            data["resources"] = self._known(ResourcesEntry, data["resources"], "resources")
        if isinstance(data.get("limits"), Mapping):
            data["limits"] = self._known(LimitsEntry, data["limits"], "limits")
        for kind, cls in _ENTRIES.items():
            if not isinstance(data.get(kind), list | tuple):
                continue
            data[kind] = list(data[kind])
            for index, entry in enumerate(data[kind]):
                if not isinstance(entry, Mapping):
                    continue
                at = place(data, (kind, index))
                known = data[kind][index] = self._known(cls, entry, at, kind)
                if isinstance(known.get("upscale"), Mapping):
                    upscale = self._known(UpscalerEntry, known["upscale"], f"{at}.upscale", "upscalers")
                    known["upscale"] = upscale
        return data

    def _known(
        self, model: type[BaseModel], given: Mapping[Any, Any], at: str, kind: Kind | None = None
    ) -> dict[str, Any]:
        allowed = written_names(model)
        known = {key: value for key, value in given.items() if key in allowed}
        settings = [] if kind is None else _settings(kind, given.get("name"))
        for key, value in given.items():
            if key in allowed:
                continue
            text = str(key)
            here = f"{at}.{text}" if at else text
            close = nearest(text, allowed)
            if text in settings:
                self._say(here, f"`{text}` is a setting of {given['name']}: put it under `config`")
                config = known.get("config", {})
                known["config"] = {text: value, **config} if isinstance(config, Mapping) else config
                continue
            own = "" if kind is None or close else f" (a setting of {_A[kind]}'s own goes under `config`)"
            self._say(here, unknown_key(text, allowed) + own)
            if close is not None:
                known.setdefault(close, value)
        return known

    def _look_at(self, run: RunFile, kind: Kind, entry: _Entry) -> None:
        """Whether the plug-ins of an entry are there and take their configuration."""
        plugin = entry.plugin
        if plugin is None:
            return
        rest = self._buildable(run, kind, plugin, entry.place, "config" in entry.faulty)
        upscale = getattr(plugin, "upscale", None)
        # Both are looked at, whatever is wrong with the first.
        upscaler = upscale and self._buildable(run, "upscalers", upscale, f"{entry.place}.upscale")
        entry.is_sound = rest is plugin and upscaler is upscale and "upscale" not in entry.faulty
        if kind == "methods" and rest is not None and not entry.is_sound:
            entry.rest = rest.model_copy(update={"upscale": upscaler})
        if plugin.name not in registry.names(kind):
            entry.meant = nearest(plugin.name, registry.names(kind))

    def _buildable(self, run: RunFile, kind: Kind, entry: Any, at: str, only_name: bool = False) -> Any:
        """The entry, without the settings that its plug-in refuses; None where it cannot be built."""
        try:
            config_class = plugin_class(kind, entry).Config
            if only_name:
                return None
            config = plugin_config(run, kind, entry)
            frames = config.get("num_frames")
            if isinstance(frames, int) and frames > _MAX_FRAMES:
                self._say(f"{at}.config.num_frames", f"must be at most {_MAX_FRAMES} (got {frames})")
                return None
            with plugin_errors(kind, entry.name, ValidationError):
                config_class.model_validate(config)
        except ValidationError as error:
            faults = plain_faults(config_class, config, error)
            for fault in faults:
                inside = place(config, fault.path)
                self._say(f"{at}.config" + (f".{inside}" if inside else ""), fault.what)
            refused = {part for fault in faults for part in fault.path[:1]}
            return _without(config_class, entry, config, refused)
        except ReelbenchError as error:
            self._faults.add(error)
            return None
        return entry

    def _check_methods_of(self, datasets: Sequence[_Entry], methods: Sequence[_Entry]) -> None:
        """Methods that a data set names and the run has not, and such as no data set names."""
        labels = [method.label for method in methods]
        if None in labels:
            return
        known = [method.label for method in methods if method.label and method.meant is None]
        meant = {method.meant: method.label for method in methods}
        named: set[str | None] = set()
        for dataset in datasets:
            if dataset.plugin is None or "methods" in dataset.faulty or dataset.plugin.methods is None:
                named.update(labels)
                continue
            for label in dataset.plugin.methods:
                named.add(meant.get(label, label))
                if label in labels or label in meant:
                    continue
                self._faults.add(unknown_name(f"method of the data set {dataset.label!r}:", label, known))
                close = nearest(label, known)
                named.update(labels if close is None else (close,))
        idle = [label for label in labels if label and label not in named]
        if idle:
            self._faults.add(
                RunFileError(
                    f"no data set names these methods: {', '.join(idle)}",
                    "add them to the `methods` of one, or leave them out",
                )
            )

    def _unknown_metrics(self, run: RunFile) -> list[str]:
        known = registry.names("metrics")
        lists = [("metric", run.metrics)]
        lists += [(f"metric of the data set {e.label!r}:", e.metrics or ()) for e in run.datasets]
        unknown = []
        for kind, names in lists:
            for name in names:
                if name not in known and ".py:" not in name:
                    unknown.append(name)
                    self._faults.add(unknown_name(kind, name, known))
        return unknown


_A = {"methods": "the method", "datasets": "the data set", "upscalers": "the upscaler"}


def _settings(kind: Kind, name: Any) -> list[str]:
    """The settings of a plug-in; none where there is no such plug-in, which is told elsewhere."""
    try:
        return written_names(plugin_class(kind, PluginEntry(name=name)).Config)
    except (ReelbenchError, ValidationError):
        return []


def _rest(data: Mapping[str, Any], faulty: set[int | str]) -> RunFile:
    """The run file without what is faulty, and without its methods and data sets."""
    kept = {key: value for key, value in data.items() if key not in faulty and key not in _ENTRIES}
    weights, metrics, seeds = (data.get(key) for key in ("weights", "metrics", "seeds"))
    if "weights" in faulty and isinstance(weights, Mapping):
        kept["weights"] = {
            key: value for key, value in weights.items() if isinstance(key, str) and isinstance(value, str)
        }
    if "seeds" in faulty and isinstance(seeds, list | tuple):
        kept["seeds"] = [seed for seed in seeds if type(seed) is int and -MAX_SEED <= seed < MAX_SEED] or [0]
    run = RunFile.model_validate({**_STAND_INS, **kept}, context=ONE_BY_ONE)
    if "metrics" not in faulty:
        return run
    # Nothing is measured that nobody asked for.
    names = metrics if isinstance(metrics, list | tuple) else ()
    return run.model_copy(update={"metrics": tuple(name for name in names if isinstance(name, str))})


def _entries(data: Mapping[str, Any], kind: Kind) -> list[_Entry]:
    given = data.get(kind)
    if not isinstance(given, list | tuple):
        return []
    return [_entry(_ENTRIES[kind], item, place(data, (kind, index))) for index, item in enumerate(given)]


def _entry(cls: type[PluginEntry], given: Any, at: str) -> _Entry:
    label = _label(given)
    try:
        return _Entry(at, label, cls.model_validate(given))
    except ValidationError as error:
        faulty = frozenset(part for fault in plain_faults(cls, given, error) for part in fault.path[:1])
    if not isinstance(given, Mapping) or "name" in faulty:
        return _Entry(at, label)
    kept = {key: value for key, value in given.items() if key not in faulty}
    plugin = cls.model_validate(kept if "label" in faulty else {**kept, "label": label or at})
    if "metrics" in faulty:
        plugin = plugin.model_copy(update={"metrics": ()})
    return _Entry(at, label, plugin, faulty)


def _label(given: Any) -> str | None:
    """The label of an entry, also of a faulty one; None where it cannot be told."""
    if not isinstance(given, Mapping):
        return None
    if given.get("label"):
        return given["label"] if isinstance(given["label"], str) else None
    names = [given.get("name")]
    if given.get("upscale") is not None:
        upscale = given["upscale"]
        names.append(upscale.get("name") if isinstance(upscale, Mapping) else None)
    return None if not all(isinstance(name, str) for name in names) else " + ".join(names)  # type: ignore[arg-type]


def _without(config_class: Any, entry: Any, config: Mapping[str, Any], refused: set[int | str]) -> Any:
    """The entry without some settings; None where its plug-in does not take the others alone."""
    kept = {key: value for key, value in config.items() if key not in refused}
    try:
        config_class.model_validate(kept)
    except ValidationError:
        return None
    return entry.model_copy(update={"config": kept})


def _with_mask(data: Any, path: Sequence[int | str]) -> Any:
    """A copy of plain data with *** at a place."""
    if not path:
        return MASK
    first, *rest = path
    if isinstance(data, Mapping):
        return {key: _with_mask(value, rest) if key == first else value for key, value in data.items()}
    return [_with_mask(value, rest) if index == first else value for index, value in enumerate(data)]


def _parts(run: RunFile, methods: Sequence[_Entry], datasets: Sequence[_Entry]) -> Iterator[RunFile]:
    """What can be looked at further: the run's parts with what is sound in them, and methods without their
    faulty settings on no data set, as only their weights can be looked at."""
    sound = set()
    for kind, entries in ((run.methods, methods), (run.datasets, datasets)):
        left = [entry for entry in entries if entry.plugin is not None]
        sound |= {id(plugin) for plugin, entry in zip(kind, left, strict=True) if entry.is_sound}
    for part in run.parts() or (run,):
        yield part.model_copy(
            update={
                "methods": tuple(entry for entry in part.methods if id(entry) in sound),
                "datasets": tuple(entry for entry in part.datasets if id(entry) in sound),
            }
        )
    rest = tuple(entry.rest for entry in methods if entry.rest is not None)
    if rest:
        yield run.model_copy(update={"methods": rest, "datasets": (), "metrics": ()})
