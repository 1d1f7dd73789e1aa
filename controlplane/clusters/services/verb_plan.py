from typing import Any

from controlplane.clusters import amounts, plans
from controlplane.clusters.access import cluster_for, operate
from controlplane.clusters.models import Cluster
from controlplane.clusters.operations import live_operation
from controlplane.clusters.phases import TRANSIENT, Phase, Verb
from controlplane.clusters.services.verbs import (
    VerbRequest,
    is_under_way,
    require_nodes,
    require_possible,
    require_room,
    target_of,
)
from templates.schema import Launch
from tenants.access import Access
from tenants.errors import PreconditionFailed

RUNS = (TRANSIENT | {Phase.READY, Phase.FAILED}) - {Phase.DELETING, Phase.STOPPING}


def cluster_verb_plan(*, access: Access, cluster: str, request: VerbRequest) -> dict[str, Any]:
    """The plan of cluster_verb. Raises the same but QuotaExceeded, as the plan shows the quota. Changes nothing."""
    found = cluster_for(access, cluster)
    operate(access, found)
    if request.if_match is not None and request.if_match != found.generation:
        raise PreconditionFailed()
    target, live = target_of(found, request), live_operation(found)
    require_nodes(found, request)
    if not (live and is_under_way(found, live, request, target)):
        require_possible(access, found, live, request.verb)
        require_room(found, request.verb, target)
    before, after = _before_and_after(found, request.verb, target)
    return plans.describe(
        access=access,
        verb=request.verb,
        owner_id=found.id,
        user_id=found.owner_id,
        before=before,
        after=after,
        claims=amounts.held_after(found, request.verb, target),
        peak=amounts.held_after(found, request.verb, target)
        if request.verb in {Verb.DELETE, Verb.STOP}
        else amounts.needed(found, request.verb, found.launch, target),
        template_id=found.template_revision.template_id,
        site=found.site,
    )


def _before_and_after(cluster: Cluster, verb: Verb, target: Launch) -> tuple[Launch | None, Launch | None]:
    """What runs now, and after the verb; None is nothing. Of a stopped cluster that is resized, what it keeps."""
    before = cluster.launch if cluster.phase in RUNS else None
    if verb in {Verb.STOP, Verb.DELETE}:
        return before, None
    if verb is Verb.RESIZE and cluster.phase == Phase.STOPPED:
        return cluster.launch, target
    return before, target
