"""`plan` and `doctor` on run files that are wrong in several ways, on data sets with damage, and on read-only
folders."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from reelbench.cli.checks import settings
from reelbench.cli.main import app
from reelbench.metrics.build import build_metric, why_unavailable
from reelbench.metrics.protocol import load_protocol

DAMAGED = """
import reelbench.core.types as types
from pathlib import Path
from reelbench.core.contracts import Dataset, FrozenConfig

class Clips(Dataset):
    name, split, task = "clips", "test", "text-to-video"
    class Config(FrozenConfig):
        root: str
    def __len__(self): return 6
    def fingerprint(self): return "clips"
    def __iter__(self):
        for index in range(6):
            path = Path(self.config.root) / f"{index}.mp4"
            yield types.Sample(str(index), "a circle", str(index), types.ClipRef(path))
"""


@pytest.fixture
def clips(tmp_path: Path, write_run_file: Callable[..., Path]) -> Path:
    """A run file of six clips: the fourth is short, the fifth cut off, the sixth not there."""
    from reelbench.datasets.video import write_preview

    folder = tmp_path / "clips"
    folder.mkdir()
    (tmp_path / "clips.py").write_text(DAMAGED)
    frames = np.random.default_rng(0).integers(0, 255, (20, 32, 32, 3), dtype=np.uint8)
    for index in range(5):
        write_preview(folder / f"{index}.mp4", frames[: 5 if index == 3 else 20], 8.0)
    cut = folder / "4.mp4"
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    dataset = {"name": f"{tmp_path / 'clips.py'}:Clips", "label": "clips", "config": {"root": str(folder)}}
    return write_run_file(datasets=[dataset])


def test_the_doctor_says_what_a_list_left_out(tmp_path: Path, write_run_file: Callable[..., Path]) -> None:
    rows = ["1,000000_000050,a dog", "2,,a cat", "3,nan,a cow", "4,000000_000050,"]
    (tmp_path / "results_2M_val.csv").write_text("\n".join(["videoid,page_dir,name", *rows, ""]))
    (tmp_path / "videos" / "000000_000050").mkdir(parents=True)
    (tmp_path / "videos" / "000000_000050" / "1.mp4").touch()
    run_file = write_run_file(
        datasets=[{"name": "webvid", "config": {"root": str(tmp_path), "subset": None}}]
    )
    output = CliRunner().invoke(app, ["doctor", str(run_file)]).output
    assert "! data set webvid: 2 of 4 rows are left out: they have no videoid or no page_dir" in output
    assert "! data set webvid: 1 of 4 rows are left out: their caption is blank" in output
    (tmp_path / "videos" / "000000_000050" / "1.mp4").rename(tmp_path / "videos" / "000000_000050" / "9.mp4")
    output = CliRunner().invoke(app, ["doctor", str(run_file)]).output
    assert "1 cannot be used (skip_missing leaves out what is not there):\n    1: there is no" in output


def test_the_doctor_looks_at_the_videos(clips: Path) -> None:
    result = CliRunner().invoke(app, ["doctor", str(clips)])
    (line,) = [line for line in result.output.splitlines() if "data set clips" in line]
    # All places are looked at, and a few videos are opened.
    assert line.startswith(
        "✗ data set clips: 6 samples of test, 3 videos opened (--data opens all); 1 cannot"
    )
    assert "\n    5: there is no" in result.output
    result = CliRunner().invoke(app, ["doctor", str(clips), "--data"])
    (line,) = [line for line in result.output.splitlines() if "data set clips" in line]
    assert line.startswith("✗ data set clips: 6 samples of test, 5 videos opened; 3 cannot be used:")
    # One line for each.
    short, cut, missing = result.output.partition(line)[2].splitlines()[1:4]
    assert short.startswith("    3: ")
    assert "gives 5 of the 16 frames" in short
    assert cut.startswith("    4: ")
    assert missing.startswith("    5: there is no")
    assert result.exit_code == 1


def test_a_metric_without_weights_is_told(write_run_file: Callable[..., Path]) -> None:
    result = CliRunner().invoke(app, ["doctor", str(write_run_file(metrics=["pickscore", "fvd"]))])
    assert "✗ metric pickscore: no weights are named" in result.output
    assert "✓ weights sprites/i3d, i3d of fvd" in result.output
    assert result.exit_code == 1


def test_weights_by_architecture_are_not_called_missing(
    write_run_file: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    for location, sign, said in (
        ("ViT-B-32:openai", "!", "the run will fetch"),
        ("ViT-B-32:opanai", "✗", "known tags"),
        ("ViT-B-32:/no/such.pt", "✗", "no weights at"),
    ):
        path = write_run_file(metrics=["clipsim"], weights={"clip": location})
        result = CliRunner().invoke(app, ["doctor", str(path)])
        lines = [line for line in result.output.splitlines() if "clip of clipsim" in line]
        assert lines, result.output
        assert lines[0].startswith(sign), lines
        assert said in lines[0]


@pytest.mark.parametrize("command", ["plan", "run"])
def test_all_that_is_wrong_is_listed_at_once(
    write_run_file: Callable[..., Path], tmp_path: Path, command: str
) -> None:
    path = write_run_file(
        methods=[
            {"name": "zs3"},
            {"name": "zs2", "config": {"num_stepz": 3, "guidance_scale": 0}},
            {"name": "ddim-frames", "upscale": {"name": "latent-upscalar"}},
            {"name": "text2video-zero", "config": {"weights": "./nowhere"}},
        ],
        datasets=[
            {"name": "msrvt", "config": {}},
            {"name": "msrvtt", "config": {"root": str(tmp_path / "nothing")}},
        ],
        metrics=["fdv", "lpips"],
        protocol="claen",
    )
    result = CliRunner().invoke(app, [command, str(path)])
    assert result.exit_code == 2
    first, *_ = result.stderr.splitlines()
    assert first == "error: mend 10 things:"
    for said in (
        "did you mean 'zs2'?",
        "did you mean 'num_steps'?",
        "guidance_scale",
        "did you mean 'latent-upscaler'?",
        "no weights at",
        "did you mean 'msrvtt'?",
        str(tmp_path / "nothing"),
        "did you mean 'fvd'?",
        "did you mean 'clean'?",
        "lpips: ",
    ):
        assert said in result.stderr, result.stderr


def test_the_plan_writes_nothing(
    write_run_file: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_run_file(methods=[{"name": "zs2"}], metrics=["fvd", "clipsim"], limit=2)
    before = sorted(tmp_path.rglob("*"))
    for command in ("plan", "status"):
        result = CliRunner().invoke(app, [command, str(path)])
        assert result.exit_code == 0, result.output
        assert "2 clips: 0 done, 2 missing" in result.output
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_the_plan_works_on_a_read_only_folder(write_run_file: Callable[..., Path], tmp_path: Path) -> None:
    path = write_run_file()
    tmp_path.chmod(0o500)
    try:
        assert CliRunner().invoke(app, ["plan", str(path)]).exit_code == 0
    finally:
        tmp_path.chmod(0o700)


def test_a_data_set_is_read_as_its_own_protocol_reads_it(clips: Path) -> None:
    """The run's protocol asks for 16 frames; one of the data set's own fills short clips up."""
    text = clips.read_text() + "\nprotocol: clean\n"
    clips.write_text(text)
    before = CliRunner().invoke(app, ["doctor", str(clips), "--data"]).output
    assert "gives 5 of the 16 frames" in before
    clips.write_text(text.replace("  label: clips\n", "  label: clips\n  protocol: seer\n"))
    after = CliRunner().invoke(app, ["doctor", str(clips), "--data"]).output
    assert "5 videos opened; 2 cannot be used:\n    4: " in after


@pytest.mark.parametrize("command", ["doctor", "plan", "run"])
def test_what_cannot_fit_together_is_told_before_anything_is_made(
    write_run_file: Callable[..., Path], command: str
) -> None:
    path = write_run_file(methods=[{"name": "ddim-frames", "config": {"num_frames": 8}}], metrics=["fvd"])
    result = CliRunner().invoke(app, [command, str(path)])
    assert result.exit_code == (1 if command == "doctor" else 2)
    prefix = "✗ plan: " if command == "doctor" else "error: "
    assert f"{prefix}method 'ddim-frames' makes clips of 8 frames, and the protocol 'clean'" in result.output
    assert "set num_frames of the method to at least 16" in result.output


@pytest.mark.parametrize("option", ["--data", "--online"])
def test_options_about_a_run_file_need_one(option: str) -> None:
    result = CliRunner().invoke(app, ["doctor", option])
    assert result.exit_code == 2
    assert f"{option} needs a run file" in result.stderr


def test_several_faults_of_a_run_file_are_a_line_each(write_run_file: Callable[..., Path]) -> None:
    path = write_run_file(methods=[{"name": "zs2", "config": {"num_stepz": 3, "guidance_scale": 0}}])
    lines = CliRunner().invoke(app, ["doctor", str(path)]).output.splitlines()
    first, second = sorted(line for line in lines if line.startswith("✗ run file"))
    assert f"✗ run file {path}: methods[0] (zs2).config.guidance_scale: " in first
    assert f"✗ run file {path}: methods[0] (zs2).config.num_stepz: " in second


class TestTheRayThatARunUses:
    @pytest.fixture
    def line(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
        def line(address: str) -> str:
            monkeypatch.setenv("RAY_ADDRESS", address)
            check = next(check for check in settings() if check.what == "Ray")
            return f"{check.sign} {check.found}"

        return line

    @pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "[::1]:1"])
    def test_a_dead_address_is_told_with_what_to_do(self, line: Callable[[str], str], address: str) -> None:
        assert line(address).startswith(f"✗ nothing answers at RAY_ADDRESS={address}: ")
        assert "unset RAY_ADDRESS" in line(address)

    @pytest.mark.parametrize("address", ["head", "head:port", "ray://", "head:99999999"])
    def test_an_address_without_host_and_port_is_told(self, line: Callable[[str], str], address: str) -> None:
        assert line(address).startswith(
            f"✗ RAY_ADDRESS={address} has no host and port -> set it to HOST:PORT"
        )

    @pytest.mark.parametrize("scheme", ["", "ray://"])
    def test_one_that_answers_is_joined(self, line: Callable[[str], str], scheme: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = f"{scheme}127.0.0.1:{server.getsockname()[1]}"
            assert line(address) == f"✓ joins the cluster at RAY_ADDRESS={address}"

    def test_words_for_no_address(self, line: Callable[[str], str]) -> None:
        assert line("local") == line("") == "✓ each run starts one on this machine"
        assert line("auto").startswith("! joins the cluster at RAY_ADDRESS=auto; whether there is one")


def test_what_is_not_installed_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reelbench.cli.checks.is_installed", lambda module: False)
    assert list(settings()) == []


ROLES = {
    "inception": ("fid", "pt_inception.pth", "Mixed_7c.branch_pool.conv.weight"),
    "dino": ("subject_consistency", "dino_vitbase16_pretrain.pth", "patch_embed.proj.weight"),
    "aesthetic": ("aesthetic_quality", "sa_0_4_vit_l_14_linear.pth", "weight"),
    "pips": ("fvmd", "pips2_weights.pth", "delta_block.a.weight"),
    "raft": ("dynamic_degree", "raft-things.pth", "update_block.mask.0.weight"),
}


@pytest.mark.parametrize(
    ("role", "fault"),
    [
        *((role, fault) for role in ROLES for fault in ("cut off", "Missing key")),
        *(("raft", fault) for fault in ("a web page", "Git LFS", "no tensor", "of a folder")),
    ],
)
def test_weights_that_cannot_be_loaded_get_no_check_mark(
    write_run_file: Callable[..., Path], tmp_path: Path, role: str, fault: str
) -> None:
    metric, name, own = ROLES[role]
    path = tmp_path / "given" / name
    path.parent.mkdir()
    torch.save({"other" if fault in ("no tensor", "of a folder") else own: torch.zeros(2000)}, path)
    if fault == "a web page":
        path.write_text("<!DOCTYPE html><title>Sign in</title>")
    elif fault == "cut off":
        path.write_bytes(path.read_bytes()[:4000])
    elif fault == "Git LFS":
        path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    location = path.parent if fault == "of a folder" else path
    run_file = write_run_file(metrics=[metric], weights={role: str(location)})
    result = CliRunner().invoke(app, ["doctor", str(run_file)])
    lines = [line for line in result.output.splitlines() if str(path.parent) in line]
    assert any(line.startswith("✗") for line in lines), result.output
    assert not any(line.startswith("✓") for line in lines), lines
    assert "weights_only" not in result.output
    up_front = fault not in ("Missing key", "of a folder")  # names of a file in a folder are not looked at
    if up_front:
        assert fault in result.output
    (extractor,) = build_metric(metric, load_protocol("clean")).needs
    assert (why_unavailable(extractor, {role: str(location)}) is not None) == up_front
