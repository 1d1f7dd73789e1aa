"""Everything one pass needs to know of a cluster, read at once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from django.utils import timezone

from controlplane.clusters.models import Cluster, Node, Operation
from controlplane.clusters.models import Step as StepRow
from controlplane.clusters.models.operation import LIVE
from controlplane.clusters.phases import Goal, Phase
from controlplane.clusters.queries.instances import rows
from controlplane.provisioners.base import ClusterObservation, ClusterRef, Load, NodeObservation, Provisioner
from controlplane.reconciler.observations import node_observations
from controlplane.reconciler.provisioning import provisioner_of
from controlplane.reconciler.rows import cluster_read
from controlplane.reconciler.view import ALIVE, Place, Trouble, View, WantedGroup
from templates.schema import Launch
from templates.stored import launch_from_json
from tenants.models import TenantState


@dataclass(frozen=True, slots=True)
class Learned:
    """What this pass found out at the site, beside the rows. A writing act makes an older look stale.

    observed_at: when it began to look; what changed after that may not be in the answer. link_version: what the nodes
    were given in this pass.
    """

    observed: ClusterObservation | None = None
    observed_at: datetime | None = None
    loads: Mapping[str, Load] | None = None
    trouble: Trouble | None = None
    told: str = ""
    link_version: int = 0


@dataclass(frozen=True, slots=True)
class Scope:
    """The rows behind a view, as they were read or written last. operation, parts: the live one and its steps."""

    cluster: Cluster
    launch: Launch
    operation: Operation | None
    parts: tuple[StepRow, ...]
    nodes: tuple[Node, ...]
    observations: tuple[NodeObservation, ...]
    view: View

    @property
    def ref(self) -> ClusterRef:
        return cluster_ref(self.cluster)

    @property
    def site(self) -> Provisioner:
        return site_of(self.cluster)


def cluster_ref(cluster: Cluster) -> ClusterRef:
    return ClusterRef(
        id=cluster.id, name=cluster.name, tenant_id=cluster.tenant_id, tenant=cluster.tenant.name
    )


def site_of(cluster: Cluster) -> Provisioner:
    return provisioner_of(cluster.site)


def read(cluster_id: UUID, learned: Learned) -> Scope | None:
    """None: there is no such cluster."""
    cluster = cluster_read(cluster_id)
    if cluster is None:
        return None
    launch = launch_from_json(cluster.effective)
    live = rows(Operation, "cluster_id = %s AND state = ANY(%s)", cluster_id, list(LIVE))
    operation = live[0] if live else None
    parts = rows(StepRow, "operation_id = %s ORDER BY position", operation.id) if operation else ()
    fresh = learned.observed
    observations = tuple(fresh.nodes) if fresh else tuple(node_observations(cluster_id))
    nodes = tuple(rows(Node, "cluster_id = %s ORDER BY id", cluster_id))
    view = _view(cluster, launch, operation, nodes, observations, learned, timezone.now())
    return Scope(cluster, launch, operation, tuple(parts), nodes, observations, view)


def viewed(scope: Scope, learned: Learned, now: datetime) -> Scope:
    """The same rows with what is known besides; nothing is read."""
    observations = tuple(learned.observed.nodes) if learned.observed else scope.observations
    view = _view(scope.cluster, scope.launch, scope.operation, scope.nodes, observations, learned, now)
    return replace(scope, observations=observations, view=view)


def effective_goal(cluster: Cluster) -> Goal:
    """What the tenant's state leaves of the goal: nothing runs in a suspended tenant, nothing stays in a deleted."""
    if cluster.tenant.state in {TenantState.DELETING, TenantState.DELETED}:
        return Goal.DELETED
    if cluster.tenant.state == TenantState.SUSPENDED and cluster.goal == Goal.RUNNING:
        return Goal.STOPPED
    return Goal(cluster.goal)


def _view(
    cluster: Cluster,
    launch: Launch,
    operation: Operation | None,
    nodes: tuple[Node, ...],
    observations: tuple[NodeObservation, ...],
    learned: Learned,
    now: datetime,
) -> View:
    places = tuple(_place(node, launch, observations) for node in nodes)
    known = {(place.name, place.attempt) for place in places}
    mine = [
        observation
        for observation in observations
        if observation.run == cluster.run and observation.state in ALIVE
    ]
    return View(
        now=now,
        goal=effective_goal(cluster),
        phase=Phase(cluster.phase),
        generation=cluster.generation,
        observed_generation=cluster.observed_generation,
        run=cluster.run,
        groups=_groups(launch),
        places=places,
        isolated=cluster.isolated_run == cluster.run,
        restart_generation=cluster.restart_generation,
        link_version=cluster.link_version,
        link_version_given=max(cluster.link_version_given, learned.link_version),
        force=cluster.force,
        drain_seconds=cluster.drain_seconds,
        deadline=operation.deadline if operation else None,
        strays=tuple(f"{s.name}@{s.attempt}" for s in mine if (s.name, s.attempt) not in known),
        old_runs=any(observation.run < cluster.run for observation in observations),
        volumes=learned.observed.volumes if learned.observed else frozenset(),
        fresh=learned.observed is not None,
        exists=learned.observed.exists if learned.observed else True,
        last_action=cluster.last_action,
        last_action_at=cluster.last_action_at,
        last_write_at=cluster.last_write_at,
        observed_at=learned.observed_at if learned.observed else cluster.observed_at,
        told=learned.told,
        loads=learned.loads,
        trouble=learned.trouble,
        why=Trouble(cluster.reason, cluster.message),
        used_attempts=cluster.used_attempts,
        draining=frozenset(cluster.draining),
        drift=tuple(cluster.drift),
        stuck=learned.observed.stuck if learned.observed else (),
        released=cluster.released,
    )


def _groups(launch: Launch) -> tuple[WantedGroup, ...]:
    roles = {role.name: role for role in launch.app.roles}
    return tuple(
        WantedGroup(
            group.name,
            group.role,
            group.count,
            roles[group.role].critical,
            bool(roles[group.role].hooks.drain),
        )
        for group in launch.groups
    )


def _place(node: Node, launch: Launch, observations: Iterable[NodeObservation]) -> Place:
    role = launch.app.role(node.role)
    attempts = (s for s in observations if (s.run, s.name, s.attempt) == (node.run, node.name, node.attempt))
    return Place(
        name=node.name,
        group=node.group,
        role=node.role,
        index=node.index,
        run=node.run,
        attempt=node.attempt,
        attempt_generation=node.attempt_generation,
        critical=role.critical,
        drains=bool(role.hooks.drain),
        confirmed=node.confirmed,
        ending=node.ending,
        leaving=node.leaving,
        drain_until=node.drain_until,
        failures=node.failures,
        retry_at=node.retry_at,
        restart_generation=node.restart_generation,
        observation=next(attempts, None),
    )
