"""What a change of a tenant means to its clusters."""

from typing import Any
from uuid import UUID

from django.db import connection

from controlplane.clusters.models import ClusterShare
from controlplane.work.models import Kind
from controlplane.work.wake import wake, waking
from tenants.models import Membership
from tenants.signals import tenant_changed

_WAKE_ALL = waking("""
SELECT %s, id, tenant_id, clock_timestamp()
  FROM clusters_cluster WHERE tenant_id = %s AND phase <> 'deleted' ORDER BY id
""")


def connect() -> None:
    tenant_changed.connect(_on_change, dispatch_uid="clusters")


def _on_change(
    sender: object, *, tenant_id: UUID, change: str, user_id: UUID | None = None, **_: Any
) -> None:
    if change == "members" and user_id is not None:
        _drop_shares(tenant_id, user_id)
    if change == "state":
        _look_at_all(tenant_id)


def _drop_shares(tenant_id: UUID, user_id: UUID) -> None:
    """Who leaves the tenant leaves what was shared with them there."""
    if not Membership.objects.filter(tenant_id=tenant_id, user_id=user_id).exists():
        ClusterShare.objects.filter(content_object__tenant_id=tenant_id, user_id=user_id).delete()


def _look_at_all(tenant_id: UUID) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_WAKE_ALL, [Kind.CLUSTER, tenant_id])
    wake(Kind.TENANT, tenant_id, tenant_id=tenant_id)
