"""When a pass cannot go on: what is written down about it, and when to come back."""

from datetime import timedelta
from typing import NoReturn

import structlog
from django.db import transaction
from django.db.models import F

from controlplane.clusters.models import Cluster, Operation
from controlplane.provisioners.base import Temporary, TenantMissing
from controlplane.reconciler.scope import Scope
from controlplane.work.claim import Claimed, require
from controlplane.work.loop import Later, backoff
from tenants.errors import QuotaExceeded

log = structlog.get_logger(__name__)

ROOM_SECONDS = 30.0


def stand_still(claimed: Claimed, scope: Scope, error: Temporary) -> NoReturn:
    """Nothing is known: say why, move the deadline by the time that is lost, come back later. Raises Later."""
    delay = max(error.delay, backoff(claimed.attempts) / 2)
    log.info("site_unclear", cluster=str(scope.cluster.id), reason=error.reason, error=error.message[:200])
    with transaction.atomic():
        require(claimed)
        _say(scope, error.reason, error.message)
        if isinstance(error, TenantMissing):
            Cluster.objects.filter(id=scope.cluster.id).update(isolated_run=0)
        if scope.operation and scope.operation.deadline:
            Operation.objects.filter(id=scope.operation.id).update(
                deadline=F("deadline") + timedelta(seconds=delay)
            )
    raise Later(delay) from error


def wait_for_room(claimed: Claimed, scope: Scope, refusal: QuotaExceeded) -> float:
    """What was stopped for its tenant's sake is to run again, and does not fit: it stays stopped and says so."""
    with transaction.atomic():
        require(claimed)
        _say(scope, refusal.reason, refusal.detail)
    return ROOM_SECONDS


def _say(scope: Scope, reason: str, message: str) -> None:
    cluster = scope.cluster
    if (cluster.reason, cluster.message) != (reason[:64], message[:1000]):
        Cluster.objects.filter(id=cluster.id, revision=cluster.revision).update(
            reason=reason[:64], message=message[:1000], revision=F("revision") + 1
        )
