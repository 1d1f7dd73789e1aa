"""Carrying out what a step says at its site. Nothing is decided here."""

from dataclasses import replace

from controlplane.clusters.models import Event
from controlplane.clusters.queries.instances import rows
from controlplane.clusters.secrets import keys_of
from controlplane.provisioners.base import Desired, DesiredNode, NodeRef, NodeState
from controlplane.reconciler import drift, logs
from controlplane.reconciler.observations import EVENTS
from controlplane.reconciler.rows import database_now
from controlplane.reconciler.scope import Learned, Scope
from controlplane.reconciler.view import Act, Place, Step
from tenants.models import Limit


def carry_out(scope: Scope, step: Step, learned: Learned) -> Learned:
    """What the pass knows afterwards. Raises Temporary, Permanent."""
    site, cluster = scope.site, scope.ref
    match step.act:
        case Act.LOOK:
            began, names = database_now(), [place.name for place in step.places]
            return replace(learned, observed=site.look(cluster, names), observed_at=began)
        case Act.LOAD:
            return replace(learned, loads=site.load(cluster, _refs(step)))
        case Act.ENSURE:
            [limit] = rows(Limit, "tenant_id = %s AND user_id IS NULL", cluster.tenant_id)
            found = site.ensure_tenant(cluster.tenant_id, cluster.tenant, limit.limits)
            drift.fence_repaired(scope.cluster.site, scope.cluster.tenant, found)
        case Act.APPLY:
            logs.keep(scope, [place for place in step.places if place.ending])
            site.apply(desired(scope, step))
        case Act.DRAIN:
            site.begin_drain(cluster, _refs(step), scope.view.drain_seconds)
        case Act.END_RUN:
            logs.keep(scope, list(scope.view.places))
            site.end_run(cluster, int(step.token.split(":")[1]), force=scope.view.force)
        case Act.REMOVE:
            logs.keep(scope, list(scope.view.places))
            site.remove(cluster, force=scope.view.force)
    given = scope.cluster.link_version if step.act is Act.APPLY else learned.link_version
    return Learned(told=step.token, loads=learned.loads, link_version=given)


def desired(scope: Scope, step: Step) -> Desired:
    each = {group.name: group.each for group in scope.launch.groups}
    nodes = (place for place in step.places if place.name in step.names and not place.ending)
    return Desired(
        cluster=scope.ref,
        run=step.run,
        generation=scope.view.generation,
        launch=scope.launch,
        nodes=tuple(
            DesiredNode(
                name=place.name,
                attempt=place.attempt,
                group=place.group,
                role=place.role,
                index=place.index,
                each=each[place.group],
            )
            for place in nodes
        ),
        keeps=frozenset(place.name for place in step.places if not (place.leaving and place.ending)),
        has_data=scope.cluster.ready_at is not None,
        repair=bool(scope.view.drift),
        used=_used(scope, step),
        restart=scope.view.restart_generation,
        secrets=keys_of(scope.cluster, scope.launch.app),
        link_version=scope.cluster.link_version,
    )


def _used(scope: Scope, step: Step) -> frozenset[str]:
    """The nodes that were ready once, of a cluster that never was. Of first attempts nothing has to be asked."""
    first = step.run == 1 and not any(place.confirmed or place.attempt > 1 for place in step.places)
    if first or scope.cluster.ready_at is not None:
        return frozenset()
    ready = Event.objects.filter(cluster=scope.cluster, kind=EVENTS[NodeState.READY])
    return frozenset(ready.values_list("node", flat=True))


def _refs(step: Step) -> list[NodeRef]:
    return [_ref(place) for place in step.places if place.name in step.names]


def _ref(place: Place) -> NodeRef:
    return NodeRef(place.name, place.attempt)
