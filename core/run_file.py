"""The run file: what a benchmark runs, as YAML validated by pydantic.

Unknown keys are refused with the nearest valid name; plug-in configurations are validated with the
class that reads them. Paths in a run file are relative to the working directory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from . import registry
from .contract_check import Kind, plugin_errors
from .contracts import FrozenConfig
from .errors import RunFileError, unknown_name

MAX_SEED = 2**63

Seed = Annotated[int, Field(ge=-MAX_SEED, lt=MAX_SEED)]
"""As tables hold it: a signed word of 64 bits."""

FAILED_CELLS = ("fail", "complete")
"""What `failed_cells` may be."""

_MAX_LABEL = 100
_OTHER_FOLDERS = ("store", "mlflow", "logs", "prefect", "latest")
"""Of an output, beside those of its runs."""


class PluginEntry(FrozenConfig):
    """A method or data set of the run."""

    name: str
    """Registered name, or path/to/file.py:Class."""
    label: str = ""
    """How tables call it; must be unique in the run. Default: the name."""
    config: dict[str, Any] = Field(default_factory=dict)
    """Passed to the plug-in's Config."""

    @field_validator("label")
    @classmethod
    def _one_line(cls, label: str) -> str:
        if not label.isprintable() or len(label) > _MAX_LABEL:
            raise ValueError(f"a label is one line of at most {_MAX_LABEL} characters (got {label!r:.60})")
        return label

    @model_validator(mode="after")
    def _default_label(self) -> Self:
        if not self.label:
            object.__setattr__(self, "label", self.name)
        return self


class UpscalerEntry(FrozenConfig):
    """A stage after a method that enlarges its clips."""

    name: str
    """Registered name, or path/to/file.py:Class."""
    config: dict[str, Any] = Field(default_factory=dict)
    """Passed to the upscaler's Config."""


class MethodEntry(PluginEntry):
    """A method of the run."""

    upscale: UpscalerEntry | None = None
    """Enlarges the method's clips; what is measured is then the large clip."""

    @model_validator(mode="before")
    @classmethod
    def _label_names_the_upscaler(cls, given: Any) -> Any:
        if isinstance(given, dict) and not given.get("label") and isinstance(given.get("upscale"), dict):
            return {**given, "label": f"{given.get('name')} + {given['upscale'].get('name')}"}
        return given


class DatasetEntry(PluginEntry):
    """A data set of the run. What it names itself stands in place of the run's own."""

    methods: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Labels of the methods that run on it; None for all."""
    metrics: tuple[str, ...] | None = Field(default=None, min_length=1)
    """What is measured on it; None for the run's metrics."""
    protocol: str | None = None
    """Name or file of its measuring protocol; None for the run's."""


class ResourcesEntry(FrozenConfig):
    """How the work is spread. It does not change any number and is in no key."""

    num_actors: int | None = Field(default=None, ge=1, le=100_000)
    """Worker processes; default: as many as the cluster's GPUs (or CPUs without GPU) allow."""
    gpus_per_actor: float = Field(default=1.0, gt=0, le=1000)
    """GPUs of one actor, where the cluster has any."""
    cpus_per_actor: float = Field(default=1.0, gt=0, le=100_000)
    """CPU cores of one actor; also its number of threads."""
    shard_size: int = Field(default=4, ge=1, le=1_000_000)
    """Samples in one unit of work: what a killed worker has to do again at most."""
    require_gpu: bool = False
    """Refuse to run without a GPU instead of falling back to the CPU."""


_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}


def _seconds(given: Any) -> Any:
    """A duration as people write it, in seconds: a number, or one with a unit."""
    if isinstance(given, str):
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|min|h)\s*", given)
        if found is None:
            raise ValueError(f'{given!r:.40} is no duration: seconds as a number, or "40s", "30min", "2h"')
        return float(found[1]) * _UNITS[found[2]]
    return given


Duration = Annotated[float, BeforeValidator(_seconds), Field(gt=0, le=1e7, allow_inf_nan=False)]
"""Seconds."""


class LimitsEntry(FrozenConfig):
    """How long a run waits before it gives something up. It changes no number and is in no key."""

    shard: Duration | None = None
    """One shard, of whatever kind; default: by what others of its kind took."""
    load: Duration = 900.0
    """Besides, where a worker has to load the shard's model first."""
    stage: Duration | None = None
    """One stage of one method on one data set, from its first shard on: what is not begun by then is given
    up. Default: none, as each shard has its own."""
    start: Duration = 300.0
    """For a first worker, while others hold the cluster or none of its nodes answers."""


class MlflowEntry(FrozenConfig):
    """Where a run is logged to MLflow. It changes no number and is in no key."""

    tracking_uri: str | None = Field(default=None, min_length=1)
    """A server's address, or a database's; default: MLFLOW_TRACKING_URI, else a file in the output folder."""
    experiment: str | None = Field(default=None, min_length=1)
    """Default: MLFLOW_EXPERIMENT_NAME, else the run's name."""
    enabled: bool = True

    @model_validator(mode="before")
    @classmethod
    def _short(cls, given: Any) -> Any:
        return {"tracking_uri": given} if isinstance(given, str) else given


