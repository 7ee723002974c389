"""The files in docs/automations are automations that Prefect takes, and ask for states that runs end in."""

from __future__ import annotations

from pathlib import Path

import yaml
from prefect.automations import Automation
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import EventTrigger, Posture

from reelbench.flows.view.outcome import COMPLETED_WITH_FAILURES

FOLDER = Path(__file__).parents[2] / "docs" / "automations"


def test_the_alert_is_an_automation_of_prefect() -> None:
    found = Automation.model_validate(yaml.safe_load((FOLDER / "regression.yaml").read_text()))
    assert isinstance(found.trigger, EventTrigger)
    names = {event.rpartition(".")[2] for event in found.trigger.expect}
    assert names == {"Regression", "Failed", "Crashed", COMPLETED_WITH_FAILURES}


def test_a_run_without_heartbeats_is_crashed() -> None:
    found = Automation.model_validate(yaml.safe_load((FOLDER / "zombie.yaml").read_text()))
    assert isinstance(found.trigger, EventTrigger)
    assert found.trigger.posture == Posture.Proactive
    ends = {"prefect.flow-run.Completed", "prefect.flow-run.Failed", "prefect.flow-run.Cancelled"}
    assert ends | set(found.trigger.after) <= set(found.trigger.expect), "who has ended sends none"
    (action,) = found.actions
    assert isinstance(action, ChangeFlowRunState)
    assert action.state == StateType.CRASHED
