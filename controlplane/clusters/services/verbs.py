"""Start, stop, restart, resize, delete: each begins a generation, or answers with the same operation under way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db import transaction

from controlplane.clusters import amounts
from controlplane.clusters.access import cluster_for, operate
from controlplane.clusters.admission import admit
from controlplane.clusters.capacity import require_room_ever
from controlplane.clusters.models import Cluster, Operation
from controlplane.clusters.models.operation import State
from controlplane.clusters.operations import (
    STEPS,
    live_operation,
    operation_begin,
    operation_end,
    resize_steps,
)
from controlplane.clusters.phases import FITS, GOAL_OF, SUPERSEDES, Phase, Verb
from controlplane.clusters.sites import require_allowed
from controlplane.work.models import Kind
from controlplane.work.wake import wake
from templates.launch import resize
from templates.schema import Launch
from tenants import audit
from tenants.access import Access
from tenants.errors import Conflict, Invalid, PreconditionFailed

# These need a tenant that is not suspended; stopping and deleting do not.
NEEDS_ACTIVE = frozenset({Verb.START, Verb.RESTART, Verb.RESIZE, Verb.CONFIGURE})


@dataclass(frozen=True, slots=True)
class VerbRequest:
    """if_match: the generation that the user has read; None accepts any. groups, drain_seconds: for resize.

    force: for stop and delete. nodes: for restart, by name; empty means all.
    """

    verb: Verb
    if_match: int | None = None
    force: bool = False
    groups: Mapping[str, Mapping[str, Any]] | None = None
    drain_seconds: int = 60
    nodes: Sequence[str] = ()


def cluster_start(*, access: Access, cluster: str, if_match: int | None = None) -> Cluster:
    return cluster_verb(access=access, cluster=cluster, request=VerbRequest(Verb.START, if_match))


def cluster_stop(
    *, access: Access, cluster: str, if_match: int | None = None, force: bool = False
) -> Cluster:
    return cluster_verb(access=access, cluster=cluster, request=VerbRequest(Verb.STOP, if_match, force))


def cluster_restart(
    *, access: Access, cluster: str, nodes: Sequence[str] = (), if_match: int | None = None
) -> Cluster:
    """Replace every node, or the named ones. Their volumes stay."""
    request = VerbRequest(Verb.RESTART, if_match, nodes=nodes)
    return cluster_verb(access=access, cluster=cluster, request=request)


def cluster_delete(
    *, access: Access, cluster: str, if_match: int | None = None, force: bool = False
) -> Cluster:
    return cluster_verb(access=access, cluster=cluster, request=VerbRequest(Verb.DELETE, if_match, force))


def cluster_resize(
    *,
    access: Access,
    cluster: str,
    groups: Mapping[str, Mapping[str, Any]],
    drain_seconds: int = 60,
    if_match: int | None = None,
) -> Cluster:
    """groups: name -> {"count": n}. Growth is admitted now; quota of nodes that leave is free once they are gone."""
    request = VerbRequest(Verb.RESIZE, if_match, groups=groups, drain_seconds=drain_seconds)
    return cluster_verb(access=access, cluster=cluster, request=request)


@transaction.atomic
def cluster_verb(*, access: Access, cluster: str, request: VerbRequest) -> Cluster:
    """Request one change. A change that is under way already is answered with its operation, and changes nothing.

    Raises NotFound, NeedsRole, PreconditionFailed, Invalid, Conflict OPERATION_IN_PROGRESS, WRONG_PHASE,
    TENANT_SUSPENDED or NEVER_FITS, QuotaExceeded.
    """
    found = cluster_for(access, cluster, lock=True)
    operate(access, found)
    if request.if_match is not None and request.if_match != found.generation:
        raise PreconditionFailed()
    target = target_of(found, request)
    require_nodes(found, request)
    live = live_operation(found)
    if live and is_under_way(found, live, request, target):
        _force(found, request)
        return found
    require_possible(access, found, live, request.verb)
    require_room(found, request.verb, target)
    if request.verb is Verb.START or grows(found, target):
        require_room_ever(found.site, target)
    if live:
        operation_end(live, State.CANCELLED, reason="SUPERSEDED", message=f"Superseded by {request.verb}.")
    _begin(access, found, request, target)
    return found


def target_of(cluster: Cluster, request: VerbRequest) -> Launch:
    """The launch of the cluster after the verb. Raises Invalid for a resize out of bounds."""
    return resize(cluster.launch, request.groups or {}) if request.verb is Verb.RESIZE else cluster.launch


def is_under_way(cluster: Cluster, live: Operation, request: VerbRequest, target: Launch) -> bool:
    if request.verb is Verb.START:
        return live.kind in {Verb.CREATE, Verb.START}
    if request.verb is Verb.RESIZE:
        return live.kind == Verb.RESIZE and target == cluster.launch
    if request.verb is Verb.RESTART:
        # Empty for a restart of all nodes.
        restarting = cluster.nodes.filter(restart_generation=live.generation)
        named = set(restarting.values_list("name", flat=True))
        return live.kind == Verb.RESTART and named == set(request.nodes)
    return live.kind == request.verb


def require_nodes(cluster: Cluster, request: VerbRequest) -> None:
    """Raises Invalid at the first named node that does not exist or is about to leave."""
    if not request.nodes:
        return
    existing = sorted(cluster.nodes.filter(leaving=False).values_list("name", flat=True))
    for position, name in enumerate(request.nodes):
        if name not in existing:
            raise Invalid.at(
                f"/nodes/{position}",
                f"There is no node of this name; there is: {', '.join(existing) or 'none'}.",
            )


def require_possible(access: Access, cluster: Cluster, live: Operation | None, verb: Verb) -> None:
    if live and live.kind not in SUPERSEDES[verb]:
        raise Conflict(
            "OPERATION_IN_PROGRESS",
            _what_to_do(cluster, live),
            operation={"id": str(live.id), "kind": live.kind, "state": live.state},
        )
    if not live and cluster.phase not in FITS[verb]:
        fitting = ", ".join(sorted(FITS[verb]))
        raise Conflict("WRONG_PHASE", f"The cluster is {cluster.phase}; {verb} needs one of: {fitting}.")
    if verb in NEEDS_ACTIVE:
        access.require_active()


def _what_to_do(cluster: Cluster, live: Operation) -> str:
    """Advice to the user. A stop and a deletion cannot be cancelled, so it says what they wait for."""
    if live.kind not in {Verb.STOP, Verb.DELETE}:
        return f"A {live.kind} is under way. Wait for it, cancel it, or stop the cluster."
    why = f" It waits: {cluster.message}" if cluster.message else ""
    return f"A {live.kind} is under way and cannot be cancelled; try again once it is done.{why}"


def require_room(cluster: Cluster, verb: Verb, target: Launch) -> None:
    """Raises Conflict SITE_NOT_ALLOWED for changes that run more on a site that was denied to the tenant."""
    if verb is Verb.START or grows(cluster, target):
        require_allowed(cluster.site, cluster.tenant_id)


def grows(cluster: Cluster, target: Launch) -> bool:
    before = {group.name: group.count for group in cluster.launch.groups}
    return any(group.count > before.get(group.name, 0) for group in target.groups)


def _force(cluster: Cluster, request: VerbRequest) -> None:
    """Let a stop or delete that is under way skip draining and grace, if the request says so."""
    if request.force and not cluster.force:
        cluster.force, cluster.revision = True, cluster.revision + 1
        cluster.save(update_fields=["force", "revision"])
        wake(Kind.CLUSTER, cluster.id, tenant_id=cluster.tenant_id)


def _begin(access: Access, cluster: Cluster, request: VerbRequest, target: Launch) -> None:
    before = cluster.launch
    cluster.goal = GOAL_OF.get(request.verb, cluster.goal)
    cluster.generation += 1
    cluster.revision += 1
    cluster.force = request.force
    cluster.requested = with_counts(cluster.requested, before, target)
    cluster.launch = target
    cluster.drain_seconds = request.drain_seconds
    if request.verb is Verb.RESTART and not request.nodes:
        cluster.restart_generation = cluster.generation
    cluster.save(
        update_fields=[
            "goal", "generation", "revision", "force", "requested", "effective", "drain_seconds", "restart_generation"
        ]
    )  # fmt: skip
    if request.nodes:
        cluster.nodes.filter(name__in=request.nodes).update(restart_generation=cluster.generation)
    operation_begin(
        cluster,
        verb=request.verb,
        actor=access.actor.username,
        steps=_steps(cluster, request.verb, before, target),
    )
    audit.record(
        actor=access.actor,
        verb=f"cluster.{request.verb}",
        target=f"cluster/{cluster.name}",
        tenant=access.tenant,
        detail={
            "groups": {group.name: group.count for group in target.groups},
            "force": request.force,
            **({"nodes": list(request.nodes)} if request.nodes else {}),
        },
    )
    wake(Kind.CLUSTER, cluster.id, tenant_id=cluster.tenant_id)
    if request.verb in {Verb.START, Verb.RESIZE}:
        admit(cluster, amounts.needed(cluster, request.verb, before, target))


def _steps(cluster: Cluster, verb: Verb, before: Launch, after: Launch) -> tuple[str, ...]:
    """The steps of the operation. A resize of a stopped cluster does nothing before the next start."""
    if verb is not Verb.RESIZE or cluster.phase == Phase.STOPPED:
        return STEPS[verb]
    counts = {group.name: group.count for group in before.groups}
    return resize_steps(
        grows=any(group.count > counts[group.name] for group in after.groups),
        shrinks=any(group.count < counts[group.name] for group in after.groups),
    )


def with_counts(requested: Mapping[str, Any], before: Launch, after: Launch) -> dict[str, Any]:
    """The request as JSON with the counts that a resize changed, so that the next configuration keeps them."""
    groups = {name: dict(group) for name, group in requested["groups"].items()}
    counts = {group.name: group.count for group in before.groups}
    for group in after.groups:
        if group.count != counts[group.name]:
            groups.setdefault(group.name, {})["count"] = group.count
    return {**requested, "groups": groups}


def resized(current: Launch, counts: Mapping[str, int]) -> Launch:
    """The launch with these counts, even where they break the bounds of its template."""
    groups = tuple(replace(group, count=counts.get(group.name, group.count)) for group in current.groups)
    return replace(current, groups=groups)
