"""What clusters consist of, without reading the bodies of their apps again and again."""

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final
from uuid import UUID

from controlplane.clusters.models import Cluster
from templates.parsing import amounts_body, launch_from_json
from templates.schema import Launch

_KEPT: Final = 20_000
_COLUMNS: Final = ("format", "groups", "settings", "app_digest")


@dataclass(frozen=True, slots=True)
class Outline:
    """groups, takes: as they stand in the document."""

    launch: Launch
    groups: tuple[dict[str, Any], ...]
    takes: dict[str, Any]


# A generation's launch never changes, nor does the body behind a digest; rows of lists are read without either.
_outlines: OrderedDict[tuple[UUID, int], Outline] = OrderedDict()
_bodies: dict[str, dict[str, Any]] = {}
_lock = Lock()


def outlines_of(clusters: Collection[Cluster]) -> dict[UUID, Outline]:
    """The outline of each cluster's generation, by cluster. One query for those that are not known yet."""
    found = {cluster.pk: outline for cluster in clusters if (outline := _known(cluster))}
    missing = [cluster.pk for cluster in clusters if cluster.pk not in found]
    return found | _read(missing) if missing else found


def _known(cluster: Cluster) -> Outline | None:
    key = (cluster.pk, cluster.generation)
    with _lock:
        if key in _outlines:
            return _outlines[key]
    if "effective" in cluster.get_deferred_fields():
        return None
    return _keep(key, launch_from_json(cluster.effective))


def _read(ids: list[UUID]) -> dict[UUID, Outline]:
    columns = [f"effective__{column}" for column in _COLUMNS]
    found = {}
    for pk, generation, *values in Cluster.objects.filter(pk__in=ids).values_list(
        "pk", "generation", *columns
    ):
        stored = dict(zip(_COLUMNS, values, strict=True))
        launch = launch_from_json(stored | {"app": _body(stored["app_digest"], pk)})
        found[pk] = _keep((pk, generation), launch)
    return found


def _body(digest: str, pk: UUID) -> dict[str, Any]:
    if digest not in _bodies:
        _bodies[digest] = Cluster.objects.values_list("effective__app", flat=True).get(pk=pk)
    return _bodies[digest]


def _keep(key: tuple[UUID, int], launch: Launch) -> Outline:
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
