"""Executing the action of a decision at the cluster's site. Nothing is decided here."""

from dataclasses import replace

from controlplane.clusters.models import Event
from controlplane.clusters.queries.instances import rows
from controlplane.clusters.secrets import keys_of
from controlplane.provisioners.base import (
    Desired,
    DesiredNode,
    NodeState,
    NotYet,
    Permanent,
    SiteUnknown,
)
from controlplane.reconciler.cluster import node_logs
from controlplane.reconciler.cluster.action import Action, ActionKind
from controlplane.reconciler.cluster.scope import PassState, Scope
from controlplane.reconciler.cluster.snapshot import Decision
from controlplane.reconciler.site import drift
from controlplane.reconciler.site.queries import EVENTS, database_now
from tenants.models import Limit

UNREADABLE_DELAY = 10.0


def execute(scope: Scope, decision: Decision, action: Action, state: PassState) -> PassState:
    """Returns what the pass knows afterwards.

    Raises SiteUnknown, and for actions that write also NotYet and Permanent. A refused read is SiteUnknown too:
    what cannot be read is unknown, whatever the reason.
    """
    if not action.reads:
        _write(scope, decision, action)
        given = scope.cluster.link_version if action.kind is ActionKind.APPLY else state.link_version
        return PassState(executed=action, loads=state.loads, link_version=given)
    try:
        return _read(scope, decision, action, state)
    except NotYet as error:
        raise SiteUnknown(error.reason, error.message, delay=error.delay) from error
    except Permanent as error:
        raise SiteUnknown(error.reason, error.message, delay=UNREADABLE_DELAY) from error


def _read(scope: Scope, decision: Decision, action: Action, state: PassState) -> PassState:
    if action.kind is ActionKind.LOAD:
        return replace(state, loads=scope.provisioner.load(scope.ref, action.nodes))
    began = database_now()
    observation = scope.provisioner.look(scope.ref, [node.name for node in decision.nodes])
    return replace(state, observation=observation, observed_at=began)


def _write(scope: Scope, decision: Decision, action: Action) -> None:
    provisioner, cluster = scope.provisioner, scope.ref
    match action.kind:
        case ActionKind.ENSURE:
            [limit] = rows(Limit, "tenant_id = %s AND user_id IS NULL", cluster.tenant_id)
            found = provisioner.ensure_tenant(cluster.tenant_id, cluster.tenant, limit.limits)
            drift.tenant_repaired(scope.cluster.site, scope.cluster.tenant, found)
        case ActionKind.APPLY:
            node_logs.keep(scope, [node for node in decision.nodes if node.ending])
            provisioner.apply(desired(scope, decision, action))
        case ActionKind.DRAIN:
            provisioner.begin_drain(cluster, action.nodes, scope.snapshot.drain_seconds)
        case ActionKind.END_RUN:
            node_logs.keep(scope, scope.snapshot.nodes)
            provisioner.end_run(cluster, action.run, force=action.force)
        case ActionKind.REMOVE:
            node_logs.keep(scope, scope.snapshot.nodes)
            provisioner.remove(cluster, force=action.force)


def desired(scope: Scope, decision: Decision, action: Action) -> Desired:
    """What an APPLY asks of the site."""
    each, names = {group.name: group.each for group in scope.launch.groups}, action.names
    return Desired(
        cluster=scope.ref,
        run=decision.run,
        generation=scope.snapshot.generation,
        launch=scope.launch,
        nodes=tuple(
            DesiredNode(
                name=node.name,
                attempt=node.attempt,
                group=node.group,
                role=node.role,
                index=node.index,
                each=each[node.group],
            )
            for node in decision.nodes
            if node.name in names and not node.ending
        ),
        keeps=frozenset(node.name for node in decision.nodes if not (node.leaving and node.ending)),
        has_data=scope.cluster.ready_at is not None,
        repair=bool(scope.snapshot.drift),
        used=_used_names(scope, decision),
        restart=scope.snapshot.restart_generation,
        secrets=keys_of(scope.cluster, scope.launch.app),
        link_version=scope.cluster.link_version,
    )


def _used_names(scope: Scope, decision: Decision) -> frozenset[str]:
    """The nodes that were ready once, where the cluster itself never was. Their volumes may hold data."""
    first_attempts = not any(node.confirmed or node.attempt > 1 for node in decision.nodes)
    if scope.cluster.ready_at is not None or (decision.run == 1 and first_attempts):
        return frozenset()
    ready = Event.objects.filter(cluster=scope.cluster, kind=EVENTS[NodeState.READY])
    return frozenset(ready.values_list("node", flat=True))
