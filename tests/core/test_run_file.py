"""The run file: unknown keys, wrong types and unknown names are answered with what is allowed."""

from pathlib import Path

import pytest

from reelbench.core.errors import ReelbenchError, RunFileError, UnknownNameError
from reelbench.core.run_file import load_run_file, parse_run_file

GOOD = {
    "name": "tiny",
    "methods": [{"name": "ddim-frames", "config": {"num_steps": 2}}, {"name": "zs2"}],
    "datasets": [{"name": "msrvtt", "config": {"root": "data"}}],
}


def test_defaults_are_filled_in():
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
        ({"limit": "many"}, "limit: .*valid integer.*'many'"),
        ({"limit": 0}, "limit: .*greater than or equal to 1"),
        ({"methods": []}, "methods: .*at least 1"),
        ({"output": ""}, "output: the name of the folder is empty"),
        ({"store": " "}, "store: the name of the folder is empty"),
        (
            {"methods": [{"name": "zs2", "num_steps": 3}]},
            r"^run file is not valid:\n  methods.0.num_steps: unknown key; .*`config`\)$",
        ),
        ({"name": "../../etc"}, "name: "),
        ({"seeds": [1, 1]}, "seeds holds an entry twice"),
        ({"methods": [{"name": "zs2"}, {"name": "zs2"}]}, "labelled alike.*zs2.*label"),
        (
            {"methods": [{"name": "zs2", "config": {"my": 0.5}}]},
            r"methods\[0\].config \(of zs2\).my: unknown key",
        ),
        ({"methods": [{"name": "zs2", "config": {"num_steps": "x"}}]}, "num_steps: .*integer"),
        ({"datasets": [{"name": "msrvtt"}]}, "root: required, but missing"),
    ],
)
def test_faults_are_named_with_what_is_allowed(change, message):
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
def test_unknown_names_are_answered_with_the_nearest(change, message):
    with pytest.raises(UnknownNameError, match=message):
        parse_run_file(GOOD | change)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected a mapping"),
        (b"- a\n", "expected a mapping"),
        (b"name: [", "not valid YAML"),
        (b"\xff\xfe", "not UTF-8"),
        (b"name: !!python/object/apply:os.system ['true']", "not valid YAML"),
    ],
)
def test_files_that_are_no_run_files_are_clear_errors(tmp_path, content, message):
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
def test_a_key_that_stands_twice_is_refused_with_its_lines(tmp_path, content, said):
    path = tmp_path / "run.yaml"
    path.write_text(content)
    with pytest.raises(RunFileError, match=said):
        load_run_file(path)


def test_merged_keys_are_no_doubled_ones(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(
        "name: merged\n"
        "methods:\n"
        "- &first {name: zs2, label: a, config: &steps {num_steps: 2}}\n"
        "- {<<: *first, label: b, config: {<<: *steps, num_steps: 3}}\n"
        "datasets: [{name: msrvtt, config: {root: data}}]\n"
    )
    assert [entry.config for entry in load_run_file(path).methods] == [{"num_steps": 2}, {"num_steps": 3}]


def test_a_missing_run_file_is_a_clear_error(tmp_path):
    with pytest.raises(RunFileError, match="cannot read the run file"):
        load_run_file(tmp_path / "absent.yaml")


def test_only_keeps_the_named_and_leaves_other_kinds_whole():
    run = parse_run_file(GOOD).amended(only=["zs2", "fvd"], limit=3)
    assert [entry.label for entry in run.methods] == ["zs2"]
    assert [entry.label for entry in run.datasets] == ["msrvtt"]
    assert run.metrics == ("fvd",)
    assert run.limit == 3
    with pytest.raises(UnknownNameError, match="did you mean 'zs2'"):
        parse_run_file(GOOD).amended(only=["zs"])
    with pytest.raises(ReelbenchError, match="--limit 0"):
        parse_run_file(GOOD).amended(limit=0)


def test_a_fault_over_several_keys_is_said_without_the_whole_file():
    with pytest.raises(RunFileError) as caught:
        parse_run_file(GOOD | {"seeds": [0, 0]})
    assert caught.value.message.splitlines()[1:] == ["  seeds holds an entry twice: [0, 0]"]


def test_a_plug_in_without_a_config_is_refused_in_words(tmp_path):
    (tmp_path / "mine.py").write_text("class Foo: pass\n")
    with pytest.raises(RunFileError, match=r"mine\.py:Foo' has no nested pydantic class `Config`"):
        parse_run_file(GOOD | {"methods": [{"name": f"{tmp_path / 'mine.py'}:Foo"}]})


def test_data_sets_may_name_their_methods_metrics_and_protocol():
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


def test_a_data_set_that_names_an_unknown_method_and_a_method_that_none_names_are_refused():
    dataset = GOOD["datasets"][0]
    with pytest.raises(RunFileError) as caught:
        parse_run_file(
            GOOD | {"datasets": [dataset | {"methods": ["zs3", "ddim-frames"]}], "metrics": ["fvdd"]}
        )
    for said in (
        "unknown method of the data set 'msrvtt': 'zs3'",
        "did you mean 'zs2'",
        "methods: zs2",
        "'fvdd'",
    ):
        assert said in str(caught.value)
    with pytest.raises(RunFileError, match="no data set names these methods: ddim-frames"):
        parse_run_file(GOOD | {"datasets": [dataset | {"methods": ["zs2"]}]})


def test_a_run_of_one_kind_of_data_set_is_one_part():
    assert [part.model_dump() for part in parse_run_file(GOOD).parts()] == [parse_run_file(GOOD).model_dump()]
