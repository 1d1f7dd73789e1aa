"""What clusters consist of, without reading the bodies of their apps again and again."""

from collections import OrderedDict
from collections.abc import Collection
from threading import Lock
from typing import Any, Final
from uuid import UUID

from controlplane.clusters.models import Cluster
from templates.parsing import launch_from_json
from templates.schema import Launch

_KEPT: Final = 20_000
_COLUMNS: Final = ("format", "groups", "settings", "app_digest")

# A generation's launch never changes, nor does the body behind a digest; rows of lists are read without either.
_launches: OrderedDict[tuple[UUID, int], Launch] = OrderedDict()
_bodies: dict[str, dict[str, Any]] = {}
_lock = Lock()


def launches_of(clusters: Collection[Cluster]) -> dict[UUID, Launch]:
    """The launch of each cluster's generation, by cluster. One query for those that are not known yet."""
    found = {cluster.pk: launch for cluster in clusters if (launch := _known(cluster))}
    missing = [cluster.pk for cluster in clusters if cluster.pk not in found]
    return found | _read(missing) if missing else found


def _known(cluster: Cluster) -> Launch | None:
    if "effective" not in cluster.get_deferred_fields():
        return launch_from_json(cluster.effective)
    with _lock:
        return _launches.get((cluster.pk, cluster.generation))


def _read(ids: list[UUID]) -> dict[UUID, Launch]:
    columns = [f"effective__{column}" for column in _COLUMNS]
    found = {}
    for pk, generation, *values in Cluster.objects.filter(pk__in=ids).values_list(
        "pk", "generation", *columns
    ):
        outline = dict(zip(_COLUMNS, values, strict=True))
        found[pk] = launch_from_json(outline | {"app": _body(outline["app_digest"], pk)})
        _keep((pk, generation), found[pk])
    return found


def _body(digest: str, pk: UUID) -> dict[str, Any]:
    if digest not in _bodies:
        _bodies[digest] = Cluster.objects.values_list("effective__app", flat=True).get(pk=pk)
    return _bodies[digest]


def _keep(key: tuple[UUID, int], launch: Launch) -> None:
    with _lock:
        _launches[key] = launch
        while len(_launches) > _KEPT:
            _launches.popitem(last=False)
