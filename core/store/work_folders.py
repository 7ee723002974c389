"""A folder for each key: what was made, and a record that is written last."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from ..atomic_write import write_text_atomic
from ..errors import StoreError
from ..records import FailureInfo, WorkRecord
from .files import StoreFiles, writing

Record = TypeVar("Record", bound=WorkRecord)


def first_fault(error: ValidationError) -> str:
    """What is wrong with a record, in one line and without what it holds."""
    fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(map(str, fault["loc"]))
    return (f"{place}: " if place else "") + fault["msg"].splitlines()[0][:200]


class WorkFolders(Generic[Record]):
    """The folders of one kind of work, by key.

    Args:
        files: of the store.
        kind: the folder above them, in the store's.
        model: the class of their records.
        content: the file that is there where a record says "done".
    """

    def __init__(self, files: StoreFiles, kind: str, model: type[Record], content: str) -> None:
        self._files, self._kind, self._model, self._content = files, kind, model, content

    def folder(self, key: str) -> Path:
        """Where the work of a key lies, made or not."""
        return self._files.path(self._kind, key)

    def path(self, key: str) -> Path:
        """The file that was made."""
        return self.folder(key) / self._content

    def keys(self) -> list[str]:
        """The keys of all folders, whatever they hold, sorted."""
        return sorted(folder.name for folder in (self._files.root / self._kind).glob("??/" + "?" * 64))

    def record(self, key: str) -> Record | None:
        """The record of a key, None when there is none or it was damaged (and is now in quarantine).

        One that a newer Reelbench wrote, or that this user may not read, is left alone and reads as a failure
        that says so.
        """
        path = self.folder(key) / "record.json"
        try:
            text = path.read_text(encoding="utf-8")
            record = self._model.model_validate_json(text)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except ValidationError as error:
            doubt = f"malformed: {first_fault(error)}"
        except (OSError, UnicodeDecodeError) as error:
            doubt = f"unreadable: {error}"
        else:
            if record.key != key:
                doubt = f"belongs to key {record.key}"
            elif record.status == "done" and not self.path(key).is_file():
                doubt = f"says done, but {self._content} is not there"
            else:
                return record
        if (bar := self.barred(key)) is not None:
            return self._model.model_construct(
                key=key, status="failed", method_key="", prompt="", seed=0, error=FailureInfo.of(bar)
            )
        self._distrust(key, doubt)
        return None

    def barred(self, key: str) -> StoreError | None:
        """Why the work of a key must be left alone, None where it need not; see `StoreFiles.barred`."""
        return self._files.barred(self.folder(key) / "record.json")

    def _begin(self, key: str) -> None:
        """Call it before anything of a key is written.

        Raises:
            StoreError: its record must be left alone, or the folder cannot be made.
        """
        if (bar := self.barred(key)) is not None:
            raise bar
        self._files.make_way(self.path(key))

    def done(self, key: str) -> Record | None:
        """The record of a key whose work is done, None where it is not."""
        record = self.record(key)
        return record if record is not None and record.status == "done" else None

    def put_failure(self, key: str, error: BaseException, **fields: Any) -> None:
        """Record that work failed. What is already done stays.

        Args:
            fields: the rest of the record.

        Raises:
            StoreError: it cannot be written (a full disk).
        """
        if self.done(key) is None and self.barred(key) is None:
            self._write(self._model(key=key, status="failed", error=FailureInfo.of(error), **fields))

    def _write(self, record: Record) -> Record:
        path = self.folder(record.key) / "record.json"
        self._files.make_way(path)
        with writing(path):
            write_text_atomic(path, record.model_dump_json(indent=1))
        return record

    def _distrust(self, key: str, reason: str) -> None:
        """Move a record to quarantine, so that the next run does the work again."""
        self._files.quarantine(self.folder(key) / "record.json", reason)
