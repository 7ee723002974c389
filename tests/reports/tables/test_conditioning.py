"""A method tuned on the clip that it is scored against is never ranked with those that read a caption."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from reelbench.core.tables import ScoreRow
from reelbench.methods.one_shot.tune_a_video import TuneAVideo
from reelbench.methods.zero_shot.ddim_frames import DdimFrames
from reelbench.methods.zero_shot.zs2 import Zs2
from reelbench.metrics.build import build_metric
from reelbench.metrics.protocol import load_protocol
from reelbench.reports.pages.markdown_report import comparison_markdown
from reelbench.reports.tables.comparison import comparison_table
from reelbench.reports.tables.run_tables import RunTables
from reelbench.stages.measuring import Measuring
from reelbench.stages.scoring.comparisons import comparison_rows
from reelbench.stages.scoring.metric_calls import Defects
from reelbench.stages.scoring.observations import Observations, System

METHODS: dict[str, Any] = {"ddim-frames": DdimFrames, "zs2": Zs2, "tune-a-video": TuneAVideo}


@pytest.fixture
def rows(summary_row: Callable[..., dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Summary and comparisons of a run on MSR-VTT in which the tuned method has the best CLIPSIM by far."""
    names = [f"video{n}" for n in range(7010, 7022)]
    methods = [cls(cls.Config()) for cls in METHODS.values()]
    protocol = load_protocol("clean")
    measuring = Measuring(protocol, (build_metric("clipsim", protocol),), {})
    scores, summary = [], []
    for index, method in enumerate(methods):
        conditioning = str(method.conditioning)
        scores += [
            ScoreRow(run="r", metric="clipsim", protocol=protocol.name, protocol_digest=protocol.digest,
                     method=method.name, dataset="msrvtt", split="test", conditioning=conditioning,
                     sample_id=name, source=name, seed=0, score_key=None,
                     value=0.25 + 0.1 * index + 0.001 * place * (index + 1))
            for place, name in enumerate(names)
        ]  # fmt: skip
        summary.append(
            summary_row(metric="clipsim", label="CLIPSIM", level="clip", higher_is_better=True,
                        method=method.name, conditioning=conditioning, value=0.25 + 0.1 * index,
                        dataset="msrvtt", n=12, n_reference=None, protocol=protocol.name,
                        protocol_digest=protocol.digest)
        )  # fmt: skip
    systems = tuple(System(item.name, item.name, "1", "{}", str(item.conditioning)) for item in methods)
    observations = Observations("r", systems, {"msrvtt": "test"}, (0,))
    compared = comparison_rows(measuring, observations, scores, Defects())
    return summary, [asdict(row) for row in compared]


def test_the_tuned_method_is_grouped_apart_and_not_the_best(rows: Any) -> None:
    summary, comparisons = rows
    (section,) = comparison_table(RunTables(summary=summary, comparisons=comparisons)).sections
    groups = {group.conditioning: [row.method for row in group.rows] for group in section.groups}
    assert groups == {"text": ["ddim-frames", "zs2"], "text + reference video": ["tune-a-video"]}
    best = [row.method for group in section.groups for row in group.rows if row.cells[0].is_best]
    assert best == ["zs2"]
    text = comparison_markdown(comparison_table(RunTables(summary=summary)))
    assert (
        text.index("*Saw: text*") < text.index("*Saw: text + reference video*") < text.index("tune-a-video")
    )


def test_no_comparison_row_pairs_it_with_the_others(rows: Any) -> None:
    _, comparisons = rows
    assert [(row["method_a"], row["method_b"]) for row in comparisons] == [("ddim-frames", "zs2")]
    assert comparisons[0]["conditioning"] == "text"
    assert comparisons[0]["family"].startswith("1 comparison")
