"""A plug-in class held against the base class of its kind, when it is looked up: before anything is made.

A class need not inherit from the base (`core.contracts`): it then gets the defaults of the members that it
lacks. What has no default it must have, and what it overrides must take the arguments that are given to it.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args

from .contracts import ClipMetric, Dataset, Extractor, Method, Metric, SetMetric, Upscaler
from .errors import PluginError, ReelbenchError, RunFileError, foreign_place, nearest, raise_unless_plugins
from .types import ClipRef, Conditioning, Level, Sample

Kind = Literal["methods", "upscalers", "datasets", "extractors", "metrics"]

_BASES: dict[str, type] = {
    "methods": Method,
    "upscalers": Upscaler,
    "datasets": Dataset,
    "extractors": Extractor,
    "metrics": Metric,
}
_SPECIAL = ("__len__", "__iter__")


def check_contract(kind: Kind, cls: type, name: str | None = None) -> type:
    """The class with all members of its contract: itself where it inherits them, else a subclass that does.

    Args:
        name: as the run file names it, for messages.

    Raises:
        RunFileError: it lacks a member, or one has the wrong kind of value or takes other arguments; names
            the kind, the file, every such member and what to do.
    """
    base = _BASES[kind]
    if base is Metric:
        base = {"clip": ClipMetric, "set": SetMetric}.get(str(getattr(cls, "level", None)), Metric)
    complete = cls
    if not issubclass(cls, base):
        same = {name: getattr(cls, name) for name in ("__module__", "__qualname__", "__doc__")}
        complete = type(cls.__name__, (cls, base), same)
    faults = list(_faults(kind, cls, complete, base))
    if faults:
        raise RunFileError(
            f"{_word(kind)} {name or cls.__qualname__!r} does not fit its contract:\n  "
            + "\n  ".join(f"{cls.__qualname__}.{member}: {fault}" for member, fault in faults),
            f"mend {_file(cls)}; its members are those of {base.__name__} in "
            "reelbench.core.contracts, and a class that inherits from it has the defaults",
        )
    return complete


@contextlib.contextmanager
def plugin_errors(kind: Kind, name: str, *passing: type[Exception]) -> Iterator[None]:
    """Within the block, what a plug-in's own code raises is told in one message.

    Args:
        passing: exceptions that whoever calls tells in words of its own.

    Raises:
        PluginError: names the plug-in, the exception and the line. What the user can mend passes as it is.
    """
    told: tuple[type[Exception], ...] = (ReelbenchError, *passing)
    try:
        yield
    except told:
        raise
    except (Exception, SystemExit) as error:
        raise_unless_plugins(error)
        at = traceback.extract_tb(error.__traceback__)[-1]
        raise PluginError(
            f"{_word(kind)} {name!r} failed: {type(error).__name__}: {error}".removesuffix(": "),
            f"raised in {foreign_place(error) or f'{at.filename}, line {at.lineno}'}",
        ) from error


def check_sample(sample: Any) -> None:
    """Refuse what a data set gives that is no sample.

    Raises:
        TypeError: names the field, what it is and what is allowed.
    """
    if not isinstance(sample, Sample):
        raise TypeError(f"it gives {sample!r:.80}; a data set gives `core.types.Sample`")
    for allowed, kind, fields in _SAMPLE_FIELDS:
        for field in fields:
            value = getattr(sample, field)
            if not isinstance(value, kind) or isinstance(value, bool):
                raise TypeError(
                    f"{field} of the sample {sample.id!r} is {value!r:.80}, and must be {allowed}"
                )
            if isinstance(value, str):
                value.encode()  # a badly decoded file name cannot be stored
    if sample.reference is not None and not isinstance(sample.reference.path, Path):
        path = sample.reference.path
        raise TypeError(f"the reference of the sample {sample.id!r} has {path!r:.80} for a path, not a Path")


_SAMPLE_FIELDS: tuple[tuple[str, Any, tuple[str, ...]], ...] = (
    ("a string", str, ("id", "prompt", "source")),
    ("a string or None", str | None, ("source_prompt",)),
    ("a ClipRef or None", ClipRef | None, ("reference",)),
    ("a whole number", int, ("num_context_frames",)),
)


def samples_of(dataset: Any, label: str, limit: int | None) -> tuple[Sample, ...]:
    """The first samples of a data set, all without a limit.

    Raises:
        PluginError: its own code failed, or it gives what is no sample.
    """
    with plugin_errors("datasets", label):
        samples = tuple(itertools.islice(iter(dataset), limit))
        for sample in samples:
            check_sample(sample)
        str(dataset.split)
    return samples


def refuse_namesakes(kind: Kind, used: Iterable[tuple[str, type]]) -> None:
    """Refuse classes that call themselves alike: tables and signatures go by that name.

    Args:
        used: (as the run file names it, class) of each.

    Raises:
        RunFileError: two are different classes with one `name`.
    """
    found: dict[str, tuple[str, type]] = {}
    for written, cls in used:
        name = cls.name  # type: ignore[attr-defined]
        other, other_cls = found.setdefault(name, (written, cls))
        if other_cls is not cls:
            raise RunFileError(
                f"two {_word(kind)}s call themselves {name!r}: {other!r} ({_file(other_cls)}) and "
                f"{written!r} ({_file(cls)}); results would not be told apart",
                "give one of the classes another `name`",
            )


def _faults(kind: Kind, cls: type, complete: type, base: type) -> Iterator[tuple[str, str]]:
    """(member, what is wrong with it), in the order of the contract."""
    needs_config = kind != "metrics"
    config = getattr(cls, "Config", None)
    if needs_config and not hasattr(config, "model_validate"):
        yield "Config", "is missing; write a nested class of settings, `class Config(FrozenConfig)`"
    makes_its_own = "__init__" in vars(cls)  # and may set there what the contract lacks a default for
    for member in _members(base):
        is_abstract = member in getattr(complete, "__abstractmethods__", ())
        if is_abstract or not hasattr(complete, member):
            if is_abstract or not makes_its_own:
                own = {name for name in vars(cls) if not name.startswith("__")}
                meant = nearest(member, own - set(_members(base)))
                yield member, "is missing" + (f"; is {meant!r} meant to be it?" if meant else "")
        elif member in _VALUES:
            if (fault := _VALUES[member](getattr(complete, member))) is not None:
                yield member, fault
        elif inspect.isfunction(getattr(base, member)) or inspect.ismethod(getattr(base, member)):
            if not callable(getattr(complete, member)):
                yield member, f"must be a method, not {getattr(complete, member)!r}"
            elif (fault := _signature_fault(complete, base, member)) is not None:
                yield member, fault
    taken = "protocol" if kind == "metrics" else "config"
    try:
        inspect.signature(complete).bind(object())
    except TypeError as error:
        yield "__init__", f"must be callable with one argument, the {taken} ({error})"
    except ValueError:
        pass  # no signature to look at


def _members(base: type) -> list[str]:
    """Public members of a contract: what is annotated without a default, and what is defined."""
    names: dict[str, None] = {}
    for cls in reversed(base.__mro__):
        if cls.__module__ != Metric.__module__:
            continue
        names |= dict.fromkeys(inspect.get_annotations(cls))
        names |= dict.fromkeys(name for name in vars(cls) if name in _SPECIAL or not name.startswith("_"))
    return [name for name in names if name != "Config"]


def _signature_fault(cls: type, base: type, member: str) -> str | None:
    """Why a method cannot be called as the base class's is, or None."""
    wanted, given = _signature(base, member), _signature(cls, member)
    if wanted is None or given is None:
        return None
    by_name = {name for name, p in wanted.parameters.items() if p.kind is p.KEYWORD_ONLY}
    by_place = [p for name, p in wanted.parameters.items() if name not in by_name]
    required = [p for p in by_place if p.default is p.empty]
    try:
        given.bind(*by_place, **dict.fromkeys(by_name))
        given.bind(*required)
    except TypeError as error:
        return f"takes {given}, and is called with {wanted}: {error}"
    return None