ONE_BY_ONE = {"doubled": "left to the caller"}
"""Context of a validation whose caller asks for `RunFile.doubled` itself."""


class RunFile(FrozenConfig):
    """A benchmark: methods x data sets x seeds."""

    name: str
    """Names the run's folder and its MLflow experiment."""
    description: str = ""
    output: Path = Path("out")
    """Where the run's folder, the store and MLflow's database go."""
    store: Path | None = None
    """The content-addressed store, to share it between outputs. Default: <output>/store."""
    methods: tuple[MethodEntry, ...] = Field(min_length=1)
    datasets: tuple[DatasetEntry, ...] = Field(min_length=1)
    seeds: tuple[Seed, ...] = Field(default=(0,), min_length=1)
    limit: int | None = Field(default=None, ge=1)
    """The first so many samples of each data set; None for all."""
    metrics: tuple[str, ...] = Field(
        default=(
            "fvd",
            "kvd",
            "clipsim",
            "frame_consistency_all_pairs",
            "frame_consistency_consecutive",
        ),
        min_length=1,
    )
    protocol: str = "clean"
    """Name or file of the measuring protocol."""
    weights: dict[str, str] = Field(default_factory=dict)
    """Weights of extractors by name ("i3d", "clip"), and of methods ("pipeline") and upscalers ("upscaler")
    that do not name theirs."""
    resources: ResourcesEntry = Field(default_factory=ResourcesEntry)
    limits: LimitsEntry = Field(default_factory=LimitsEntry)
    mlflow: MlflowEntry = Field(default_factory=MlflowEntry)
    """An address, `off`, or a mapping."""
    fresh: Literal["nightly"] | None = None
    """"nightly": clips are made anew, beside the older ones, once the code of their method or the versions of
    the libraries have changed; None: once the method's version, settings or weights have."""
    executor: Literal["auto", "ray", "local"] = "auto"
    """Where shards run: on Ray, or in worker processes of this machine. "auto" takes Ray where there is a
    cluster, a GPU or more than one worker, and worker processes where Ray does not start. It is in no key."""
    failed_cells: Literal["fail", "complete"] = "fail"
    """How a run ends in which cells failed: as failed (Prefect's state Failed, exit code 1), or as complete
    (CompletedWithFailures, 0). It is in no key."""

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
            raise ValueError(
                f"{name!r:.80} is no plain name: letters, digits, '.', '_' and '-', the first a letter or a "
                "digit, at most 64"
            )
        if name in _OTHER_FOLDERS:
            raise ValueError(
                f"{name!r} is a folder of the output that is there for something else; choose another name"
            )
        return name

    @model_validator(mode="before")
    @classmethod
    def _mlflow_off(cls, given: Any) -> Any:
        if isinstance(given, dict) and isinstance(given.get("mlflow"), bool):
            return {**given, "mlflow": {"enabled": given["mlflow"]}}
        return given

    @field_validator("output", "store", mode="before")
    @classmethod
    def _named(cls, given: Any) -> Any:
        if isinstance(given, str) and not given.strip():
            raise ValueError("the name of the folder is empty; name one ('.' is the current folder)")
        return given

    @model_validator(mode="after")
    def _unique(self, info: ValidationInfo) -> Self:
        if info.context is not ONE_BY_ONE:
            for fault in self.doubled():
                raise ValueError(fault)
        return self

    def doubled(self) -> Iterator[str]:
        """What stands twice and must not."""
        for kind in ("methods", "datasets"):
            labels = [entry.label for entry in getattr(self, kind)]
            twice = sorted({label for label in labels if labels.count(label) > 1})
            if twice:
                yield f"{kind} are labelled alike: {twice}; give each a `label`"
        for name in ("seeds", "metrics"):
            values = getattr(self, name)
            if len(set(values)) != len(values):
                yield f"{name} holds an entry twice: {list(values)}"
        for entry in self.datasets:
            for name in ("methods", "metrics"):
                own = getattr(entry, name) or ()
                if len(set(own)) != len(own):
                    yield f"{name} of the data set {entry.label!r} holds an entry twice: {list(own)}"

    @property
    def all_metrics(self) -> tuple[str, ...]:
        """The run's metrics and those of its data sets, each once."""
        own = (name for entry in self.datasets for name in entry.metrics or ())
        return tuple(dict.fromkeys((*self.metrics, *own)))

    def methods_of(self, entry: DatasetEntry) -> tuple[MethodEntry, ...]:
        """The methods that run on a data set."""
        return tuple(m for m in self.methods if entry.methods is None or m.label in entry.methods)

    def parts(self) -> tuple[RunFile, ...]:
        """The run file as one for each lot of data sets that share methods, metrics and protocol."""
        lots: dict[tuple[Any, ...], list[DatasetEntry]] = {}
        for entry in self.datasets:
            metrics = self.metrics if entry.metrics is None else entry.metrics
            lot = (entry.methods, metrics, entry.protocol or self.protocol)
            lots.setdefault(lot, []).append(entry)
        return tuple(
            self.model_copy(
                update={
                    "methods": self.methods_of(entries[0]),
                    "metrics": metrics,
                    "protocol": protocol,
                    "datasets": tuple(entries),
                }
            )
            for (_, metrics, protocol), entries in lots.items()
        )

    @property
    def run_dir(self) -> Path:
        """The folder of this run's tables, report and pictures."""
        return self.output / self.name

    @property
    def store_dir(self) -> Path:
        """The folder of finished work: `store`, else `store` below `output`."""
        return self.store or self.output / "store"

    def amended(
        self,
        *,
        limit: int | None = None,
        only: Sequence[str] = (),
        output: Path | None = None,
        failed_cells: str | None = None,
    ) -> RunFile:
        """The run file with the command line's changes, or a flow's.

        Args:
            limit: replaces the run file's limit.
            only: labels or names of methods, data sets and metrics; a kind of which none is named
                stays whole.
            failed_cells: replaces the run file's.

        Raises:
            UnknownNameError: `only` names something that the run file does not have.
            RunFileError: another value is not allowed.
        """
        changes: dict[str, Any] = {}
        if failed_cells is not None:
            if failed_cells not in FAILED_CELLS:
                raise RunFileError(f"failed_cells: {failed_cells!r:.40} is none of {', '.join(FAILED_CELLS)}")
            changes["failed_cells"] = failed_cells
        if limit is not None:
            if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
                raise RunFileError(f"--limit {limit!r:.40}: must be a whole number of at least 1")
            changes["limit"] = limit
        if output is not None:
            changes["output"] = output
        if only:
            if isinstance(only, str) or not all(isinstance(name, str) for name in only):
                raise RunFileError(f"--only {only!r:.60}: must be a list of names")
            known = {name for entry in (*self.methods, *self.datasets) for name in (entry.name, entry.label)}
            known |= set(self.all_metrics)
            for name in only:
                if name not in known:
                    raise unknown_name("--only", name, known)
            changes |= self._chosen(only)
        return self.model_copy(update=changes)

    def _chosen(self, only: Sequence[str]) -> dict[str, Any]:
        """The methods, data sets and metrics that are named; all of a kind of which none is."""

        def named(entry: PluginEntry) -> bool:
            return entry.name in only or entry.label in only

        methods = tuple(filter(named, self.methods)) or self.methods
        datasets = tuple(filter(named, self.datasets)) or self.datasets
        labels = {entry.label for entry in methods}
        datasets = tuple(e for e in datasets if e.methods is None or labels & set(e.methods))
        if not datasets:
            raise RunFileError(f"--only {' '.join(only)}: none of these methods runs on these data sets")
        metrics = self.metrics
        if any(name in only for name in self.all_metrics):
            metrics = tuple(name for name in self.metrics if name in only)
            own = (tuple(name for name in entry.metrics or metrics if name in only) for entry in datasets)
            datasets = tuple(
                entry.model_copy(update={"metrics": left if entry.metrics else None})
                for entry, left in zip(datasets, own, strict=True)
                if left
            )
        return {"methods": methods, "datasets": datasets, "metrics": metrics}

    def without_metrics(self, names: Sequence[str]) -> RunFile:
        """The run file with metrics left out, also of its data sets."""

        def left(metrics: Sequence[str]) -> tuple[str, ...]:
            return tuple(name for name in metrics if name not in names)

        datasets = tuple(
            entry if entry.metrics is None else entry.model_copy(update={"metrics": left(entry.metrics)})
            for entry in self.datasets
        )
        return self.model_copy(update={"metrics": left(self.metrics), "datasets": datasets})


