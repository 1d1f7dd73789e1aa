"""What becomes of each node of a running cluster. Pure; a name here is a verb or a question about places."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

from controlplane.provisioners.base import NodeState
from controlplane.reconciler.cluster.snapshot import ALIVE, Place, Trouble, View, WantedGroup

# A drain hook ends by itself at its deadline; this is for the one that does not.
DRAIN_SLACK = timedelta(seconds=5)
RETRY_LIMIT_SECONDS = 60
STEADY = timedelta(seconds=30)


def doubtful(place: Place) -> bool:
    """Seems to have ended or gone: a verdict that needs a fresh look."""
    if place.confirmed or place.ending:
        return place.state not in ALIVE
    return place.state is NodeState.ENDED


def lost(place: Place) -> bool:
    """Was there and is not any more, or is on its way out."""
    return not place.leaving and (place.ending or place.failures > 0) and place.state is not NodeState.READY


def settle_fates(view: View) -> tuple[Place, ...]:
    """Apply what a fresh look proved: a gone attempt is followed by the next, an ended one is cleared away."""
    return tuple(kept for place in view.places if (kept := _settle(view, place)) is not None)


def _settle(view: View, place: Place) -> Place | None:
    if not place.confirmed and place.observation:
        place = replace(place, confirmed=True)
    if place.state is NodeState.READY and place.failures and not place.ending and _steady(view, place):
        return replace(place, failures=0, retry_at=None)
    if not view.fresh or place.state in ALIVE:
        return place
    if place.state is NodeState.ENDED:
        return place if place.ending else _failed(view, replace(place, ending=True))
    if place.leaving:
        return None
    if place.ending:
        return _next_attempt(view, place)
    return _next_attempt(view, _failed(view, place)) if place.confirmed else place


def _failed(view: View, place: Place) -> Place:
    """Count an end that nobody asked for; the first is repaired at once, the next ones ever later."""
    if place.leaving:
        return place
    before = 0 if _steady(view, place) else place.failures
    pause = min(RETRY_LIMIT_SECONDS, 2**before) if before else 0
    return replace(place, failures=before + 1, retry_at=view.now + timedelta(seconds=pause))


def _steady(view: View, place: Place) -> bool:
    """Whether this attempt was ready for so long that its end is no sequel of the ends before it."""
    ready = place.observation.stages.get("ready") if place.observation else None
    return ready is not None and view.now - ready >= STEADY


def _next_attempt(view: View, place: Place) -> Place:
    return replace(
        place,
        attempt=place.attempt + 1,
        attempt_generation=view.generation,
        confirmed=False,
        ending=False,
        observation=None,
    )


def mark_restarts(places: tuple[Place, ...], restart_generation: int) -> tuple[Place, ...]:
    return tuple(
        replace(place, ending=True) if outdated(place, restart_generation) else place for place in places
    )


def outdated(place: Place, restart_generation: int) -> bool:
    """Whether it was asked for before the last restart, of its whole cluster or of itself."""
    return place.attempt_generation < max(restart_generation, place.restart_generation)


def staying(places: Iterable[Place], group: str) -> list[Place]:
    return [place for place in places if place.group == group and not place.leaving]


def surplus(groups: tuple[WantedGroup, ...], places: tuple[Place, ...]) -> frozenset[str]:
    """The groups that have more nodes than they should."""
    return frozenset(group.name for group in groups if len(staying(places, group.name)) > group.count)


def matters(groups: tuple[WantedGroup, ...], places: tuple[Place, ...], name: str) -> bool:
    """Whether it makes a difference which node of the group goes: some stay, and more than enough are at work."""
    group = next(group for group in groups if group.name == name)
    present = staying(places, name)
    idle = sum(not place.ready for place in present)
    return group.drains and group.count > 0 and idle < len(present) - group.count


def shrink(view: View, places: tuple[Place, ...]) -> tuple[Place, ...]:
    """Choose who leaves: what does not work first, then the idle, then the youngest."""
    leaving: set[str] = set()
    for group in view.groups:
        present = sorted(staying(places, group.name), key=lambda place: _worth(view, place))
        leaving.update(place.name for place in present[: max(0, len(present) - group.count)])
    return tuple(_leave(view, place) if place.name in leaving else place for place in places)


def _worth(view: View, place: Place) -> tuple[bool, bool, int, int]:
    load = (view.loads or {}).get(place.name)
    return (place.ready, load is None or load.busy is not False, (load and load.tasks) or 0, -place.index)


def _leave(view: View, place: Place) -> Place:
    if place.ready and place.drains and not view.force:
        return replace(place, leaving=True, drain_until=view.now + timedelta(seconds=view.drain_seconds))
    return replace(place, leaving=True, ending=True)


def to_be_drained(place: Place) -> bool:
    return place.leaving and not place.ending and place.state in {NodeState.READY, NodeState.UNREADY}


def finish_drains(view: View, places: tuple[Place, ...]) -> tuple[tuple[Place, ...], tuple[Place, ...]]:
    """End the leaving nodes that are drained, or out of time; and which these are."""
    done = tuple(
        place for place in places if place.leaving and not place.ending and _drain_is_over(view, place)
    )
    names = {place.name for place in done}
    return tuple(replace(place, ending=True) if place.name in names else place for place in places), done


def _drain_is_over(view: View, place: Place) -> bool:
    late = place.drain_until is None or view.now >= place.drain_until + DRAIN_SLACK
    return late or place.state is NodeState.DRAINED or (view.fresh and place.state not in ALIVE)


def grow(view: View, places: tuple[Place, ...]) -> tuple[Place, ...]:
    """Add the nodes that are missing, under the lowest free names; in a new run, names with a volume come first, and
    those of them last whose nodes were to leave.
    """
    taken = {place.name for place in places}
    added: list[Place] = []
    for group in view.groups:
        missing = group.count - len(staying(places, group.name))
        kept = [] if places else _with_volume(view, group.name)
        free = (index for index in range(len(taken) + group.count) if f"{group.name}-{index}" not in taken)
        indexes = [*kept, *(index for index in free if index not in kept)]
        added += [_new(view, group, index) for index in indexes[: max(0, missing)]]
    return (*places, *added)


def _with_volume(view: View, group: str) -> list[int]:
    parts = (name.rpartition("-") for name in view.volumes)
    indexes = (int(index) for name, _, index in parts if name == group and index.isdecimal())
    return sorted(indexes, key=lambda index: (f"{group}-{index}" in view.draining, index))


def _new(view: View, group: WantedGroup, index: int) -> Place:
    name = f"{group.name}-{index}"
    # One of this name may have gone in this very pass.
    before = (place.attempt for place in view.places if place.name == name)
    return Place(
        name=name,
        group=group.name,
        role=group.role,
        index=index,
        run=view.run,
        attempt=max(view.used_attempts.get(name, 0), *before, 0) + 1,
        attempt_generation=view.generation,
        critical=group.critical,
        drains=group.drains,
    )


def wanted(view: View, places: tuple[Place, ...]) -> tuple[Place, ...]:
    """The attempts that should exist now; one that keeps failing waits for its next chance."""
    return tuple(
        place
        for place in places
        if not place.ending and (place.observation or place.retry_at is None or place.retry_at <= view.now)
    )


def strays(view: View, places: tuple[Place, ...]) -> tuple[str, ...]:
    """What is there and nobody meant: attempts without a place, volumes that nodes left behind, what was changed."""
    groups, names = (group.name for group in view.groups), (place.name for place in places)
    left = unmeant(view.volumes, groups, names)
    return (*view.strays, *(f"volume of {name}" for name in sorted(left)), *view.drift)


def unmeant(volumes: Iterable[str], groups: Iterable[str], nodes: Iterable[str]) -> set[str]:
    """Of a cluster that runs: the names in its groups which have a volume and no node. Others are none of ours."""
    known = set(groups)
    return {name for name in volumes if name.rpartition("-")[0] in known}.difference(nodes)


def differs(view: View, places: tuple[Place, ...], wanted: tuple[Place, ...]) -> bool:
    """Whether the site has to be told: an attempt to make, one to end, or something that nobody meant."""
    to_make = any(place.observation is None for place in wanted)
    to_end = any(place.ending and place.observation for place in places)
    return to_make or to_end or bool(strays(view, places))


def complete(groups: tuple[WantedGroup, ...], places: tuple[Place, ...]) -> bool:
    counts = {group.name: len([p for p in places if p.group == group.name]) for group in groups}
    return all(place.ready for place in places) and all(counts[group.name] == group.count for group in groups)


def why_not_ready(places: tuple[Place, ...]) -> Trouble:
    """The first reason a person would want to hear, critical nodes first."""
    for place in sorted(places, key=lambda place: not place.critical):
        if place.leaving:
            continue
        if place.failures and not place.ready:
            detail = (place.observation.message if place.observation else "") or "it is being replaced"
            return Trouble("NODE_LOST", f"{place.name} ended: {detail}")
        if place.observation and place.observation.reason:
            return Trouble(place.observation.reason, f"{place.name}: {place.observation.message}")
        if place.state is NodeState.UNREADY and place.observation:
            return Trouble("NODE_UNREADY", f"{place.name}: {place.observation.message or 'does not answer'}")
    return Trouble("", "")


def why_late(places: tuple[Place, ...], said: Trouble) -> Trouble:
    """said: what was in the way last; nodes that are not there yet cannot tell it."""
    late = ", ".join(place.name for place in places if not place.ready) or "the cluster"
    why = why_not_ready(places).message or ": ".join(filter(None, (said.reason, said.message)))
    return Trouble("DEADLINE_EXCEEDED", f"not ready in time: {late}" + (f" ({why})" if why else ""))


def digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()[:16]