def _signature(cls: type, member: str) -> inspect.Signature | None:
    """How a member of an instance is called; None for what has no signature."""
    static = inspect.getattr_static(cls, member)
    is_bound = not isinstance(static, staticmethod)
    function = static.__func__ if isinstance(static, staticmethod | classmethod) else static
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return None
    plain = [p.replace(annotation=p.empty) for p in parameters[is_bound:]]
    return inspect.Signature(plain)


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) and value.strip() else f"must be a non-empty string, not {value!r}"


def _words(value: Any) -> str | None:
    return None if isinstance(value, str | property) else f"must be a string, not {value!r}"


def _one_of(*allowed: Any) -> Callable[[Any], str | None]:
    def fault(value: Any) -> str | None:
        # 1 is no True, but a text may stand for a member of an enumeration.
        is_allowed = any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in allowed)
        if is_allowed or isinstance(value, property):
            return None
        return (
            f"must be one of {', '.join(repr(getattr(one, 'value', one)) for one in allowed)}, not {value!r}"
        )

    return fault


def _names(value: Any) -> str | None:
    if isinstance(value, tuple) and value and all(isinstance(name, str) for name in value):
        return None
    return f"must be a tuple of extractors' names, such as ('clip_image',), not {value!r}"


def _count(value: Any) -> str | None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    return (
        None
        if is_count or isinstance(value, property)
        else f"must be a whole number of at least 1, not {value!r}"
    )


_VALUES: dict[str, Callable[[Any], str | None]] = {
    "name": _text,
    "version": _text,
    "label": _text,
    "unit": _words,
    "formula": _words,
    "conditioning": _one_of(*Conditioning),
    "task": _one_of("text-to-video", "editing", "prediction"),
    "modality": _one_of("video", "text", "pair"),
    "higher_is_better": _one_of(True, False, None),
    "level": _one_of(*get_args(Level)),
    "needs": _names,
    "min_n": _count,
    "min_context_frames": _count,
}


def _word(kind: Kind) -> str:
    return "data set" if kind == "datasets" else kind[:-1]


def _file(cls: type) -> str:
    try:
        return inspect.getfile(cls)
    except (TypeError, OSError):
        return f"the module {cls.__module__}"
