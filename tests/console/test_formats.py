"""Times and amounts as text."""

from datetime import UTC, datetime, timedelta

import pytest

from controlplane.clusters.operations import STEPS
from controlplane.clusters.phases import Phase
from controlplane.console import formats
from controlplane.console.progress import TITLES
from controlplane.console.templatetags.console import NODES, PHASES
from controlplane.console.tiles import generated_name
from controlplane.provisioners.base import NodeState
from tenants.names import validate_name


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0.0 s"),
        (0.44, "0.4 s"),
        (12.9, "12 s"),
        (60, "1 min"),
        (185, "3 min 5 s"),
        (7440, "2 h 4 min"),
        (90000, "1 d 1 h"),
    ],
)
def test_a_duration_shows_at_most_two_units(seconds: float, text: str) -> None:
    assert formats.duration(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(-5, "0 s"), (59, "59 s"), (61, "1 min"), (200000, "2 d")])
def test_an_age_has_one_figure(seconds: int, text: str) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert formats.age(now - timedelta(seconds=seconds), now) == text


def test_amounts_omit_zeros() -> None:
    found = formats.amounts({"cpu": "2500m", "memory": "5Gi", "gpu": 1, "storage": "0", "clusters": 1})
    assert found.replace("\N{NO-BREAK SPACE}", " ") == "2.5 CPU · 5Gi memory · 1 GPU"
    assert formats.amounts({"cpu": "0", "memory": "0", "gpu": 0, "storage": "0"}) == "nothing"


@pytest.mark.parametrize("template", ["spark", "ab", "a" * 40, "a" * 34 + "-bcdef", "a-" * 19 + "aa"])
def test_a_generated_name_is_always_usable(template: str) -> None:
    for _ in range(50):
        validate_name(generated_name(template))


def test_every_phase_node_state_and_step_has_its_mark_and_title() -> None:
    assert set(PHASES) == set(Phase)
    assert set(NodeState) <= set(NODES)
    assert {step for steps in STEPS.values() for step in steps} <= set(TITLES)
