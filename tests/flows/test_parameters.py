"""Parameters of the flow that are no such thing are refused in one line, not deep inside."""

from __future__ import annotations

from typing import Any

import pytest

from reelbench.core.errors import ReelbenchError
from reelbench.core.run_file import RunFile
from reelbench.flows.parameters import check_parameters

RUN = RunFile.model_construct(methods=(), datasets=(), metrics=())


@pytest.mark.parametrize("limit", ["4", -1, 0, 1.5, True, [], {}, "x" * 100_000])
def test_a_limit_is_a_number_of_samples(limit: Any) -> None:
    with pytest.raises(ReelbenchError, match=r"--limit .*: must be a whole number of at least 1") as refused:
        RUN.amended(limit=limit)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("only", ["fca", [1], [None], [["fca"]], {"fca": 1, 2: 3}, "../../etc" * 1000])
def test_only_is_a_list_of_names(only: Any) -> None:
    with pytest.raises(ReelbenchError, match=r"--only .*: must be a list of names") as refused:
        RUN.amended(only=only)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("path", [7, True, ["a"], {"a": 1}, b"a", "a\0b", "a" * 100_000])
def test_a_path_is_text_that_a_file_system_takes(path: Any) -> None:
    for name in ("run_file", "output"):
        with pytest.raises(ReelbenchError, match=f"{name}=.* is no path") as refused:
            check_parameters(**{name: path})
        assert len(str(refused.value)) < 200
