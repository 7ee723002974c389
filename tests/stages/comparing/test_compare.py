"""Two results held against each other: planted differences, none, what is missing, and what is refused."""

from __future__ import annotations

import json
import re
from dataclasses import fields as fields_of
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_rel
from typer.testing import CliRunner

import reelbench
from reelbench.cli.main import app
from reelbench.core.errors import ReelbenchError, UnknownNameError
from reelbench.core.store import Store
from reelbench.core.tables import ClipRow, FeatureRow, RunRow, ScoreRow, SummaryRow, Tables
from reelbench.datasets.video import default_codec, write_preview
from reelbench.metrics.protocol import load_protocol
from reelbench.reports.comparing.page import write_comparison_page
from reelbench.reports.comparing.result import ComparedCell, Comparison
from reelbench.reports.comparing.text import legend
from reelbench.stages.comparing.compare import ComparisonError, compare

PROTOCOL = load_protocol("clean")
NUM_CLIPS, NUM_FEATURES = 24, 6
EVIL = "<script>alert(1)</script> [red]x:y/../z|`*"


class Made:
    """Results on disk as a run leaves them, with planted scores and features.

    Args:
        shifts: of each label what its CLIPSIM is above the shared scores; ten times that are its features
            from the references'.
        samples: numbers of the samples.
        fields: of all rows that have them, in place of the usual ones.
    """

    def __init__(
        self, folder: Path, shifts: dict[str, float], samples: Any = range(NUM_CLIPS), **fields: Any
    ) -> None:
        self.folder, self.samples = folder, list(samples)
        self.sources = 1 if fields.pop("one_source", False) else NUM_CLIPS
        self.hardware = fields.pop("hardware", "CPU: of a test")
        self.tables = Tables()
        self.store = Store(folder.parent / "store", default_codec())
        self.common = {
            "run": "r", "dataset": "words", "split": "test", "protocol": PROTOCOL.name,
            "protocol_digest": PROTOCOL.digest,
        } | fields  # fmt: skip
        self.features: dict[str, np.ndarray] = {}
        for index in self.samples:
            rng = np.random.default_rng(index)
            self._feature("reference", None, index, rng.normal(size=NUM_FEATURES))
        for number, (label, shift) in enumerate(shifts.items()):
            self._method(label, shift, number)
        self.tables.runs.append(
            RunRow(
                run="r", run_key="k", run_file=json.dumps({"protocol": "clean"}), protocol="clean",
                protocol_digest=PROTOCOL.digest, weights="{}", num_clips=1, num_failures=0,
                reelbench_version="0.1.0", library_versions='{"torch": "2"}', hardware=self.hardware,
            )
        )  # fmt: skip

    def _row(self, cls: type, **fields: Any) -> Any:
        names = {item.name for item in fields_of(cls)}
        return cls(**{name: value for name, value in self.common.items() if name in names} | fields)

    def _method(self, label: str, shift: float, number: int) -> None:
        values = []
        for index in self.samples:
            shared = 0.8 + 0.1 * np.random.default_rng(index).normal()
            own = np.random.default_rng([index, round(1e6 * abs(shift))]).normal(0, 0.01) if shift else 0.0
            values.append(float(shared + shift + own))
            self.tables.scores.append(
                self._row(
                    ScoreRow, metric="clipsim", method=label, conditioning=self._saw(), seed=0,
                    sample_id=f"s{index:02}", source=self._source(index), value=values[-1], score_key=None,
                )
            )  # fmt: skip
            rng = np.random.default_rng([index, 7])
            self._feature("generated", label, index, rng.normal(size=NUM_FEATURES) + 10 * shift)
            self.tables.clips.append(
                self._row(
                    ClipRow, side="generated", method=label, sample_id=f"s{index:02}", seed=0,
                    source=self._source(index), prompt=f"prompt {index}", clip_key=f"{label}{index}",
                    status="done", num_frames=16, height=64, width=64, hardware=self.hardware,
                )
            )  # fmt: skip
        kinds = (("clipsim", "clip", True, float(np.mean(values))), ("fvd", "set", False, 1.0))
        for metric, level, better, value in kinds:
            self.tables.summary.append(
                self._row(
                    SummaryRow, metric=metric, label=metric.upper(), unit="", higher_is_better=better,
                    level=level, method=label, method_name="m", method_version="1", method_config="{}",
                    conditioning=self._saw(), seed=None, num_seeds=1, value=value, n=len(values),
                    num_failures=0, coverage=1.0, signature=f"{metric}.1|n:{len(values)}|i3d:15dacb47",
                    hardware=self.hardware,
                )
            )  # fmt: skip
        self.tables.summary.append(
            self._row(
                SummaryRow, metric="sampling_s", label="Sampling", unit="s", higher_is_better=False,
                level="cost", method=label, method_name="m", method_version="1", method_config="{}",
                conditioning=self._saw(), seed=None, num_seeds=1, value=2.0 + number, n=len(values),
                num_failures=0, coverage=1.0, hardware=self.hardware,
            )
        )  # fmt: skip

    def _saw(self) -> str:
        return str(self.common.get("conditioning", "text"))

    def _source(self, index: int) -> str:
        return f"v{index % self.sources}"

    def _feature(self, side: str, label: str | None, index: int, values: np.ndarray) -> None:
        key = f"{side}-{label}-{index}-{float(values.sum())}"
        self.features[key] = values.astype(np.float32)
        self.tables.features.append(
            self._row(
                FeatureRow, side=side, method=label, sample_id=f"s{index:02}",
                seed=None if label is None else 0, extractor="i3d", extractor_version="1",
                feature_key=key, content_digest=None, status="done",
            )
        )  # fmt: skip

    def write(self) -> Path:
        self.store.features.put("i3d", self.features)
        self.tables.write(self.folder / "tables")
        return self.folder