_WEIGHTS_ROLES = {"methods": "pipeline", "upscalers": "upscaler"}


def plugin_config(run: RunFile, kind: Kind, entry: PluginEntry | UpscalerEntry) -> dict[str, Any]:
    """The configuration of an entry, with the run's `weights: {pipeline: ..., upscaler: ...}` as the default
    of methods and upscalers."""
    default = run.weights.get(_WEIGHTS_ROLES.get(kind, ""))
    takes_weights = kind in _WEIGHTS_ROLES and "weights" in plugin_class(kind, entry).Config.model_fields
    if default is not None and takes_weights and "weights" not in entry.config:
        return {**entry.config, "weights": default}
    return dict(entry.config)


def build_plugin(run: RunFile, kind: Kind, entry: PluginEntry | UpscalerEntry) -> Any:
    """The plug-in of an entry, constructed with its validated configuration.

    Raises:
        PluginError: its own code failed.
    """
    cls = plugin_class(kind, entry)
    with plugin_errors(kind, entry.name):
        return cls(cls.Config.model_validate(plugin_config(run, kind, entry)))


def plugin_class(kind: Kind, entry: PluginEntry | UpscalerEntry) -> Any:
    """The class of an entry.

    Raises:
        UnknownNameError: there is none of that name.
        ReelbenchError: it cannot be imported, or does not keep its contract.
    """
    try:
        return registry.get(kind, entry.name)
    except ImportError as error:
        raise RunFileError(f"{kind[:-1]} {entry.name!r} cannot be imported: {error}") from error
