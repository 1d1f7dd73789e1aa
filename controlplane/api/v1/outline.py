"""What clusters consist of, as documents show it, made once a generation."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final
from uuid import UUID

from controlplane.clusters.listing import ListedCluster
from controlplane.clusters.models import Cluster
from templates.parsing import amounts_body
from templates.schema import Launch
from templates.stored import launch_from_json

_KEPT: Final = 20_000
_COLUMNS: Final = ("pk", "generation", "effective")


@dataclass(frozen=True, slots=True)
class Outline:
    """groups, takes: as they stand in the document."""

    launch: Launch
    groups: tuple[dict[str, Any], ...]
    takes: dict[str, Any]


# A generation's launch never changes; rows of lists are read without it.
_outlines: OrderedDict[tuple[str, int], Outline] = OrderedDict()
_lock = Lock()


def outlines_of(clusters: Iterable[Cluster | ListedCluster]) -> dict[UUID | str, Outline]:
    """The outline of each cluster's generation, by its pk. One query for those that are not known yet."""
    rows = list(clusters)
    found = {row.pk: outline for row in rows if (outline := _known(row))}
    missing = {str(row.pk): row.pk for row in rows if row.pk not in found}
    if missing:
        for pk, generation, effective in Cluster.objects.filter(pk__in=missing).values_list(*_COLUMNS):
            found[missing[str(pk)]] = _keep((str(pk), generation), launch_from_json(effective))
    return found


def _known(cluster: Cluster | ListedCluster) -> Outline | None:
    key = (str(cluster.pk), cluster.generation)
    with _lock:
        if key in _outlines:
            return _outlines[key]
    if isinstance(cluster, ListedCluster) or "effective" in cluster.get_deferred_fields():
        return None
    return _keep(key, launch_from_json(cluster.effective))


def _keep(key: tuple[str, int], launch: Launch) -> Outline:
    groups = tuple(
        {"name": group.name, "role": group.role, "wanted": group.count, **amounts_body(group.each)}
        for group in launch.groups
    )
    outline = Outline(launch=launch, groups=groups, takes=launch.takes.to_json())
    with _lock:
        _outlines[key] = outline
        while len(_outlines) > _KEPT:
            _outlines.popitem(last=False)
    return outline