def cell(found: Comparison, metric: str = "clipsim") -> ComparedCell:
    (one,) = (item for item in found.cells if item.metric == metric)
    return one


def test_a_planted_difference_is_told_with_the_right_sign_in_clips_and_sets(tmp_path: Path) -> None:
    good, bad = Made(tmp_path / "a", {"m": 0.05}).write(), Made(tmp_path / "b", {"m": -0.05}).write()
    found = compare(good, bad, explain=2)
    clip = cell(found)
    assert clip.verdict == "better"
    assert clip.difference == pytest.approx(0.1, abs=0.01)
    assert clip.wins is not None
    assert clip.wins.rate == 1.0
    assert clip.num_pairs == NUM_CLIPS
    assert clip.min_detectable is not None
    assert found.num_tests == 2
    first, second = clip.moved
    assert abs(first.difference) >= abs(second.difference)
    assert first.prompt == f"prompt {int(first.sample_id[1:])}"
    assert cell(compare(bad, good)).verdict == "worse"
    # Both are as far from the reference, on other sides: FVD finds nothing to choose.
    assert cell(found, "fvd").num_pairs == NUM_CLIPS
    near = Made(tmp_path / "c", {"m": 0.0}).write()
    fvd = cell(compare(near, bad, explain=1), "fvd")
    assert fvd.verdict == "better"
    assert fvd.difference is not None
    assert fvd.difference < 0
    assert fvd.moved[0].value_a is None


def test_the_interval_and_the_tests_are_those_of_scipy(tmp_path: Path) -> None:
    a, b = Made(tmp_path / "a", {"m": 0.01}, range(15)), Made(tmp_path / "b", {"m": 0.02}, range(15))
    values = [[row.value for row in side.tables.scores] for side in (a, b)]
    found = cell(compare(a.write(), b.write(), metrics=["clipsim"], margins={"clipsim": 0.02}))
    textbook = ttest_rel(*values).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((textbook.low, textbook.high))
    shifted = [[value + shift for value in values[0]] for shift in (0.02, -0.02)]
    lower = ttest_rel(shifted[0], values[1], alternative="greater").pvalue
    upper = ttest_rel(shifted[1], values[1], alternative="less").pvalue
    assert found.equivalence_p == pytest.approx(max(lower, upper))


def test_equal_results_are_equal_and_equivalent_at_any_margin(tmp_path: Path) -> None:
    a, b = Made(tmp_path / "a", {"m": 0.05}).write(), Made(tmp_path / "b", {"m": 0.05}).write()
    found = compare(a, b)
    assert {item.verdict for item in found.cells} == {"equal"}
    for item in found.cells:
        assert (item.difference, item.p_value, item.p_holm, item.smallest_margin) == (0.0, 1.0, 1.0, 0.0)
    assert found.num_tests == 0
    tight = compare(a, b, margins={"clipsim": 1e-9, "fvd": 1e-9})
    assert {item.verdict for item in tight.cells} == {"equivalent"}
    same = compare(a, method_a="m", method_b="m")
    assert cell(same).verdict == "equal"


