"""The alert in docs/automations is one that Prefect takes, and asks for states that `watch` ends in."""

from __future__ import annotations

from pathlib import Path

import yaml
from prefect.automations import Automation
from prefect.events.schemas.automations import EventTrigger

from reelbench.flows.view.outcome import COMPLETED_WITH_FAILURES

FILE = Path(__file__).parents[2] / "docs" / "automations" / "regression.yaml"


def test_the_alert_is_an_automation_of_prefect() -> None:
    found = Automation.model_validate(yaml.safe_load(FILE.read_text()))
    assert isinstance(found.trigger, EventTrigger)
    names = {event.rpartition(".")[2] for event in found.trigger.expect}
    assert names == {"Regression", "Failed", "Crashed", COMPLETED_WITH_FAILURES}
