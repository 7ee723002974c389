"""The frames that a method of prediction is given: which they are, and what happens without them."""

from __future__ import annotations

from typing import Any

import numpy as np

from reelbench.core.store import Store
from reelbench.datasets.video import default_codec, read_lossless, write_lossless
from reelbench.stages.results import RunResult
from reelbench.stages.work import ShardResult

PROMPTS = {"v0": "a", "v1": "b", "v2": "c", "v3": "d"}


def run(world: Any, given: int = 2, **changes: Any) -> tuple[dict[str, Any], RunResult, list[ShardResult]]:
    (data,) = world.data["datasets"]
    data = data | {"config": data["config"] | {"num_context_frames": given}}
    # The protocol measures 16 frames after the given ones.
    method = world.method("Given", config={"log": str(world.log), "num_frames": 16 + given})
    return world.run(methods=[method], datasets=[data], **changes)


def generated(tables: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["sample_id"]: row for row in tables["clips"] if row["side"] == "generated"}


def test_a_method_is_given_the_first_frames_that_the_protocol_reads_of_the_reference(world: Any) -> None:
    world.write(PROMPTS)
    tables, result, _ = run(world)
    assert result.num_failures == 0
    clip = read_lossless(
        Store(world.folder / "out" / "store", default_codec()).clips.path(generated(tables)["v1"]["clip_key"])
    )
    reference = read_lossless(world.folder / "data" / "v1.mkv")
    # The reference has 8 frames a second, which is the protocol's rate, too.
    np.testing.assert_array_equal(clip[:2], reference[:2])
    assert {row["conditioning"] for row in tables["summary"]} == {"text + first frames"}


def test_more_frames_another_rate_and_another_clip_are_other_work_and_the_same_is_none(world: Any) -> None:
    world.write(PROMPTS)
    run(world)
    run(world)
    assert len(world.generated()) == 4
    run(world, given=3)
    assert len(world.generated()) == 8
    run(world, protocol="videogpt")  # 16 frames as stored instead of 8 a second
    assert len(world.generated()) == 12
    write_lossless(world.folder / "data" / "v1.mkv", np.zeros((20, 32, 32, 3), np.uint8) + 9, 8.0)
    before = len(world.generated())
    run(world)
    assert len(world.generated()) == before + 1


def test_a_clip_with_nothing_after_the_given_frames_fails_and_the_others_go_on(world: Any) -> None:
    world.write(PROMPTS)
    write_lossless(world.folder / "data" / "v2.mkv", np.ones((2, 32, 32, 3), np.uint8), 8.0)
    (world.folder / "data" / "v3.mkv").unlink()
    tables, _, _ = run(world)
    rows = generated(tables)
    assert [rows[name]["status"] for name in PROMPTS] == ["done", "done", "failed", "failed"]
    assert "frames" in rows["v2"]["error_message"]
    assert "v3.mkv" in rows["v3"]["error_message"]
