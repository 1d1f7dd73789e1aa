from collections.abc import Mapping
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F
from django.db.models.functions import Now

from tenants import audit, quota
from tenants.access import Access, allow, require_site_admin
from tenants.actors import Actor, system_actor
from tenants.errors import Conflict, NotFound
from tenants.models import ApiToken, Claim, Limit, Membership, Tenant, TenantState
from tenants.names import validate_name, validate_text
from tenants.signals import tenant_changed


def tenant_create(
    *,
    actor: Actor,
    name: str,
    display_name: str = "",
    limits: Mapping[str, int | None] | None = None,
) -> Tenant:
    """Creates a tenant without members. For site admins. NAME_TAKEN, INVALID.

    limits: in base units; a resource that is missing or None is unlimited.
    """
    require_site_admin(actor)
    tenant = Tenant(name=validate_name(name), display_name=_display_name(display_name))
    with transaction.atomic():
        try:
            with transaction.atomic():
                tenant.save(force_insert=True)
        except IntegrityError as error:
            raise Conflict("NAME_TAKEN", "A tenant has this name already. Choose another one.") from error
        Limit.objects.create(tenant=tenant)
        answer = quota.limits_put(tenant_id=tenant.pk, user_id=None, limits=limits or {})
        detail = {"limits": {row["resource"]: row["limit"] for row in answer.limits}}
        audit.record(actor=actor, verb="tenant.create", target=f"tenant/{name}", tenant=tenant, detail=detail)
        tenant_changed.send(sender=Tenant, tenant_id=tenant.pk, change="state", user_id=None)
    return tenant


def tenant_update(*, access: Access, display_name: str) -> Tenant:
    allow(access, "tenant.write")
    text = _display_name(display_name)
    with transaction.atomic():
        tenant = tenant_lock(access.tenant.pk)
        if tenant.display_name != text:
            tenant.display_name = text
            tenant.save(update_fields=["display_name"])
            _record(access.actor, "tenant.update", tenant, change="details", detail={"display_name": text})
    return tenant


def tenant_suspend(*, access: Access) -> Tenant:
    """Stops the tenant's clusters and refuses to start any. Their goals are kept for `tenant_resume`."""
    return _move(access, "tenant.suspend", (TenantState.ACTIVE,), TenantState.SUSPENDED)


def tenant_resume(*, access: Access) -> Tenant:
    """Ends the suspension. Clusters that were to run start again."""
    return _move(access, "tenant.resume", (TenantState.SUSPENDED,), TenantState.ACTIVE)


def tenant_delete(*, access: Access) -> Tenant:
    """Starts the deletion of everything in the tenant; `tenant_deleted` ends it. There is no undo."""
    return _move(access, "tenant.delete", (TenantState.ACTIVE, TenantState.SUSPENDED), TenantState.DELETING)


def tenant_deleted(*, tenant_id: UUID) -> None:
    """Ends the deletion, when nothing is held any more, and frees the name. IN_USE while something is held."""
    with transaction.atomic():
        tenant = Tenant.objects.select_for_update(no_key=True).get(pk=tenant_id)
        if tenant.state == TenantState.DELETED:
            return
        if tenant.state != TenantState.DELETING:
            raise Conflict("WRONG_PHASE", "The tenant is not being deleted.")
        _delete_limits(tenant)
        ApiToken.objects.filter(tenant=tenant).delete()
        Membership.objects.filter(tenant=tenant).delete()
        Tenant.objects.filter(pk=tenant_id).update(state=TenantState.DELETED, deleted_at=Now())
        _record(system_actor(), "tenant.deleted", tenant, change="state")


def tenant_lock(tenant_id: UUID) -> Tenant:
    """The row of the tenant, locked until commit against changes of its state and members. NOT_FOUND."""
    tenants = Tenant.objects.select_for_update(no_key=True).exclude(state=TenantState.DELETED)
    tenant = tenants.filter(pk=tenant_id).first()
    if tenant is None:
        raise NotFound
    return tenant


def _delete_limits(tenant: Tenant) -> None:
    """Deletes the limits while they are locked, so that a later claim finds the tenant gone. IN_USE."""
    # The ledger locks in the same order: the tenant's row, then the members' rows.
    rows = Limit.objects.select_for_update().filter(tenant=tenant)
    rows = rows.order_by(F("user_id").asc(nulls_first=True))
    held = any(row.held for row in rows)
    if held or Claim.objects.filter(tenant=tenant).exists():
        raise Conflict("IN_USE", "Clusters of the tenant still hold resources. Delete them first.")
    Limit.objects.filter(tenant=tenant).delete()


def _move(access: Access, verb: str, sources: tuple[str, ...], state: TenantState) -> Tenant:
    """Moves the tenant to `state`. A tenant that is there already is not changed and not audited."""
    allow(access, "tenant.write")
    with transaction.atomic():
        tenant = tenant_lock(access.tenant.pk)
        if tenant.state == state:
            return tenant
        if tenant.state not in sources:
            raise Conflict("WRONG_PHASE", f"The tenant is {tenant.state}, which does not allow this.")
        tenant.state = state
        tenant.save(update_fields=["state"])
        _record(access.actor, verb, tenant, change="state")
    return tenant


def _record(
    actor: Actor, verb: str, tenant: Tenant, *, change: str, detail: Mapping[str, str] | None = None
) -> None:
    audit.record(actor=actor, verb=verb, target=f"tenant/{tenant.name}", tenant=tenant, detail=detail)
    tenant_changed.send(sender=Tenant, tenant_id=tenant.pk, change=change, user_id=None)


def _display_name(text: str) -> str:
    return validate_text(text, "/display_name", longest=200, shortest=0)
