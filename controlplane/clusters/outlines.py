"""What clusters consist of, as lists and documents show it, made once per generation and process."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Any, Final

from django.db import transaction

from controlplane.clusters.models import Cluster
from controlplane.clusters.read_model import ClusterRow
from templates.parsing import amounts_body
from templates.schema import Launch
from templates.stored import launch_from_json

_KEPT: Final = 20_000
_REQUESTED: Final = ("groups", "parameters", "preset")


@dataclass(frozen=True, slots=True)
class Outline:
    """groups, takes, requested: as they stand in the API's document."""

    launch: Launch
    groups: tuple[dict[str, Any], ...]
    takes: dict[str, Any]
    requested: dict[str, Any]

    @property
    def node_count(self) -> int:
        """How many nodes are wanted."""
        return sum(group.count for group in self.launch.groups)


# The launch of a generation never changes. Key: id of the cluster, generation.
_outlines: OrderedDict[tuple[str, int], Outline] = OrderedDict()
_lock = Lock()


def outline_of(cluster: Cluster) -> Outline:
    """The outline of a cluster that was read whole."""
    key = (str(cluster.pk), cluster.generation)
    return _known(key) or _keep(key, cluster.launch, cluster.requested)


def outlines_of(clusters: Iterable[ClusterRow | Cluster]) -> dict[str, Outline]:
    """The outline of each cluster by the text of its id. One query reads those that are not known yet."""
    keys = [(str(cluster.id), cluster.generation) for cluster in clusters]
    found = {key[0]: outline for key in keys if (outline := _known(key))}
    if missing := [ident for ident, _ in keys if ident not in found]:
        columns = ("pk", "generation", "effective", "requested")
        for pk, generation, effective, requested in Cluster.objects.filter(pk__in=missing).values_list(
            *columns
        ):
            found[str(pk)] = _keep((str(pk), generation), launch_from_json(effective), requested)
    return found


def _known(key: tuple[str, int]) -> Outline | None:
    with _lock:
        return _outlines.get(key)


def _keep(key: tuple[str, int], launch: Launch, requested: dict[str, Any]) -> Outline:
    groups = tuple(
        {"name": group.name, "role": group.role, "wanted": group.count, **amounts_body(group.each)}
        for group in launch.groups
    )
    shown = {name: requested[name] or None if name == "preset" else requested[name] for name in _REQUESTED}
    outline = Outline(launch, groups, launch.takes.to_json(), shown)
    # A transaction that is rolled back gives its generation to another launch.
    transaction.on_commit(partial(_remember, key, outline))
    return outline


def _remember(key: tuple[str, int], outline: Outline) -> None:
    with _lock:
        _outlines[key] = outline
        while len(_outlines) > _KEPT:
            _outlines.popitem(last=False)
