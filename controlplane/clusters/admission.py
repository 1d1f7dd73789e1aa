"""The one door through which requests come to the ledger, so that what it answers is counted."""

from functools import partial

from django.db import transaction

from controlplane.clusters.models import Cluster
from controlplane.metrics import instruments
from tenants import quota
from tenants.amounts import Amounts
from tenants.errors import QuotaExceeded


def admit(cluster: Cluster, amounts: Amounts) -> None:
    """Hold this much from now on; the last statement of a transaction. Raises QuotaExceeded, NotFound."""
    try:
        quota.claim_set(
            owner_id=cluster.id,
            tenant_id=cluster.tenant_id,
            user_id=cluster.owner_id,
            label=cluster.name,
            site=cluster.site.name,
            amounts=amounts,
        )
    except QuotaExceeded:
        instruments.ADMISSION.labels("refused").inc()
        raise
    transaction.on_commit(partial(instruments.ADMISSION.labels("admitted").inc))
