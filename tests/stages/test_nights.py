"""Nights of one run: what changed, by how much, and what differs; and one method that always fails."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reelbench.core.libraries import versions_for_methods
from reelbench.core.run_file_loading import parse_run_file
from reelbench.core.run_folders import run_ids
from reelbench.core.run_record import commit_of, read_record
from reelbench.core.sources import _code, code_digest
from reelbench.core.store import Store
from reelbench.datasets.video import default_codec
from reelbench.methods.zero_shot.ddim_frames import DdimFrames
from reelbench.methods.zero_shot.zs2 import Zs2
from reelbench.reports.nights.changes import (
    CellChange,
    Changes,
    changes_markdown,
    read_changes,
    write_changes,
)
from reelbench.reports.nights.history import history_rows, read_history, selected
from reelbench.stages.nights.compare import compare_nights
from reelbench.stages.nights.record import night_ids, why_missing
from reelbench.stages.planning import look_at_run

METHOD = '''
import numpy as np
from reelbench.core.contracts import FrozenConfig, Method, Session
from reelbench.core.types import Conditioning


class {name}(Method, Session):
    """Grey clips that flicker."""

    class Config(FrozenConfig):
        pass

    name, version, conditioning = "{label}", "1", Conditioning.TEXT
    amount = {amount}

    def load(self, device):
        return self

    def generate(self, samples, artifact, seeds):
        for sample, seed in zip(samples, seeds):
            if self.amount is None or sample.id in {refused}:
                raise ValueError("this method always fails")
            noise = np.random.default_rng(seed).integers(0, self.amount, (16, 32, 32, 3))
            yield (100 + noise).astype(np.uint8)
'''

NUM_CLIPS = 8


class Nights:
    """Nights of a run over a small world, one a call."""

    def __init__(self, world: Any) -> None:
        self.world, self.num = world, 0
        self.metrics = ["temporal_flickering"]
        self.run_dir: Path = world.folder / "out" / "small"
        world.write({f"s{index}": f"prompt {index}" for index in range(NUM_CLIPS)})

    def method(self, label: str, amount: int | None, refused: tuple[str, ...] = ()) -> dict[str, str]:
        """Write the method's file; what stands in the run file."""
        file = self.world.folder / f"{label}.py"
        name = label.capitalize()
        file.write_text(METHOD.format(name=name, label=label, amount=amount, refused=refused))
        return {"name": f"{file}:{name}", "label": label}

    def night(self, *methods: dict[str, str], **changes: Any) -> Changes:
        """Run, and compare with the nights before."""
        self.num += 1
        self.world.started = datetime.datetime(2026, 11, self.num, 3, tzinfo=datetime.UTC)
        _, result, _ = self.world.run(methods=list(methods), metrics=self.metrics, **changes)
        store = Store(self.world.folder / "out" / "store", default_codec())
        found = compare_nights(self.run_dir, result.run_id, self.world.measurings, store)
        write_changes(found, result.folder)
        assert read_changes(result.folder) == found
        return found


@pytest.fixture
def nights(world: Any) -> Nights:
    return Nights(world)


def cell(changes: Changes, method: str, metric: str = "temporal_flickering") -> CellChange:
    (found,) = (item for item in changes.cells if (item.method, item.metric) == (method, metric))
    return found


def test_a_planted_regression_is_told_from_an_unchanged_night(nights: Nights) -> None:
    nights.metrics.append("fvd")
    steady = nights.method("steady", 20)
    first = nights.night(steady, nights.method("shaky", 20))
    assert first.verdict == "not compared"
    assert "no earlier night" in first.headline

    second = nights.night(steady, nights.method("shaky", 20))
    assert second.verdict == "unchanged"
    assert {item.verdict for item in second.cells} == {"unchanged"}
    assert second.differences == ()
    assert second.headline == "nothing changed"

    third = nights.night(steady, nights.method("shaky", 60))
    assert third.verdict == "worse"
    worse = cell(third, "shaky")
    assert worse.before is not None
    assert worse.now is not None
    assert worse.difference == pytest.approx(worse.now - worse.before)
    assert worse.low is not None
    assert worse.high is not None
    assert worse.low < worse.difference < worse.high < 0
    assert worse.p_holm is not None
    assert worse.p_holm < 0.05
    assert worse.before_id == second.run_id
    assert {item.verdict for item in third.cells if item.method == "steady"} == {"unchanged"}
    # FVD by its own paired test on the stored features, in the same family.
    fvd = cell(third, "shaky", "fvd")
    assert fvd.p_value is not None
    assert fvd.num_pairs == NUM_CLIPS
    (what,) = third.differences
    assert (what.what, what.method) == ("code", "shaky")
    page = changes_markdown(third)
    assert "code of shaky" in page
    assert worse.words.partition(":")[0].replace("_", "\\_") in page

    # Mended, it is as in the first night: nothing is made again, and the night is better than the last.
    fourth = nights.night(steady, nights.method("shaky", 20))
    assert cell(fourth, "shaky").verdict == "better"
    assert cell(fourth, "shaky").difference == pytest.approx(-worse.difference)


