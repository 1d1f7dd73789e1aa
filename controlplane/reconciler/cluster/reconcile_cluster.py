"""One pass over one cluster: read, plan, record, act, and again until there is nothing to do at once."""

import time
from dataclasses import replace

from django.db import transaction

from controlplane.clusters.phases import Goal
from controlplane.metrics import instruments
from controlplane.provisioners.base import NotYet, Permanent, SiteUnknown
from controlplane.reconciler.cluster import execute as acts
from controlplane.reconciler.cluster import postpone as trouble
from controlplane.reconciler.cluster.plan import plan
from controlplane.reconciler.cluster.queries import as_read
from controlplane.reconciler.cluster.record import Stale, hold, record
from controlplane.reconciler.cluster.scope import Learned, Scope, read, viewed
from controlplane.reconciler.cluster.snapshot import READS, Act, Step, Trouble
from controlplane.reconciler.site.observations import replace_all
from controlplane.work.claim import Claimed, require
from controlplane.work.models import Kind
from controlplane.work.wake import forget
from tenants.errors import QuotaExceeded

# A pass ends well inside its lease; what is left is due again at once.
PASS_SECONDS = 15
# Far more than any plan takes without an act; no transaction goes on for ever.
STEPS_AT_ONCE = 8


def reconcile(claimed: Claimed) -> float | None:
    """Seconds until the next look; None: at rest. Raises LostLease, RetryLater."""
    learned, ends = Learned(), time.monotonic() + PASS_SECONDS
    scope: Scope | None = None
    while time.monotonic() < ends:
        scope = scope or read(claimed.key, learned)
        if scope is None:
            forget(Kind.CLUSTER, claimed.key)
            return None
        try:
            scope, step = _decide(claimed, scope, learned)
        except Stale:
            # Whoever wrote may know better than what was seen before.
            scope, learned = None, replace(learned, observed=None)
            continue
        except QuotaExceeded as refusal:
            return _wait_for_room(claimed, learned, refusal)
        if step.act is None:
            if step.next_in == 0:
                continue
            return step.next_in
        learned = _act(claimed, scope, step, learned)
    return 0


@transaction.atomic
def _decide(claimed: Claimed, scope: Scope, learned: Learned) -> tuple[Scope, Step]:
    """Plan and record up to the next thing to be done, in one transaction; nothing that is known is read again.

    Raises LostLease, Stale, QuotaExceeded; then nothing is stored.
    """
    require(claimed)
    # What was seen comes before the cluster, as with everybody who takes in news.
    if learned.observed is not None:
        replace_all({scope.cluster.id: learned.observed})
    now, different = as_read(scope.cluster), False
    if now is None:
        raise Stale
    for _ in range(STEPS_AT_ONCE):
        scope = viewed(scope, learned, now)
        step = plan(scope.view)
        scope, changed = record(scope, step)
        different |= changed
        if step.act is not None or step.next_in != 0:
            break
    if different:
        hold(scope, step)
    return scope, step


def _act(claimed: Claimed, scope: Scope, step: Step, learned: Learned) -> Learned:
    try:
        with instruments.RECONCILE.labels(str(step.act)).time():
            return acts.carry_out(scope, step, learned)
    except SiteUnknown as error:
        trouble.wait_for_site(claimed, scope, error)
    except NotYet as error:
        if step.act in READS:
            # What could not be read is unknown, whatever the reason.
            unread = SiteUnknown(error.reason, error.message, delay=error.delay)
            trouble.wait_for_site(claimed, scope, unread)
        trouble.wait_for_refusal(claimed, scope, error)
    except Permanent as error:
        if step.act in READS:
            trouble.wait_for_site(claimed, scope, SiteUnknown(error.reason, error.message, delay=10))
        if scope.view.goal is not Goal.RUNNING or step.act is Act.END_RUN:
            # Going away never fails: it is tried for ever, and says why it is not done.
            trouble.wait_for_refusal(claimed, scope, NotYet(error.reason, error.message, delay=10))
        return replace(learned, trouble=Trouble(error.reason, error.message), observed=None)


def _wait_for_room(claimed: Claimed, learned: Learned, refusal: QuotaExceeded) -> float | None:
    """What was to be recorded is not: the rows are read anew."""
    scope = read(claimed.key, learned)
    return trouble.wait_for_room(claimed, scope, refusal) if scope else None
