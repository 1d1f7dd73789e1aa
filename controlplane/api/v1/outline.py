"""What clusters consist of, as documents show it, made once a generation."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Any, Final
from uuid import UUID

from django.db import transaction

from controlplane.clusters.listing import ListedCluster
from controlplane.clusters.models import Cluster
from templates.parsing import amounts_body
from templates.schema import Launch
from templates.stored import launch_from_json

_KEPT: Final = 20_000
_COLUMNS: Final = ("pk", "generation", "effective", "requested")


@dataclass(frozen=True, slots=True)
class Outline:
    """groups, takes, requested: as they stand in the document."""

    launch: Launch
    groups: tuple[dict[str, Any], ...]
    takes: dict[str, Any]
    requested: dict[str, Any]


# A generation's launch never changes; rows of lists are read without it.
_outlines: OrderedDict[tuple[str, int], Outline] = OrderedDict()
_lock = Lock()


def outlines_of(clusters: Iterable[Cluster | ListedCluster]) -> dict[UUID | str, Outline]:
    """The outline of each cluster's generation, by its pk. One query for those that are not known yet."""
    rows = list(clusters)
    found = {row.pk: outline for row in rows if (outline := _known(row))}
    missing = {str(row.pk): row.pk for row in rows if row.pk not in found}
    if missing:
        rows_of = Cluster.objects.filter(pk__in=missing).values_list(*_COLUMNS)
        for pk, generation, effective, requested in rows_of:
            found[missing[str(pk)]] = _keep((str(pk), generation), launch_from_json(effective), requested)
    return found


def _known(cluster: Cluster | ListedCluster) -> Outline | None:
    key = (str(cluster.pk), cluster.generation)
    with _lock:
        if key in _outlines:
            return _outlines[key]
    if isinstance(cluster, ListedCluster) or "effective" in cluster.get_deferred_fields():
        return None
    return _keep(key, launch_from_json(cluster.effective), cluster.requested)


def _keep(key: tuple[str, int], launch: Launch, requested: dict[str, Any]) -> Outline:
    groups = tuple(
        {"name": group.name, "role": group.role, "wanted": group.count, **amounts_body(group.each)}
        for group in launch.groups
    )
    asked = {name: requested[name] for name in ("groups", "parameters", "preset")}
    outline = Outline(launch, groups, launch.takes.to_json(), asked | {"preset": asked["preset"] or None})
    # A transaction that is rolled back gives its generation to another launch.
    transaction.on_commit(partial(_remember, key, outline))
    return outline


def _remember(key: tuple[str, int], outline: Outline) -> None:
    with _lock:
        _outlines[key] = outline
        while len(_outlines) > _KEPT:
            _outlines.popitem(last=False)