def test_a_difference_that_is_told_is_equivalent_within_a_wide_margin(tmp_path: Path) -> None:
    a, b = Made(tmp_path / "a", {"m": 0.05}).write(), Made(tmp_path / "b", {"m": -0.05}).write()
    found = cell(compare(a, b, margins={"clipsim": 0.2}))
    assert found.verdict == "equivalent"
    assert found.p_holm is not None
    assert found.p_holm < 0.01
    assert found.smallest_margin is not None
    assert 0.1 < found.smallest_margin < 0.12
    assert cell(compare(a, b, margins={"clipsim": 0.1})).verdict == "better"


def test_two_methods_of_one_run(tmp_path: Path) -> None:
    folder = Made(tmp_path / "a", {"m": 0.05, EVIL: -0.05}).write()
    found = compare(folder, method_a="m", method_b=EVIL)
    assert cell(found).verdict == "better"
    assert cell(found).method_b == EVIL
    (cost,) = found.costs
    assert cost.ratio == pytest.approx(2 / 3)
    with pytest.raises(ComparisonError, match="no two methods of it were named"):
        compare(folder)
    for only in ({"method_a": "m"}, {"method_b": EVIL}):
        with pytest.raises(ComparisonError, match="no two methods of it were named"):
            compare(folder, **only)
    with pytest.raises(UnknownNameError, match="unknown method 'n'"):
        compare(folder, method_a="n", method_b="m")


def test_samples_that_one_side_lacks_are_left_out_and_counted(tmp_path: Path) -> None:
    a = Made(tmp_path / "a", {"m": 0.05}, range(18))
    b = Made(tmp_path / "b", {"m": -0.05}, range(4, NUM_CLIPS))
    rows = a.tables.scores
    a.tables.scores = [replace(rows[5], value=None), replace(rows[6], value=float("nan")),
                       *rows[:5], *rows[7:]]  # fmt: skip
    found = compare(a.write(), b.write())
    assert cell(found).num_pairs == 12
    assert any("on the 12 pairs that both have, of 17 of A and 20 of B" in n for n in cell(found).notes)
    # References are those of other samples: no set can be compared, and counts differ.
    assert cell(found, "fvd").verdict == "refused"
    assert "references" in cell(found, "fvd").notes[0]


def test_one_source_has_a_difference_and_no_test_that_could_find_one(tmp_path: Path) -> None:
    a = Made(tmp_path / "a", {"m": 0.05}, one_source=True).write()
    b = Made(tmp_path / "b", {"m": -0.05}, one_source=True).write()
    found = cell(compare(a, b, margins={"clipsim": 0.5}))
    assert found.verdict == "not told apart"
    assert (found.low, found.min_detectable, found.equivalence_p) == (None, None, None)
    assert any("no difference can be told" in note for note in found.notes)
    assert any("one source" in note for note in found.notes)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"protocol": "other", "protocol_digest": "0" * 64}, r"other protocols: clean \(f57ed2ba23b0\)"),
        ({"split": "val"}, "other splits: test and val"),
        ({"conditioning": "text + first frames"}, "the methods saw different things"),
        ({"dataset": "birds"}, "A ran on words, B on birds: no data set in common"),
    ],
)  # fmt: skip
def test_what_was_measured_otherwise_is_refused_with_the_reason(
    tmp_path: Path, fields: dict[str, str], reason: str
) -> None:
    a, b = Made(tmp_path / "a", {"m": 0.05}).write(), Made(tmp_path / "b", {"m": 0.05}, **fields).write()
    with pytest.raises(ComparisonError, match=reason) as error:
        compare(a, b)
    assert error.value.exit_code == 2


def test_conditioning_is_compared_on_request_and_said(tmp_path: Path) -> None:
    a = Made(tmp_path / "a", {"m": 0.05}).write()
    b = Made(tmp_path / "b", {"m": -0.05}, conditioning="text + first frames").write()
    found = cell(compare(a, b, across=["conditioning"]))
    assert found.verdict == "better"
    assert "no contest of equals" in found.notes[0]
    with pytest.raises(UnknownNameError, match="known: conditioning, size"):
        compare(a, b, across=["conditions"])


