"""When a pass cannot go on: what is written down about it, and when to come back."""

from datetime import timedelta
from typing import NoReturn

import structlog
from django.db import transaction
from django.db.models import F

from controlplane.clusters.models import Cluster, Operation
from controlplane.provisioners.base import InProgress, NotYet, SiteUnknown, Temporary, TenantMissing
from controlplane.reconciler.cluster.scope import Scope
from controlplane.work.claim import Claimed, require
from controlplane.work.loop import RetryLater, backoff
from tenants.errors import QuotaExceeded

log = structlog.get_logger(__name__)

ROOM_SECONDS = 30.0


def wait_for_site(claimed: Claimed, scope: Scope, error: SiteUnknown) -> NoReturn:
    """Say why nothing is known, move the deadline by the time that is lost, come back later. Raises RetryLater."""
    delay = _delay(claimed, scope, error)
    with transaction.atomic():
        require(claimed)
        _say(scope, error.reason, error.message)
        if scope.operation and scope.operation.deadline:
            Operation.objects.filter(id=scope.operation.id).update(
                deadline=F("deadline") + timedelta(seconds=delay)
            )
    raise RetryLater(delay) from error


def wait_for_refusal(claimed: Claimed, scope: Scope, error: NotYet) -> NoReturn:
    """Say why the site refuses and come back later, at the deadline at the latest. Raises RetryLater."""
    delay = _delay(claimed, scope, error)
    if scope.view.deadline and scope.view.deadline > scope.view.now:
        delay = min(delay, (scope.view.deadline - scope.view.now).total_seconds())
    with transaction.atomic():
        require(claimed)
        _say(scope, error.reason, error.message)
        if isinstance(error, TenantMissing):
            Cluster.objects.filter(id=scope.cluster.id).update(isolated_run=0, revision=F("revision") + 1)
    raise RetryLater(delay) from error


def wait_for_room(claimed: Claimed, scope: Scope, refusal: QuotaExceeded) -> float:
    """What was stopped for its tenant's sake is to run again, and does not fit: it stays stopped and says so."""
    with transaction.atomic():
        require(claimed)
        _say(scope, refusal.reason, refusal.detail)
    return ROOM_SECONDS


def _delay(claimed: Claimed, scope: Scope, error: Temporary) -> float:
    log.info("site_unclear", cluster=str(scope.cluster.id), reason=error.reason, error=error.message[:200])
    if isinstance(error, InProgress):
        return error.delay
    return max(error.delay, backoff(claimed.attempts) / 2)


def _say(scope: Scope, reason: str, message: str) -> None:
    cluster = scope.cluster
    if (cluster.reason, cluster.message) != (reason[:64], message[:1000]):
        Cluster.objects.filter(id=cluster.id, revision=cluster.revision).update(
            reason=reason[:64], message=message[:1000], revision=F("revision") + 1
        )
