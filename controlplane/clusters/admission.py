"""The one call of the ledger that admits clusters, so that its answers are counted in the metrics."""

from functools import partial

from django.db import transaction

from controlplane.clusters.models import Cluster
from controlplane.metrics import instruments
from tenants import quota
from tenants.amounts import Amounts
from tenants.errors import QuotaExceeded


def admit(cluster: Cluster, amounts: Amounts) -> None:
    """Set the claim of the cluster. Call it last in a transaction. Raises QuotaExceeded, NotFound."""
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