def test_other_weights_frames_prompts_and_references_are_refused(tmp_path: Path) -> None:
    a = Made(tmp_path / "a", {"m": 0.05}).write()

    def changed(name: str, **changes: Any) -> Path:
        made = Made(tmp_path / name, {"m": -0.05})
        for table in ("clips", "summary", "features"):
            rows = getattr(made.tables, table)
            known = {key: value for key, value in changes.items() if hasattr(rows[0], key)}
            setattr(made.tables, table, [replace(row, **known) for row in rows])
        return made.write()

    with pytest.raises(
        ComparisonError, match=r"measured otherwise: clipsim\.1, i3d:15dacb47 and c\.1, i3d:ff"
    ):
        compare(a, changed("weights", signature="c.1|n:24|i3d:ffff"), metrics=["clipsim"])
    with pytest.raises(ComparisonError, match="16 frames of 64x64, and of 8 frames of 64x64"):
        compare(a, changed("frames", num_frames=8))
    across = cell(compare(a, changed("frames", num_frames=8), across=["size"]))
    assert across.verdict == "better"
    said = "clips of A have 16 frames of 64x64, those of B 8 frames of 64x64: no contest of equals"
    assert across.notes[0] == said
    with pytest.raises(ComparisonError, match="24 have another prompt"):
        compare(a, changed("prompts", prompt="another"), metrics=["clipsim"])


def test_below_the_warning_n_nothing_is_said_as_in_the_tables(tmp_path: Path) -> None:
    folders = []
    for name, shift in (("a", 0.0), ("b", -0.05)):
        made = Made(tmp_path / name, {"m": shift})
        made.tables.summary = [
            replace(row, warn_below_n=25 if row.metric == "fvd" else None, n_reference=24)
            for row in made.tables.summary
        ]
        folders.append(made.write())
    found = compare(*folders, metrics=["fvd"], margins={"fvd": 1e6})
    fvd = cell(found, "fvd")
    assert (fvd.verdict, fvd.too_few) == ("too few clips", 25)
    assert fvd.p_holm is not None
    assert fvd.p_holm < 0.05
    assert fvd.notes[-1].startswith("below 25 clips or references")
    assert found.headline == "too few clips to say in 1"
    assert run(*folders, "--metric", "fvd", "--fail-on", "different").exit_code == 0
    enough = compare(*folders, metrics=["clipsim"])
    assert enough.headline == "A is better in 1 of 1 that were judged"


def test_where_the_exact_test_cannot_tell_the_legend_says_why_nothing_is_detectable(tmp_path: Path) -> None:
    folders = [
        Made(tmp_path / name, {"m": shift, "n": shift}, range(6)).write()
        for name, shift in (("a", 0.05), ("b", -0.05))
    ]
    blind, seeing = (compare(*folders, metrics=["clipsim"], methods=methods) for methods in ((), ("m",)))
    assert blind.num_tests == 2
    assert {(item.verdict, item.can_tell, item.min_detectable) for item in blind.cells} == {
        ("not told apart", False, None)
    }
    assert "Detectable is – where nothing could be found" in legend(blind)
    assert "by Holm over 2 tests" in legend(blind)
    assert cell(seeing).verdict == "better"
    assert "nothing could be found" not in legend(seeing)


def test_methods_of_different_data_sets_are_named_with_them() -> None:
    place = Path(reelbench.__file__).parent / "docs" / "benchmark"
    with pytest.raises(ComparisonError, match="fca ran on ssv2, simda on msrvtt: no data set in common"):
        compare(place, method_a="fca", method_b="simda")


def test_a_list_that_is_cut_says_how_many_more_there_are(tmp_path: Path) -> None:
    folders = []
    for side, names in (("a", "cdefgh"), ("b", "ij")):
        made = Made(tmp_path / side, {"m": 0.05})
        clips = [row for row in made.tables.summary if row.metric == "clipsim"]
        made.tables.summary = [replace(row, metric=name, label=name) for row in clips for name in names]
        folders.append(made.write())
    with pytest.raises(ComparisonError, match="h of m on words: A alone has it; and 2 more"):
        compare(*folders)


