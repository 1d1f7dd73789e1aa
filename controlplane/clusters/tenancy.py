"""What a change of a tenant or of its members does to clusters."""

from typing import Any
from uuid import UUID

from controlplane.clusters import rights
from controlplane.clusters.queries.writes import wake_clusters_of
from controlplane.work.models import Kind
from controlplane.work.wake import wake
from tenants.signals import rights_lost, sessions_ended, tenant_changed


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
        wake_clusters_of(tenant_id)
        wake(Kind.TENANT, tenant_id, tenant_id=tenant_id)