def test_one_method_that_always_fails_keeps_no_other_from_being_compared(nights: Nights) -> None:
    broken = nights.method("broken", None)
    nights.night(nights.method("shaky", 20), broken)
    second = nights.night(nights.method("shaky", 60), broken)
    assert second.verdict == "worse"
    assert cell(second, "shaky").verdict == "worse"
    assert cell(second, "broken").verdict == "not compared"
    assert second.headline.endswith("; failed: broken")
    (failure,) = second.failures
    assert (failure.method, failure.num_failed, failure.num_clips) == ("broken", NUM_CLIPS, NUM_CLIPS)
    assert "always fails" in failure.cause
    assert not failure.is_new
    third = nights.night(nights.method("shaky", 60), broken)
    assert third.verdict == "unchanged"


def test_a_night_with_failures_is_compared_and_is_nobodys_measure(nights: Nights) -> None:
    first = nights.night(nights.method("shaky", 20))
    second = nights.night(nights.method("shaky", 60, refused=("s0", "s1")))
    assert second.verdict == "worse"
    assert cell(second, "shaky").num_pairs == NUM_CLIPS - 2
    assert "on the 6 clips that both nights have" in cell(second, "shaky").notes[0]
    (failure,) = second.failures
    assert failure.is_new
    assert failure.num_failed == 2
    third = nights.night(nights.method("shaky", 60))
    assert cell(third, "shaky").before_id == first.run_id


def test_fewer_clips_are_no_unchanged_night(nights: Nights) -> None:
    """Equal on the clips that are left, a method that lost some is not as it was."""
    first = nights.night(nights.method("shaky", 20), nights.method("steady", 20))
    refused = ("s0", "s1", "s2", "s3", "s4")
    second = nights.night(nights.method("shaky", 20, refused), nights.method("steady", 20), fresh="nightly")
    change = cell(second, "shaky")
    assert (change.verdict, change.difference, change.num_pairs) == ("changed", 0.0, 3)
    assert cell(second, "steady").verdict == "unchanged"
    assert second.verdict == "changed"
    assert second.headline.startswith("fewer clips or values of shaky")
    assert second.headline.endswith("failed: shaky (5 of 8 clips)")
    page = changes_markdown(second)
    assert f"{change.before:.4g} → {change.now:.4g}" in page
    assert "on the 3 clips that both nights have, of 3 tonight and 8 then" in page
    assert "(8 clips)" in page

    found, _ = read_history((item.run_id, nights.run_dir / item.run_id, item) for item in (first, second))
    (shaky,) = (item for item in selected(found) if item.method == "shaky")
    assert [point.status for point in shaky.points] == ["done", "3 of 8"]
    assert shaky.series == shaky.points[0].series != shaky.points[1].series
    assert [row["verdict"] for row in history_rows([shaky])] == ["not compared", "changed"]
    (line,) = (item for item in selected(found) if item.method == "steady")
    assert line.points[0].series == line.points[1].series

    gone = nights.night(nights.method("shaky", None), nights.method("steady", 20), fresh="nightly")
    assert cell(gone, "shaky").is_lost
    assert gone.verdict == "changed"
    assert gone.headline.startswith("fewer clips or values of shaky")
    found, _ = read_history([(gone.run_id, nights.run_dir / gone.run_id, gone)])
    (point,) = (item.points[0] for item in selected(found) if item.method == "shaky")
    assert (point.status, point.num_asked) == ("failed", NUM_CLIPS)
    assert "always fails" in point.note


def test_nights_of_other_protocols_and_samples_are_not_compared_blindly(nights: Nights) -> None:
    nights.metrics.append("fvd")
    shaky = nights.method("shaky", 20)
    first = nights.night(shaky)
    small = nights.night(shaky, limit=4)
    assert small.verdict == "unchanged"
    assert cell(small, "shaky").num_pairs == 4
    assert cell(small, "shaky", "fvd").verdict == "not compared"  # of another set of references
    # A whole night is compared with a whole one, not with the small one in between.
    third = nights.night(shaky)
    assert third.baselines == [first.run_id]
    assert third.verdict == "unchanged"
    other = nights.night(shaky, protocol="stylegan-v")
    assert other.verdict == "not compared"
    assert "another protocol" in cell(other, "shaky", "fvd").notes[0]


