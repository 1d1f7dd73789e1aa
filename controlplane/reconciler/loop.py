"""One pass over one cluster: read, plan, record, act, and again until there is nothing to do at once."""

import time
from dataclasses import replace

from controlplane.clusters.phases import Goal
from controlplane.metrics import instruments
from controlplane.provisioners.base import Permanent, Temporary
from controlplane.reconciler import acts, trouble
from controlplane.reconciler.plan import plan
from controlplane.reconciler.record import Stale, record
from controlplane.reconciler.scope import Learned, read
from controlplane.reconciler.view import Act, Trouble
from controlplane.work.claim import Claimed
from controlplane.work.models import Kind
from controlplane.work.wake import forget
from tenants.errors import QuotaExceeded

# A pass ends well inside its lease; what is left is due again at once.
PASS_SECONDS = 15


def reconcile(claimed: Claimed) -> float | None:
    """Seconds until the next look; None: at rest. Raises LostLease, Later."""
    learned, ends = Learned(), time.monotonic() + PASS_SECONDS
    while time.monotonic() < ends:
        scope = read(claimed.key, learned)
        if scope is None:
            forget(Kind.CLUSTER, claimed.key)
            return None
        step = plan(scope.view)
        try:
            record(claimed, scope, step, learned.observed)
        except Stale:
            continue
        except QuotaExceeded as refusal:
            return trouble.wait_for_room(claimed, scope, refusal)
        if step.act is None:
            if step.next_in == 0:
                continue
            return step.next_in
        try:
            with instruments.RECONCILE.labels(step.act).time():
                learned = acts.carry_out(scope, step, learned)
        except Temporary as error:
            trouble.stand_still(claimed, scope, error)
        except Permanent as error:
            if scope.view.goal is not Goal.RUNNING or step.act in {Act.LOOK, Act.END_RUN}:
                # Going away never fails: it is tried for ever, and says why it is not done.
                trouble.stand_still(claimed, scope, Temporary(error.reason, error.message, delay=10))
            learned = replace(learned, trouble=Trouble(error.reason, error.message), observed=None)
    return 0
