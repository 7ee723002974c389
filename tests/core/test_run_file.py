"""The run file: unknown keys, wrong types and unknown names are answered with what is allowed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reelbench.core.errors import ReelbenchError, RunFileError, UnknownNameError
from reelbench.core.run_file import RunFile
from reelbench.core.run_file_loading import load_run_file, parse_run_file

GOOD: dict[str, Any] = {
    "name": "tiny",
    "methods": [{"name": "ddim-frames", "config": {"num_steps": 2}}, {"name": "zs2"}],
    "datasets": [{"name": "msrvtt", "config": {"root": "data"}}],
}


def test_defaults_are_filled_in() -> None:
    run = parse_run_file(GOOD)
    assert [entry.label for entry in run.methods] == ["ddim-frames", "zs2"]
    assert run.seeds == (0,)
    assert run.run_dir == Path("out/tiny")
    assert run.store_dir == Path("out/store")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sedes": [0]}, "sedes: unknown key; did you mean 'seeds'"),
        ({"resources": {"shard_sise": 2}}, "resources.shard_sise: unknown key; did you mean 'shard_size'"),
        ({"limit": "many"}, "limit: must be a whole number .*'many'"),
        ({"limit": 0}, "limit: must be at least 1"),
        ({"methods": []}, "methods: must hold at least 1"),
        ({"limit": True}, r"limit: must not be true or false \(got True\)"),
        ({"seeds": [True, False]}, "seeds: must not be true or false"),
        ({"seeds": [2**63]}, "seeds.*must be less than 9223372036854775808"),
        (
            {"methods": [{"name": "zs2", "config": {"num_steps": True}}]},
            "num_steps: must not be true or false",
        ),
        ({"methods": [{"name": "zs2", "label": "two\nlines"}]}, "label: a label is one line"),
        (
            {"datasets": [{"name": "msrvtt", "config": {"root": "x"}, "metrics": ["clipsim", "clipsim"]}]},
            "metrics of the data set 'msrvtt' holds an entry twice",
        ),
        ({"output": ""}, "output: the name of the folder is empty"),
        ({"store": " "}, "store: the name of the folder is empty"),
        (
            {"methods": [{"name": "zs2", "num_steps": 3}]},
            r"methods\[0\] \(zs2\).num_steps: `num_steps` is a setting of zs2: put it under `config`$",
        ),
        ({"name": "../../etc"}, "name: "),
        ({"resources": {"num_actors": 10**14}}, "num_actors: must be at most 100000"),
        (
            {"methods": [{"name": "zs2", "config": {"num_frames": 999999999999}}]},
            "num_frames: must be at most 10000",
        ),
        ({"seeds": [1, 1]}, "seeds holds an entry twice"),
        ({"methods": [{"name": "zs2"}, {"name": "zs2"}]}, "labelled alike.*zs2.*label"),
        (
            {"methods": [{"name": "zs2", "config": {"my": 0.5}}]},
            r"methods\[0\] \(zs2\).config.my: unknown key; allowed: .*lambda, mu",
        ),
        ({"methods": [{"name": "zs2", "config": {"num_steps": "x"}}]}, "num_steps: must be a whole number"),
        ({"datasets": [{"name": "msrvtt"}]}, "root: required, but missing"),
    ],
)
def test_faults_are_named_with_what_is_allowed(change: dict[str, Any], message: str) -> None:
    with pytest.raises(RunFileError, match=message):
        parse_run_file(GOOD | change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methods": [{"name": "zs3"}]}, "unknown method 'zs3'.*\n.*did you mean 'zs2'"),
        ({"datasets": [{"name": "msrvt"}]}, "unknown dataset 'msrvt'.*\n.*did you mean 'msrvtt'"),
        ({"metrics": ["fdv"]}, "unknown metric 'fdv'.*\n.*did you mean 'fvd'"),
    ],
)
def test_unknown_names_are_answered_with_the_nearest(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        parse_run_file(GOOD | change)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected a mapping"),
        (b"- a\n", "expected a mapping"),
        (b"name: [", "not valid YAML"),
        (b"\xff\xfe", "not UTF-8"),
        (b"name: a\n---\nname: b\n", r"line 2, column 1: a second document begins here"),
        (b"name: !!python/object/apply:os.system ['true']", "not valid YAML"),
    ],
)
def test_files_that_are_no_run_files_are_clear_errors(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(content)
    with pytest.raises(RunFileError, match=message):
        load_run_file(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "name: a\nlimit: 4\nmethods: []\nlimit: 2\n",
            "the key 'limit' stands twice in one mapping, in lines 2 and 4",
        ),
        ("methods:\n- name: zs2\n  config:\n    eta: 0\n    eta: 1\n", "the key 'eta' .* in lines 4 and 5"),
        (
            "a: 1\nb: {c: 1, c: 2}\na: 2\na: 3",
            "'c' stands twice .* 2 and 2; the key 'a' stands 3 times .* 1, 3 and 4",
        ),
    ],
)
def test_a_key_that_stands_twice_is_refused_with_its_lines(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(content)
    with pytest.raises(RunFileError, match=said):
        load_run_file(path)


def test_merged_keys_are_no_doubled_ones(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(
        "name: merged\n"
        "methods:\n"
        "- &first {name: zs2, label: a, config: &steps {num_steps: 2}}\n"
        "- {<<: *first, label: b, config: {<<: *steps, num_steps: 3}}\n"
        "datasets: [{name: msrvtt, config: {root: data}}]\n"
    )
    assert [entry.config for entry in load_run_file(path).methods] == [{"num_steps": 2}, {"num_steps": 3}]


def test_what_is_no_plain_file_or_huge_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", Path("/dev/zero")):
        with pytest.raises(RunFileError, match=f"{path} is no plain file"):
            load_run_file(path)
    with (tmp_path / "huge.yaml").open("wb") as file:
        file.truncate(2**34)
    with pytest.raises(RunFileError, match="has 16,384 MiB; at most 10 are read"):
        load_run_file(tmp_path / "huge.yaml")


@pytest.mark.parametrize("name", ["store", "mlflow", "logs", "prefect", "latest"])
def test_a_run_is_not_named_as_another_folder_of_the_output(name: str) -> None:
    with pytest.raises(RunFileError, match="is there for something else; choose another name"):
        parse_run_file({**GOOD, "name": name})


def test_a_missing_run_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(RunFileError, match="cannot read the run file"):
        load_run_file(tmp_path / "absent.yaml")


def test_only_keeps_the_named_and_leaves_other_kinds_whole() -> None:
    run = parse_run_file(GOOD).amended(only=["zs2", "fvd"], limit=3)
    assert [entry.label for entry in run.methods] == ["zs2"]
    assert [entry.label for entry in run.datasets] == ["msrvtt"]
    assert run.metrics == ("fvd",)
    assert run.limit == 3
    with pytest.raises(UnknownNameError, match="did you mean 'zs2'"):
        parse_run_file(GOOD).amended(only=["zs"])
    with pytest.raises(ReelbenchError, match="--limit 0"):
        parse_run_file(GOOD).amended(limit=0)


def test_a_fault_over_several_keys_is_said_without_the_whole_file() -> None:
    with pytest.raises(RunFileError) as caught:
        parse_run_file(GOOD | {"seeds": [0, 0]})
    assert caught.value.message == "run file: seeds holds an entry twice: [0, 0]"


def test_a_plug_in_without_a_config_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("class Foo: pass\n")
    with pytest.raises(RunFileError, match=r"(?s)mine\.py:Foo' .*`class Config\(FrozenConfig\)`"):
        parse_run_file(GOOD | {"methods": [{"name": f"{tmp_path / 'mine.py'}:Foo"}]})


def test_data_sets_may_name_their_methods_metrics_and_protocol() -> None:
    ssv2 = {"name": "ssv2", "config": {"root": "data"}, "methods": ["zs2"], "metrics": ["psnr"]}
    run = parse_run_file(GOOD | {"datasets": [*GOOD["datasets"], ssv2 | {"protocol": "predicted"}]})
    first, second = run.parts()
    assert [entry.label for entry in first.methods] == ["ddim-frames", "zs2"]
    assert (first.protocol, second.protocol) == ("clean", "predicted")
    assert [entry.label for entry in second.methods] == ["zs2"]
    assert second.metrics == ("psnr",)
    assert [entry.label for entry in run.amended(only=["ddim-frames"]).datasets] == ["msrvtt"]
    (kept,) = run.amended(only=["psnr"]).datasets
    assert kept.label == "ssv2"


def test_a_data_set_that_names_an_unknown_method_and_a_method_that_none_names_are_refused() -> None:
    dataset = GOOD["datasets"][0]
    with pytest.raises(RunFileError) as caught:
        parse_run_file(
            GOOD | {"datasets": [dataset | {"methods": ["zs3", "ddim-frames"]}], "metrics": ["fvdd"]}
        )
    for said in (
        "unknown method of the data set 'msrvtt': 'zs3'",
        "did you mean 'zs2'",
        "'fvdd'",
    ):
        assert said in str(caught.value)
    assert "no data set names" not in str(caught.value)  # zs2 was meant
    with pytest.raises(RunFileError, match="no data set names these methods: ddim-frames"):
        parse_run_file(GOOD | {"datasets": [dataset | {"methods": ["zs2"]}]})


def test_a_run_of_one_kind_of_data_set_is_one_part() -> None:
    assert [part.model_dump() for part in parse_run_file(GOOD).parts()] == [parse_run_file(GOOD).model_dump()]


def faults_of(data: dict[str, Any], more_faults: Callable[..., Any] | None = None) -> list[str]:
    """What a run file is refused for, one by one."""
    with pytest.raises(ReelbenchError) as caught:
        parse_run_file(data, more_faults=more_faults)
    return [str(fault) for fault in getattr(caught.value, "faults", (caught.value,))]


def test_faults_of_all_kinds_are_told_at_once() -> None:
    found = faults_of(
        {
            "name": "x y",
            "methods": [{"name": "zs2", "config": {"lamda": 1}}, {"name": "zs3"}, {"name": "simda"}] * 2,
            "datasets": [
                {"name": "ssv2", "root": "data"},
                {"name": "msrvtt", "config": {"root": "d", "split": "x"}},
            ],
            "seeds": [0, 0],
            "metrics": ["fvd", "fvd", "fdv"],
            "resources": {"shard_sise": 2},
        }
    )
    for said in (
        "name: 'x y' is no plain name",
        "methods[0] (zs2).config.lamda: unknown key; did you mean 'lambda'?",
        "methods are labelled alike: ['simda', 'zs2', 'zs3']",
        "unknown method 'zs3'",
        "datasets[0] (ssv2).root: `root` is a setting of ssv2: put it under `config`",
        "datasets[1] (msrvtt).config.split: must be 'test', 'validate' or 'train' (got 'x')",
        "seeds holds an entry twice: [0, 0]",
        "metrics holds an entry twice",
        "unknown metric 'fdv'",
        "shard_sise: unknown key; did you mean 'shard_size'?",
    ):
        assert sum(said in fault for fault in found) == 1, (said, found)
    assert len(found) == 11  # the two methods of lamda are two places


@pytest.mark.parametrize(
    ("change", "said"),
    [
        # A method that is taken out is named by its data set all the same, and leaves others without one.
        ({"methods": [{"name": "zs2", "config": 5}]}, ["methods[0] (zs2).config: must be a mapping"]),
        ({"methods": ["zs2"]}, ["methods[0]: must be a mapping"]),
        ({"methods": [{"nmae": "zs2"}]}, ["methods[0].nmae: unknown key; did you mean 'name'?"]),
        ({"methods": [{"name": "zs3"}]}, ["unknown method 'zs3'"]),
        ({"methods": "zs2"}, ["methods: must be a list"]),
        (
            {"methods": [{"name": "zs2"}, {"name": "zs2", "upscale": "simda"}], "datasets": GOOD["datasets"]},
            ["methods[1] (zs2).upscale: must be a mapping"],
        ),
        # A setting in the wrong place, or misspelt, is not missing where it belongs.
        ({"datasets": [{"name": "msrvtt", "root": "d"}]}, ["`root` is a setting of msrvtt"]),
        (
            {"datasets": [{"name": "msrvtt", "config": {"rot": "d"}}]},
            ["config.rot: unknown key; did you mean"],
        ),
        ({"datasets": [{"name": "msrvtt", "confg": {"root": "d"}}]}, ["confg: unknown key; did you mean"]),
        ({"datasets": [{"config": {}, "methods": ["x"]}]}, ["datasets[0].name: required, but missing"]),
        ({"datsets": GOOD["datasets"], "datasets": None}, ["datsets: unknown", "datasets: must be a list"]),
        # One method is misspelt by its data set: that none names it follows from that.
        (
            {"datasets": [{**GOOD["datasets"][0], "methods": ["zs"]}]},
            ["unknown method of the data set 'msrvtt': 'zs'"],
        ),
    ],
)
def test_what_follows_from_a_fault_is_not_told(change: dict[str, Any], said: list[str]) -> None:
    data = {**GOOD, "methods": [{"name": "zs2"}], "datasets": [{**GOOD["datasets"][0], "methods": ["zs2"]}]}
    found = faults_of(data | change)
    assert len(found) == len(said), found
    assert all(text in fault for text, fault in zip(said, found, strict=True)), found


def test_what_is_left_is_looked_at_further() -> None:
    """Protocols, metrics, weights, and the methods and data sets that are sound."""
    seen = []

    def more(run: RunFile) -> list[RunFileError]:
        seen.append(run)
        return [RunFileError(f"{run.protocol} is looked at")]

    found = faults_of(
        {
            **GOOD,
            "methods": [
                {"name": "zs2", "config": {"num_stepz": 3, "weights": "./nowhere"}},
                {"name": "simda"},
            ],
            "datasets": [
                {
                    "name": "msrvtt",
                    "config": {"root": "d", "split": "x"},
                    "protocol": "mine",
                    "metrics": ["kvd", "x"],
                }
            ],
        },
        more,
    )
    first, rest = seen
    assert ([m.label for m in first.methods], first.datasets, first.metrics) == (["simda"], (), ("kvd",))
    assert [m.config for m in rest.methods] == [{"weights": "./nowhere"}]
    assert rest.metrics == ()
    assert "mine is looked at" in found


def test_settings_of_a_wrong_kind_are_told_in_plain_words() -> None:
    zs2 = {"name": "zs2", "label": "mine"}
    for config, said in (
        ({"mu": "x"}, "methods[0] (mine).config.mu: must be a number, or a list (got 'x')"),
        ({"mu": [0.5, 3]}, "methods[0] (mine).config.mu[1]: must be at most 1 (got 3)"),
        ({"noise": "closed"}, "(got 'closed'); did you mean 'closed-form'?"),
        ({"num_steps": 1.5}, "must be a whole number (got 1.5)"),
        ({"lambda": "x"}, "config.lambda: must be a number, or a list (got 'x')"),
    ):
        (found,) = faults_of(GOOD | {"methods": [zs2 | {"config": config}]})
        assert said in found


def test_the_fault_of_a_data_set_s_own_metric_says_of_which() -> None:
    (found,) = faults_of(GOOD | {"datasets": [{**GOOD["datasets"][0], "label": "a", "metrics": ["fdv"]}]})
    assert "unknown metric of the data set 'a': 'fdv'" in found
    assert "did you mean 'fvd'?" in found


def test_only_methods_that_exist_are_meant() -> None:
    data = GOOD | {"methods": [{"name": "zs3", "label": "zs33"}, {"name": "simda"}]}
    found = faults_of(data | {"datasets": [{**GOOD["datasets"][0], "methods": ["zs34"]}]})
    assert not any("did you mean 'zs33'" in fault for fault in found), found


def test_names_that_are_not_close_are_not_meant() -> None:
    (found,) = faults_of(GOOD | {"root": "data"})
    assert "root: unknown key; allowed: datasets, description" in found


def test_keys_that_are_alike_in_python_alone_are_not_doubled(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("name: a\n1: x\ntrue: y\n")
    with pytest.raises(ReelbenchError, match="unknown key") as caught:
        load_run_file(tmp_path / "run.yaml")
    assert "stands twice" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"description": "at https://me:hunter2222@host/x"}, "description"),
        ({"weights": {"i3d": "https://h/i3d.pt?token=hunter2222"}}, "weights.i3d"),
        (
            {"methods": [{"name": "zs2", "config": {"password": "hunter2222"}}]},
            r"methods\[0\] \(zs2\).config.password",
        ),
        (
            {"datasets": [{"name": "msrvtt", "config": {"root": "x", "deep": [{"api_key": "hunter2222"}]}}]},
            "api_key",
        ),
        ({"hf_token": "hunter2222"}, "hf_token"),
    ],
)
def test_a_secret_in_a_run_file_is_refused_and_not_shown(change: dict[str, Any], place: str) -> None:
    with pytest.raises(RunFileError, match=f"{place}: holds a password or token") as error:
        parse_run_file({**GOOD, **change})
    assert "hunter2222" not in str(error.value)
    assert "HF_TOKEN" in str(error.value)
