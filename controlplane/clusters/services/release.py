from django.db import transaction

from controlplane.clusters.access import cluster_for
from controlplane.clusters.models import Cluster
from controlplane.clusters.phases import Goal, Phase
from controlplane.work.models import Kind
from controlplane.work.wake import wake
from tenants import audit
from tenants.access import Access, allow
from tenants.errors import Conflict

RELEASED = "RELEASED"


@transaction.atomic
def cluster_release(*, access: Access, cluster: str) -> Cluster:
    """Release a cluster whose deletion cannot be completed: its name and its quota are free at once.

    The message of the tombstone names the objects that are left at the site; they are removed as soon as possible.
    Idempotent. Raises NotFound, NeedsRole, Conflict WRONG_PHASE.
    """
    found = cluster_for(access, cluster, lock=True)
    allow(access, "cluster.release")
    if found.released:
        return found
    if found.goal != Goal.DELETED or found.phase == Phase.DELETED:
        raise Conflict(
            "WRONG_PHASE", f"The cluster is {found.phase}; only one that is being deleted can be released."
        )
    left = found.message or "nothing is known of what is left"
    found.released, found.reason = True, RELEASED
    found.message = f"Released by {access.actor.username}: {left}"[:1000]
    found.revision += 1
    found.save(update_fields=["released", "reason", "message", "revision"])
    audit.record(
        actor=access.actor,
        verb="cluster.release",
        target=f"cluster/{found.name}",
        tenant=access.tenant,
        detail={"left": left, "site": found.site.name},
    )
    wake(Kind.CLUSTER, found.id, tenant_id=found.tenant_id)
    return found
