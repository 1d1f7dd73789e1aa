"""A level: one resource under one limit, and by how much a change exceeds it."""

import pytest

from tenants.amounts import Amounts
from tenants.quota.levels import MOST_HELD, Level, levels


@pytest.mark.parametrize(
    ("limit", "held", "change", "short_by"),
    [
        (8, 7, 3, 2),
        (8, 7, 1, 0),
        (8, 9, 0, 0),
        (8, 9, -1, 0),
        (8, 9, 1, 2),
        (0, 0, 1, 1),
        (None, 5, 5, 0),
        (None, MOST_HELD, 1, 1),
    ],
)
def test_only_growth_beyond_the_limit_is_short(
    limit: int | None, held: int, change: int, short_by: int
) -> None:
    assert Level("tenant", "gpu", limit, held, change).short_by == short_by


@pytest.mark.parametrize(("limit", "over_by"), [(8, 1), (9, 0), (None, 0)])
def test_a_limit_below_what_is_held_is_over(limit: int | None, over_by: int) -> None:
    assert Level("tenant", "gpu", limit, 9).over_by == over_by


def test_a_level_is_shown_in_json_quantities() -> None:
    assert Level("member", "cpu", 8000, 7000, 3000).preview_json() == {
        "scope": "member",
        "resource": "cpu",
        "limit": "8",
        "held": "7",
        "after": "10",
        "short_by": "2",
    }


def test_an_unlimited_level_has_no_limit_and_nothing_free() -> None:
    shown = Level("tenant", "memory", None, 1024).limit_json()
    assert (shown["limit"], shown["held"], shown["free"]) == (None, "1Ki", None)


def test_there_is_one_level_per_resource() -> None:
    found = levels("tenant", [1, 2, 3, 4, 5], Amounts(1, 1, 1, 1, 1), Amounts(gpu=4))
    assert [(level.resource, level.limit, level.short_by) for level in found] == [
        ("cpu", 1, 0),
        ("memory", 2, 0),
        ("gpu", 3, 2),
        ("storage", 4, 0),
        ("clusters", 5, 0),
    ]