def test_a_benchmark_below_the_warning_n_of_fvd_counts_clip_metrics_alone() -> None:
    place = Path(reelbench.__file__).parent / "docs" / "benchmark"
    found = compare(place, method_a="simda", method_b="zs2")
    assert found.headline == (
        "A is worse in 3 of 3 that were judged (2 without variants of the same metric, which are not "
        "independent); too few clips to say in 4"
    )
    assert {item.metric for item in found.of("too few clips")} == {"fvd", "fvd_others", "kvd", "kvd_others"}
    assert not any("FVD" in note for item in found.cells for note in item.notes)


def test_a_set_metric_without_a_store_is_shown_and_not_tested(tmp_path: Path) -> None:
    a, b = (Made(tmp_path / name / "run", {"m": 0.01 * i}).write() for i, name in enumerate("ab"))
    moved = tmp_path / "elsewhere"
    b.rename(moved)
    found = cell(compare(a, moved), "fvd")
    assert found.verdict == "not tested"
    (note,) = found.notes
    assert note.startswith("not tested: the store with the features of B is not here")
    assert (found.value_a, found.value_b) == (1.0, 1.0)


def test_other_hardware_is_a_warning_with_what_is_known(tmp_path: Path) -> None:
    a = Made(tmp_path / "a", {"m": 0.0011}, hardware="NVIDIA H200").write()
    b = Made(tmp_path / "b", {"m": 0.001}, hardware="CPU: AMD EPYC 9V74, 2 cores").write()
    c = Made(tmp_path / "c", {"m": 0.001}, hardware="Abacus").write()
    found = compare(a, b)
    assert "5.7% of the spread" in found.warnings[0]
    assert any("no larger than what such machines make" in note for note in cell(found).notes)
    assert "was not measured" in compare(a, c).warnings[0]
    assert compare(b, b, method_a="m", method_b="m").warnings == ()


def test_names_and_margins_are_checked(tmp_path: Path) -> None:
    a, b = Made(tmp_path / "a", {"m": 0.05}).write(), Made(tmp_path / "b", {"n": 0.05}).write()
    assert cell(compare(a, b)).methods == "m against n"  # one method each
    with pytest.raises(UnknownNameError, match="unknown metric 'clipsin'"):
        compare(a, b, margins={"clipsin": 0.1})
    with pytest.raises(ComparisonError, match="clipsim: a margin is a finite number above 0"):
        compare(a, b, margins={"clipsim": -1.0})
    many = Made(tmp_path / "c", {"m": 0.05, "k": 0.1}).write()
    with pytest.raises(ComparisonError, match="no method of one label"):
        compare(many, b)
    with pytest.raises(ReelbenchError):
        compare(tmp_path / "nothing", b)


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["compare", *map(str, arguments)], catch_exceptions=False)


def test_the_command_prints_tables_or_json_and_its_exit_codes_are_for_scripts(tmp_path: Path) -> None:
    a = Made(tmp_path / "a", {EVIL: -0.05}).write()
    b = Made(tmp_path / "b", {EVIL: 0.05}).write()
    done = run(a, b, "--explain", "--clips", 1, "--margin", "fvd=0.5")
    assert done.exit_code == 0, done.output
    assert "worse" in done.output
    assert "<script>" not in done.output
    assert "the clips that move it most" in done.output
    assert run(a, b, "--fail-on", "worse").exit_code == 1
    assert run(b, a, "--fail-on", "worse").exit_code == 0
    assert run(b, a, "--fail-on", "different").exit_code == 1
    data = json.loads(run(a, b, "--json").stdout)
    assert {item["metric"]: item["verdict"] for item in data["cells"]}["clipsim"] == "worse"
    assert data["a"]["methods"] == [EVIL]
    wrong = run(a, b, "--margin", "clipsim")
    assert wrong.exit_code == 2
    assert "METRIC=VALUE" in wrong.output
    alone = run(a)
    assert alone.exit_code == 2
    assert "--a LABEL --b LABEL" in alone.output


