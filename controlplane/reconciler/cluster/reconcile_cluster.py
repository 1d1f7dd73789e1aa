"""One reconcile pass over one cluster: read, plan, record, execute; again until nothing is due at once."""

import time
from dataclasses import replace

from django.db import transaction

from controlplane.clusters.phases import Goal
from controlplane.metrics import instruments
from controlplane.provisioners.base import NotYet, Permanent, SiteUnknown
from controlplane.reconciler.cluster.action import Action, ActionKind
from controlplane.reconciler.cluster.execute import execute
from controlplane.reconciler.cluster.plan import plan
from controlplane.reconciler.cluster.postpone import (
    postpone_over_quota,
    postpone_refused,
    postpone_unknown,
)
from controlplane.reconciler.cluster.queries import cluster_lock
from controlplane.reconciler.cluster.record import Stale, record, set_claim
from controlplane.reconciler.cluster.scope import PassState, Scope, read_scope, with_snapshot
from controlplane.reconciler.cluster.snapshot import Decision, Problem
from controlplane.reconciler.site.observations import replace_observations
from controlplane.work.claim import Claimed, require
from controlplane.work.models import Kind
from controlplane.work.wake import forget
from tenants.errors import QuotaExceeded

# A pass ends well before its lease. What is left is due again at once.
PASS_SECONDS = 15
# Far more decisions without an action than any plan takes in a row; it bounds the transaction.
DECISIONS_AT_ONCE = 8
GOING_AWAY_DELAY = 10.0


def reconcile_cluster(claimed: Claimed) -> float | None:
    """Returns the seconds until the next pass; None: rest until woken. Raises LostLease, RetryLater."""
    state, ends_at = PassState(), time.monotonic() + PASS_SECONDS
    scope: Scope | None = None
    while time.monotonic() < ends_at:
        scope = scope or read_scope(claimed.key, state)
        if scope is None:
            forget(Kind.CLUSTER, claimed.key)
            return None
        try:
            scope, decision = _decide(claimed, scope, state)
        except Stale:
            # The change may be newer than the observation of this pass.
            scope, state = None, replace(state, observation=None)
            continue
        except QuotaExceeded as error:
            # Nothing was recorded, but the instances were changed: read them again.
            scope = read_scope(claimed.key, state)
            return postpone_over_quota(claimed, scope, error) if scope else None
        if decision.action is not None:
            state = _execute(claimed, scope, decision, decision.action, state)
        elif decision.next_in != 0:
            return decision.next_in
    return 0


@transaction.atomic
def _decide(claimed: Claimed, scope: Scope, state: PassState) -> tuple[Scope, Decision]:
    """Plan and record in one transaction, until an action or a pause is due. Rows are not read again.

    Raises LostLease, Stale, QuotaExceeded; then nothing is stored.
    """
    require(claimed)
    # Observations are locked before the cluster, in the order that all writers of observations keep.
    if state.observation is not None:
        replace_observations({scope.cluster.id: state.observation})
    now, different = cluster_lock(scope.cluster), False
    if now is None:
        raise Stale
    for _ in range(DECISIONS_AT_ONCE):
        scope = with_snapshot(scope, state, now)
        decision = plan(scope.snapshot)
        scope, changed = record(scope, decision)
        different |= changed
        if decision.action is not None or decision.next_in != 0:
            break
    if different:
        set_claim(scope, decision)
    return scope, decision


def _execute(
    claimed: Claimed, scope: Scope, decision: Decision, action: Action, state: PassState
) -> PassState:
    try:
        with instruments.RECONCILE.labels(str(action.kind)).time():
            return execute(scope, decision, action, state)
    except SiteUnknown as error:
        postpone_unknown(claimed, scope, error)
    except NotYet as error:
        postpone_refused(claimed, scope, error)
    except Permanent as error:
        if scope.snapshot.goal is not Goal.RUNNING or action.kind is ActionKind.END_RUN:
            # Stopping and deleting never fail: they are tried again, and say why they are not done.
            postpone_refused(claimed, scope, NotYet(error.reason, error.message, delay=GOING_AWAY_DELAY))
        return replace(state, problem=Problem(error.reason, error.message), observation=None)
