"""Every verb is interrupted in every way at every call to the site; the result is always the same.

An undisturbed run counts the calls first. The last test fails when a kind of call has no case.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import transaction

from controlplane.clusters.models import Cluster
from controlplane.clusters.services import (
    cluster_delete,
    cluster_resize,
    cluster_restart,
    cluster_start,
    cluster_stop,
)
from controlplane.provisioners.base import SiteUnknown
from controlplane.provisioners.fake import FakeProvisioner
from tenants.models import Claim
from tenants.quota import ledger_differences
from tests.reconciler.conftest import World
from tests.reconciler.settling import fresh_fake, later, reload, settle, site

CALLS = ("ensure_tenant", "apply", "begin_drain", "end_run", "remove", "look", "load")


class Killed(BaseException):
    """Simulates kill -9 of the worker: it is no Exception, so no handler of Slipway runs."""


def requested(world: World) -> Cluster:
    """A launched cluster before its first pass."""
    return world.launch()


def ready(world: World) -> Cluster:
    return at_rest(world.launch())


def stopped(world: World) -> Cluster:
    cluster = ready(world)
    cluster_stop(access=world.bob, cluster="one")
    return at_rest(cluster)


def at_rest(cluster: Cluster) -> Cluster:
    settle(cluster)
    later(400)
    return settle(cluster)


def resize(count: int) -> Callable[[World], object]:
    return lambda world: cluster_resize(access=world.bob, cluster="one", groups={"hand": {"count": count}})


SCENARIOS: dict[str, tuple[Callable[[World], Cluster], Callable[[World], object]]] = {
    "create": (requested, lambda world: None),
    "start": (stopped, lambda world: cluster_start(access=world.bob, cluster="one")),
    "stop": (ready, lambda world: cluster_stop(access=world.bob, cluster="one")),
    "restart": (ready, lambda world: cluster_restart(access=world.bob, cluster="one")),
    "grow": (ready, resize(4)),
    "shrink": (ready, resize(1)),
    "delete": (ready, lambda world: cluster_delete(access=world.bob, cluster="one")),
    "delete stopped": (stopped, lambda world: cluster_delete(access=world.bob, cluster="one")),
}


@dataclass(frozen=True)
class End:
    """The state at the end of a scenario. made, ended: how often the site did so, by node."""

    phase: str
    run: int
    settled: bool
    nodes: frozenset[tuple[str, int]]
    alive: frozenset[tuple[str, int]]
    held: str
    made: frozenset[tuple[str, int]]
    ended: frozenset[tuple[str, int]]
    operation: str


def end_of(cluster: Cluster) -> End:
    cluster, fake = reload(cluster.id), site(cluster)
    claim = Claim.objects.filter(owner_id=cluster.id).first()
    return End(
        phase=cluster.phase,
        run=cluster.run,
        settled=cluster.observed_generation == cluster.generation,
        nodes=frozenset(cluster.nodes.values_list("name", "attempt")),
        alive=frozenset((observation.name, observation.attempt) for observation in fake.alive(cluster.id)),
        held=str(claim.amounts if claim else None),
        made=frozenset(fake.made.items()),
        ended=frozenset(fake.ended.items()),
        operation=cluster.operations.order_by("-id")[0].state,
    )


@contextmanager
def rolled_back() -> Iterator[None]:
    with transaction.atomic(), fresh_fake():
        yield
        transaction.set_rollback(True)


def play(
    world: World, scenario: str, disturb: Callable[[FakeProvisioner], None]
) -> tuple[End, FakeProvisioner]:
    """Run the scenario with one disturbance until the cluster has settled, moving time forward."""
    begin, change = SCENARIOS[scenario]
    cluster = begin(world)
    change(world)
    fake = site(cluster)
    for counter in (fake.calls, fake.made, fake.ended):
        counter.clear()
    disturb(fake)
    for _ in range(5):
        with suppress(Killed):
            settle(cluster)
        later(120)
    settle(cluster)
    assert ledger_differences() == []
    return end_of(cluster), fake


def at_call(number: int, error: BaseException) -> Callable[[str], None]:
    """A hook that raises once, at the call with this number."""
    left = iter(range(number, -1, -1))

    def hook(name: str) -> None:
        if next(left, None) == 0:
            raise error

    return hook


def before(number: int, error: BaseException) -> Callable[[FakeProvisioner], None]:
    return lambda fake: setattr(fake, "before_call", at_call(number, error))


def after(number: int, error: BaseException) -> Callable[[FakeProvisioner], None]:
    return lambda fake: setattr(fake, "after_call", at_call(number, error))


WAYS: dict[str, Callable[[int], Callable[[FakeProvisioner], None]]] = {
    "killed before": lambda number: before(number, Killed()),
    "killed after": lambda number: after(number, Killed()),
    "refused": lambda number: before(number, SiteUnknown("AWAY", "not now")),
    "reply lost": lambda number: after(number, SiteUnknown("AWAY", "no answer")),
    "broken": lambda number: before(number, RuntimeError("a defect")),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_an_interruption_at_any_call_leads_to_the_same_end(world: World, scenario: str, way: str) -> None:
    with rolled_back():
        calm, fake = play(world, scenario, lambda fake: None)
        calls = sum(fake.calls.values())
    assert calls
    assert calm.settled
    for number in range(calls):
        with rolled_back():
            end, _ = play(world, scenario, WAYS[way](number))
            assert end == calm, f"{way} call {number} of {calls}"
    print(f"{scenario}, {way}: {calls} cases")


def stutter(fake: FakeProvisioner) -> None:
    """Make every call twice, as two workers in succession would."""

    def twice(call: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **kwargs: (call(*args, **kwargs), call(*args, **kwargs))[1]

    for name in CALLS:
        setattr(fake, name, twice(getattr(fake, name)))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_repeating_every_call_leads_to_the_same_end(world: World, scenario: str) -> None:
    with rolled_back():
        calm, _ = play(world, scenario, lambda fake: None)
    with rolled_back():
        end, _ = play(world, scenario, stutter)
    assert end == calm


MINDS: dict[str, tuple[Callable[[World], object], str]] = {
    "stop": (lambda world: cluster_stop(access=world.bob, cluster="one"), "stopped"),
    "delete": (lambda world: cluster_delete(access=world.bob, cluster="one"), "deleted"),
}
CHANGES = [
    (scenario, mind)
    for scenario in SCENARIOS
    for mind in MINDS
    if not scenario.startswith("delete") and (scenario, mind) != ("stop", "stop")
]


@pytest.mark.parametrize(("scenario", "mind"), CHANGES)
def test_a_new_goal_at_any_call_wins(world: World, scenario: str, mind: str) -> None:
    change, phase = MINDS[mind]
    with rolled_back():
        _, fake = play(world, scenario, lambda fake: None)
        calls = sum(fake.calls.values())
    for number in range(calls):
        with rolled_back():
            left = iter(range(number, -1, -1))

            def hook(name: str, left: Iterator[int] = left) -> None:
                if next(left, None) == 0:
                    change(world)

            def disturb(fake: FakeProvisioner, hook: Callable[[str], None] = hook) -> None:
                fake.after_call = hook

            end, fake = play(world, scenario, disturb)
            assert (end.phase, end.alive, end.settled) == (phase, frozenset(), True), (
                f"call {number} of {calls}"
            )
    print(f"{scenario}, then {mind}: {calls} cases")


def test_every_kind_of_call_is_among_the_cases(world: World) -> None:
    calls: Counter[str] = Counter()
    for scenario in SCENARIOS:
        with rolled_back():
            _, fake = play(world, scenario, lambda fake: None)
            calls += fake.calls
    assert set(CALLS) <= set(calls), f"no case for {set(CALLS) - set(calls)}"
    print(dict(calls))
