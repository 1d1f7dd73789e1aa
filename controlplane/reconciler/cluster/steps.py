"""How far the steps of an operation are, told from what was seen. Pure."""

from dataclasses import dataclass
from datetime import datetime

from controlplane.clusters.phases import Phase
from controlplane.provisioners.base import STAGES
from controlplane.reconciler.cluster.planned_nodes import outdated, surplus
from controlplane.reconciler.cluster.snapshot import Place, Step, View


@dataclass(frozen=True, slots=True)
class Progress:
    """done_at: None = not yet. message: what it waits for."""

    done_at: datetime | None
    message: str = ""


def progress(name: str, view: View, step: Step) -> Progress:
    staying = tuple(place for place in step.places if not place.leaving)
    if name == "isolated":
        return _when(step.isolated and step.run > 0, view)
    if name in STAGES:
        return _stage(name, view, staying) if step.isolated else Progress(None)
    if name == "drained":
        return _when(
            _all_chosen(view, step) and not any(p.leaving and not p.ending for p in step.places), view
        )
    if name == "ended":
        return _when(_ended(view, step), view)
    return _when(condition=True, view=view)


def _ended(view: View, step: Step) -> bool:
    """Whether what was to end has ended: everything for a stop, the surplus and the outdated for the others."""
    if step.phase in {Phase.STOPPED, Phase.DELETED}:
        return True
    if step.phase in {Phase.STOPPING, Phase.DELETING}:
        return False
    return _all_chosen(view, step) and not any(
        place.leaving or place.ending or outdated(place, view.restart_generation) for place in step.places
    )


def _all_chosen(view: View, step: Step) -> bool:
    """Whether every node that has to leave is marked: before that, no node is leaving because none was asked."""
    return not surplus(view.groups, step.places)


def _stage(name: str, view: View, places: tuple[Place, ...]) -> Progress:
    if len(places) < sum(group.count for group in view.groups):
        return Progress(None)
    waiting = [place for place in places if place.observation is None or name not in place.observation.stages]
    if not waiting:
        return Progress(
            max(place.observation.stages[name] for place in places if place.observation)
            if places
            else view.now
        )
    return Progress(None, "; ".join(_why(place) for place in waiting[:3]))


def _why(place: Place) -> str:
    message = place.observation.message if place.observation else ""
    return f"{place.name}: {message}" if message else place.name


def _when(condition: bool, view: View) -> Progress:
    return Progress(view.now if condition else None)
