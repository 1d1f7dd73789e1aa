"""When a pass cannot continue: recording why, and deciding when to try again."""

from datetime import timedelta
from typing import NoReturn

import structlog
from django.db import transaction
from django.db.models import F

from controlplane.clusters.models import Cluster, Operation
from controlplane.provisioners.base import InProgress, NotYet, SiteUnknown, TenantMissing
from controlplane.reconciler.cluster.scope import Scope
from controlplane.work.claim import Claimed, require
from controlplane.work.loop import RetryLater, backoff
from tenants.errors import QuotaExceeded

log = structlog.get_logger(__name__)

QUOTA_SECONDS = 30.0


def postpone_unknown(claimed: Claimed, scope: Scope, error: SiteUnknown) -> NoReturn:
    """The site does not answer: stop the clock of the deadline until the next try. Raises RetryLater, LostLease."""
    delay = _delay(claimed, scope, error)
    with transaction.atomic():
        require(claimed)
        _record_problem(scope, error.reason, error.message)
        if scope.operation and scope.operation.deadline:
            Operation.objects.filter(id=scope.operation.id).update(
                deadline=F("deadline") + timedelta(seconds=delay)
            )
    raise RetryLater(delay) from error


def postpone_refused(claimed: Claimed, scope: Scope, error: NotYet) -> NoReturn:
    """The site refuses for now: the deadline stands, and the next try is no later. Raises RetryLater, LostLease."""
    delay = _delay(claimed, scope, error)
    deadline, now = scope.snapshot.deadline, scope.snapshot.now
    if deadline and deadline > now:
        delay = min(delay, (deadline - now).total_seconds())
    with transaction.atomic():
        require(claimed)
        _record_problem(scope, error.reason, error.message)
        if isinstance(error, TenantMissing):
            Cluster.objects.filter(id=scope.cluster.id).update(isolated_run=0, revision=F("revision") + 1)
    raise RetryLater(delay) from error


def postpone_over_quota(claimed: Claimed, scope: Scope, error: QuotaExceeded) -> float:
    """A cluster that is to run again after a suspension exceeds the quota: it stays stopped and says so.

    Returns the seconds until the next try. Raises LostLease.
    """
    with transaction.atomic():
        require(claimed)
        _record_problem(scope, error.reason, error.detail)
    return QUOTA_SECONDS


def _delay(claimed: Claimed, scope: Scope, error: SiteUnknown | NotYet) -> float:
    """Seconds: as the site says, and longer after each failed pass in a row."""
    log.info("pass_postponed", cluster=str(scope.cluster.id), reason=error.reason, error=error.message[:200])
    if isinstance(error, InProgress):
        return error.delay
    return max(error.delay, backoff(claimed.attempts) / 2)


def _record_problem(scope: Scope, reason: str, message: str) -> None:
    cluster = scope.cluster
    if (cluster.reason, cluster.message) != (reason[:64], message[:1000]):
        Cluster.objects.filter(id=cluster.id, revision=cluster.revision).update(
            reason=reason[:64], message=message[:1000], revision=F("revision") + 1
        )