def test_fresh_clips_are_made_beside_older_ones_when_a_library_changes(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    shaky = nights.method("shaky", 20)

    def clips() -> set[str]:
        return {path.name for path in (nights.world.folder / "out" / "store" / "clips").glob("*/*")}

    def keys(**changes: Any) -> set[str]:
        run = parse_run_file(nights.world.data | {"methods": [shaky], "metrics": nights.metrics} | changes)
        return {task.key for cell in look_at_run(run)[0].cells for task in cell.tasks}

    nights.night(shaky)
    plain = clips()
    assert plain == keys()
    nights.night(shaky, fresh="nightly")
    fresh = clips()
    assert len(fresh) == 2 * NUM_CLIPS
    assert keys() == plain  # without the setting, nothing changes
    assert keys(fresh="nightly") == fresh - plain
    assert nights.night(shaky, fresh="nightly").verdict == "unchanged"
    assert clips() == fresh

    versions = {**versions_for_methods(), "numpy": "99.0"}
    for module in ("reelbench.core.planner", "reelbench.stages.nights.record"):
        monkeypatch.setattr(f"{module}.versions_for_methods", lambda: versions)
    data = {"methods": [shaky], "metrics": nights.metrics, "fresh": "nightly"}
    plan, _ = look_at_run(parse_run_file(nights.world.data | data))
    assert plan.num_missing == NUM_CLIPS
    (why,) = why_missing(plan)
    assert why.words == f"numpy: {np.__version__} → 99.0"
    changed = nights.night(shaky, fresh="nightly")
    assert clips() > fresh
    assert len(clips()) == 3 * NUM_CLIPS
    assert changed.verdict == "unchanged"  # made anew, and equal to the last bit


def test_the_code_of_a_built_in_is_known_and_comments_are_no_code(tmp_path: Path) -> None:
    assert code_digest(Zs2) == code_digest(Zs2) != code_digest(DdimFrames)
    digests = []
    for number, text in enumerate(('"""One."""\nx = 1', "x = 1  # the same", "x = 2")):
        file = tmp_path / f"code{number}.py"
        file.write_text(text)
        digests.append(_code(file))
    assert digests[0] == digests[1] != digests[2]


def test_damaged_nights_are_passed_over(nights: Nights) -> None:
    shaky = nights.method("shaky", 20)
    first, second = nights.night(shaky), nights.night(shaky)
    (nights.run_dir / second.run_id / "tables" / "clips.parquet").write_bytes(b"PAR1")
    (nights.run_dir / second.run_id / "run.json").write_text("[")
    third = nights.night(shaky)
    assert third.baselines == [first.run_id]
    assert third.verdict == "unchanged"
    assert third.headline == f"nothing changed; damaged, and passed over: {second.run_id}"
    assert "clips.parquet" in changes_markdown(third)
    # One line for a record that cannot be read, and none for what an earlier version did not record.
    (nights.run_dir / third.run_id / "run.json").write_text("[")
    fourth = nights.night(shaky)
    assert fourth.differences == ()
    assert fourth.notes == (f"run.json of {third.run_id} cannot be read: what differs is unknown",)
    assert fourth.damaged == ()
    (nights.run_dir / fourth.run_id / "run.json").write_text('{"hardware": "CPU"}')
    fifth = nights.night(shaky)
    assert {item.what for item in fifth.differences} <= {"hardware"}
    assert fifth.notes == ()


def test_tables_that_were_only_built_again_are_no_night(nights: Nights) -> None:
    first = nights.night(nights.method("shaky", 20))
    nights.world.started = None
    _, result, _ = nights.world.run(methods=[nights.method("shaky", 60)], metrics=nights.metrics)
    assert result.run_id in run_ids(nights.run_dir)
    assert night_ids(nights.run_dir) == [first.run_id]
    nights.num = 29
    assert nights.night(nights.method("shaky", 20)).baselines == [first.run_id]


def test_a_record_says_what_a_night_was_made_with(nights: Nights) -> None:
    nights.night(nights.method("shaky", 20))
    (run_id,) = run_ids(nights.run_dir)
    record = read_record(nights.run_dir / run_id)
    assert record is not None
    assert record.started == "2026-11-01T03:00:00+00:00"
    assert (record.num_clips, record.num_failures) == (NUM_CLIPS, 0)
    assert record.libraries["numpy"] == np.__version__
    assert len(record.methods["shaky"]["code"]) == 12
    assert {"pixel_difference", "temporal_flickering", "protocol"} <= set(record.measures)
    text = (nights.run_dir / run_id / "run.json").read_text()
    assert str(nights.world.folder) not in text.replace(str(nights.world.log), "")


def test_a_commit_is_that_of_the_repository_itself(tmp_path: Path) -> None:
    assert commit_of(tmp_path) == ""
    assert commit_of(tmp_path / "missing") == ""
