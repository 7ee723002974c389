"""The training command in two processes: the same result as in one, and one record of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from reelbench.tests.methods.training import test_train_prediction as one_process

ssv2 = one_process.ssv2
no_training_left_behind = one_process.no_training_left_behind


def launch(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Two processes on the CPU, by torchrun: `accelerate launch --cpu --num_processes 2` starts only one."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    return subprocess.run(
        [*launcher, "-m", "reelbench.cli.main", "train", "prediction", *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "ACCELERATE_USE_CPU": "true"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_two_processes_train_what_one_does_and_one_of_them_tells(
    ssv2: Path, mlflow_uri: str, tmp_path: Path
) -> None:
    more = ("--steps", "4", "--no-checkpointing", "--learning-rate", "1e-2")
    alone = one_process.invoke(one_process.options(ssv2, tmp_path / "one", *more))
    assert alone.exit_code == 0, alone.output

    logged = (*more, "--mlflow", mlflow_uri, "--experiment", "two")
    both = launch(one_process.options(ssv2, tmp_path / "two", *logged))
    assert both.returncode == 0, both.stderr[-3000:]
    assert both.stdout.count("fca.safetensors") == 1, "the main process names the file"

    expected = load_file(tmp_path / "one" / "fca.safetensors")
    got = load_file(tmp_path / "two" / "fca.safetensors")
    assert got.keys() == expected.keys()
    moved = max(float(value.abs().max()) for name, value in got.items() if name.endswith("to_out.weight"))
    assert moved > 1e-4, "these begin at zero"
    for name, value in got.items():
        assert value.numpy() == pytest.approx(expected[name].numpy(), abs=moved / 50), name

    run, steps_of, files = one_process.the_run(mlflow_uri, "two")
    assert run.info.status == "FINISHED"
    assert steps_of["loss"] == [4]
    assert run.data.tags["processes"] == "2"
    assert len(files) == 2
