"""What a change of a tenant means to its clusters."""

from typing import Any
from uuid import UUID

from django.db import connection

from controlplane.clusters import rights
from controlplane.work.models import Kind
from controlplane.work.queries import wake_statement
from controlplane.work.wake import wake
from tenants.signals import rights_lost, sessions_ended, tenant_changed

_WAKE_ALL = wake_statement("""
SELECT %s, id, tenant_id, clock_timestamp()
  FROM clusters_cluster WHERE tenant_id = %s AND phase <> 'deleted' ORDER BY id
""")


def connect() -> None:
    tenant_changed.connect(_on_change, dispatch_uid="clusters")
    rights_lost.connect(_on_loss, dispatch_uid="clusters")
    sessions_ended.connect(_on_sessions_ended, dispatch_uid="clusters")


def _on_loss(sender: object, *, user_id: UUID, tenant_id: UUID | None, **_: Any) -> None:
    rights.user_rights_lost(user_id, tenant_id)


def _on_sessions_ended(sender: object, *, user_id: UUID, **_: Any) -> None:
    rights.links_replace(rights.opened_by(user_id))


def _on_change(sender: object, *, tenant_id: UUID, change: str, **_: Any) -> None:
    if change == "state":
        _look_at_all(tenant_id)


def _look_at_all(tenant_id: UUID) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_WAKE_ALL, [Kind.CLUSTER, tenant_id])
    wake(Kind.TENANT, tenant_id, tenant_id=tenant_id)
