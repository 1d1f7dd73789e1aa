"""The rows behind one reconcile pass, and the snapshot that is made of them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from django.utils import timezone

from controlplane.clusters.models import Cluster, Node, Operation
from controlplane.clusters.models import Step as StepRow
from controlplane.clusters.models.operation import LIVE
from controlplane.clusters.phases import Goal, Phase
from controlplane.clusters.queries.instances import rows
from controlplane.provisioners.base import (
    ClusterObservation,
    ClusterRef,
    Load,
    NodeObservation,
    NodeRef,
    Provisioner,
)
from controlplane.reconciler.cluster.action import Action
from controlplane.reconciler.cluster.queries import cluster_read
from controlplane.reconciler.cluster.snapshot import ALIVE, PlannedNode, Problem, Snapshot, WantedGroup
from controlplane.reconciler.node_names import parse_node_names
from controlplane.reconciler.site.observations import node_observations
from controlplane.reconciler.site.provisioning import provisioner_of
from templates.schema import Launch
from templates.stored import launch_from_json
from tenants.models import TenantState


@dataclass(frozen=True, slots=True)
class PassState:
    """What this pass has learned and done at the site, beside the rows.

    observation: a fresh look; a later writing action makes it stale. observed_at: when that look began. executed: the
    last writing action. loads, problem: see Snapshot. link_version: of the links that nodes were given in this pass.
    """

    observation: ClusterObservation | None = None
    observed_at: datetime | None = None
    loads: Mapping[str, Load] | None = None
    problem: Problem | None = None
    executed: Action | None = None
    link_version: int = 0


@dataclass(frozen=True, slots=True)
class Scope:
    """The rows behind a snapshot, as they were last read or written.

    operation: the live one, with its steps.
    """

    cluster: Cluster
    launch: Launch
    operation: Operation | None
    steps: tuple[StepRow, ...]
    nodes: tuple[Node, ...]
    observations: tuple[NodeObservation, ...]
    snapshot: Snapshot

    @property
    def ref(self) -> ClusterRef:
        return cluster_ref(self.cluster)

    @property
    def provisioner(self) -> Provisioner:
        """Raises SiteUnknown."""
        return provisioner_of(self.cluster.site)


def cluster_ref(cluster: Cluster) -> ClusterRef:
    return ClusterRef(
        id=cluster.id, name=cluster.name, tenant_id=cluster.tenant_id, tenant=cluster.tenant.name
    )


def read_scope(cluster_id: UUID, state: PassState) -> Scope | None:
    """None: the cluster does not exist."""
    cluster = cluster_read(cluster_id)
    if cluster is None:
        return None
    launch = launch_from_json(cluster.effective)
    live = rows(Operation, "cluster_id = %s AND state = ANY(%s)", cluster_id, list(LIVE))
    operation = live[0] if live else None
    steps = rows(StepRow, "operation_id = %s ORDER BY position", operation.id) if operation else ()
    fresh = state.observation
    observations = tuple(fresh.nodes) if fresh else tuple(node_observations(cluster_id))
    nodes = tuple(rows(Node, "cluster_id = %s ORDER BY id", cluster_id))
    snapshot = _snapshot(cluster, launch, operation, nodes, observations, state, timezone.now())
    return Scope(cluster, launch, operation, tuple(steps), nodes, observations, snapshot)


def with_snapshot(scope: Scope, state: PassState, now: datetime) -> Scope:
    """The same rows with a new snapshot. Reads nothing."""
    observations = tuple(state.observation.nodes) if state.observation else scope.observations
    snapshot = _snapshot(scope.cluster, scope.launch, scope.operation, scope.nodes, observations, state, now)
    return replace(scope, observations=observations, snapshot=snapshot)


def effective_goal(cluster: Cluster) -> Goal:
    """The goal that the state of the tenant allows: nothing runs when suspended, nothing stays when deleted."""
    if cluster.tenant.state in {TenantState.DELETING, TenantState.DELETED}:
        return Goal.DELETED
    if cluster.tenant.state == TenantState.SUSPENDED and cluster.goal == Goal.RUNNING:
        return Goal.STOPPED
    return Goal(cluster.goal)


def _snapshot(
    cluster: Cluster,
    launch: Launch,
    operation: Operation | None,
    rows: tuple[Node, ...],
    observations: tuple[NodeObservation, ...],
    state: PassState,
    now: datetime,
) -> Snapshot:
    nodes = tuple(_planned_node(row, launch, observations) for row in rows)
    planned = {node.ref for node in nodes}
    alive = [
        NodeRef(observation.name, observation.attempt)
        for observation in observations
        if observation.run == cluster.run and observation.state in ALIVE
    ]
    fresh = state.observation
    return Snapshot(
        now=now,
        goal=effective_goal(cluster),
        phase=Phase(cluster.phase),
        generation=cluster.generation,
        observed_generation=cluster.observed_generation,
        run=cluster.run,
        groups=_wanted_groups(launch),
        nodes=nodes,
        isolated=cluster.isolated_run == cluster.run,
        restart_generation=cluster.restart_generation,
        link_version=cluster.link_version,
        link_version_given=max(cluster.link_version_given, state.link_version),
        force=cluster.force,
        drain_seconds=cluster.drain_seconds,
        deadline=operation.deadline if operation else None,
        last_action=cluster.last_action,
        last_action_at=cluster.last_action_at,
        last_write_at=cluster.last_write_at,
        last_problem=Problem(cluster.reason, cluster.message),
        used_attempts=cluster.used_attempts,
        draining=frozenset(cluster.draining),
        drift=tuple(cluster.drift),
        released=cluster.released,
        fresh=fresh is not None,
        exists=fresh.exists if fresh else True,
        volumes=parse_node_names(fresh.volumes) if fresh else frozenset(),
        stuck=fresh.stuck if fresh else (),
        orphan_attempts=tuple(ref for ref in alive if ref not in planned),
        old_runs=any(observation.run < cluster.run for observation in observations),
        observed_at=state.observed_at if fresh else cluster.observed_at,
        executed=state.executed,
        loads=state.loads,
        problem=state.problem,
    )


def _wanted_groups(launch: Launch) -> tuple[WantedGroup, ...]:
    roles = {role.name: role for role in launch.app.roles}
    return tuple(
        WantedGroup(
            name=group.name,
            role=group.role,
            count=group.count,
            critical=roles[group.role].critical,
            drains=bool(roles[group.role].hooks.drain),
        )
        for group in launch.groups
    )


def _planned_node(row: Node, launch: Launch, observations: tuple[NodeObservation, ...]) -> PlannedNode:
    role = launch.app.role(row.role)
    current = (o for o in observations if (o.run, o.name, o.attempt) == (row.run, row.name, row.attempt))
    return PlannedNode(
        name=row.name,
        group=row.group,
        role=row.role,
        index=row.index,
        run=row.run,
        attempt=row.attempt,
        attempt_generation=row.attempt_generation,
        critical=role.critical,
        drains=bool(role.hooks.drain),
        confirmed=row.confirmed,
        ending=row.ending,
        leaving=row.leaving,
        drain_until=row.drain_until,
        failures=row.failures,
        retry_at=row.retry_at,
        restart_generation=row.restart_generation,
        observation=next(current, None),
    )