def test_the_page_shows_the_clips_that_move_a_difference_beside_each_other_and_foreign_text_as_text(
    tmp_path: Path, page: Any
) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    folders = []
    for name, shift in (("a", 0.05), ("b", -0.05)):
        made = Made(tmp_path / name, {EVIL: shift})
        write_preview(tmp_path / f"{name}.mp4", frames, 8.0)
        made.tables.clips = [
            replace(row, preview=str(tmp_path / f"{name}.mp4"), prompt=EVIL) for row in made.tables.clips
        ]
        folders.append(made.write())
    found = compare(*folders, explain=2)
    file = write_comparison_page(found, tmp_path / "page.html", folders[0] / "tables", folders[1] / "tables")
    page.goto(file.as_uri())
    assert page.locator("video").count() == 8  # two clips of two metrics, on both sides
    assert page.locator("tr.better").count() == 1
    assert EVIL in page.locator("main").inner_text()
    assert str(tmp_path) not in file.read_text()
    tight = write_comparison_page(
        found, tmp_path / "page.html", *(folder / "tables" for folder in folders), max_embedded_mib=0.0
    )
    page.goto(tight.as_uri())
    assert page.locator("video").count() == 0
    assert "not embedded" in page.locator("main").inner_text()


def test_a_bundle_is_named_by_its_file_and_the_page_shows_all_columns(
    tmp_path: Path, page: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    benchmark, zipped, file = (
        Path(reelbench.__file__).parent / "docs" / "benchmark", tmp_path / "x.zip", tmp_path / "page.html",
    )  # fmt: skip
    made = CliRunner().invoke(
        app, ["bundle", str(benchmark), "--output", str(zipped)], catch_exceptions=False
    )
    assert made.exit_code == 0
    done = run(
        zipped, benchmark, "--metric", "clipsim", "--metric", "frame_consistency_all_pairs", "--page", file
    )
    assert "A: x.zip (run demo, x.zip): " in done.output
    page.set_viewport_size({"width": 1100, "height": 800})
    page.goto(file.as_uri())
    assert page.title().startswith("x.zip against ")
    assert "..." not in page.title()
    widths = page.evaluate(
        "[...document.querySelectorAll('.scroll')].map(c => c.scrollWidth - c.clientWidth)"
    )
    assert len(widths) >= 2
    assert not any(widths)
    assert page.locator("td:nth-child(2)", has_text="text2video-zero").first.bounding_box()["height"] < 60


def test_a_page_replaces_pages_of_comparisons_only(tmp_path: Path) -> None:
    a, b = Made(tmp_path / "a", {"m": 0.05}).write(), Made(tmp_path / "b", {"m": -0.05}).write()
    ours, other, empty = (tmp_path / name for name in ("page.html", "run.yaml", "empty.html"))
    other.write_text("name: demo\n")
    empty.touch()
    for place in (ours, ours, empty):
        assert run(a, b, "--page", place).exit_code == 0
    for place, said in (
        (other, "is there already, and is no page of a comparison\n  -> --force"),
        (tmp_path, "is a folder"),
        (tmp_path / "no" / "such" / "page.html", "there is no folder"),
        (Path("/dev/null"), "is not a regular file"),
    ):
        refused = run(a, b, "--page", place)
        assert refused.exit_code == 2
        assert said in refused.stderr
        assert refused.stdout == ""
    assert other.read_text() == "name: demo\n"
    assert not (tmp_path / "no").exists()
    assert run(a, b, "--page", other, "--force").exit_code == 0
    assert other.read_text().startswith("<!DOCTYPE html>")


def test_the_documented_example_runs_on_the_recorded_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(reelbench.__file__).parent
    monkeypatch.chdir(root)
    (code,) = re.findall(r"```python\n(.*?)```", (root / "docs" / "compare.md").read_text(), re.DOTALL)
    variables: dict[str, Any] = {}
    exec(compile(code, "docs/compare.md", "exec"), variables)
    found = variables["found"]
    clipsim, fvd = cell(found), cell(found, "fvd")
    assert (clipsim.num_pairs, clipsim.verdict) == (256, "equivalent")
    # The run's own table has tested its two methods: that is taken, with the sign of A less B.
    assert fvd.difference == pytest.approx(fvd.value_a - fvd.value_b)
    turned = cell(compare(root / "docs" / "benchmark", method_a="zs2", method_b="simda"), "fvd")
    assert (turned.low, turned.high) == pytest.approx((-fvd.high, -fvd.low))
