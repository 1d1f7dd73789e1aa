from collections.abc import Mapping

from django.db import transaction

from tenants import audit, quota
from tenants.access import Access, allow
from tenants.amounts import quantity
from tenants.errors import Invalid
from tenants.models import Tenant
from tenants.quota import LimitsAnswer
from tenants.services.members import member_of
from tenants.services.tenants import tenant_lock
from tenants.signals import tenant_changed


def limits_put(
    *, access: Access, limits: Mapping[str, int | None], username: str | None = None
) -> LimitsAnswer:
    """Sets the limits of the named resources.

    username: None for the limits of the tenant, which site admins set; else those of a member, which admins of the
    tenant set. limits: in base units; None means unlimited. A limit below what is held is accepted; see
    quota.LimitsAnswer. INVALID, NO_SUCH_MEMBER.
    """
    allow(access, "tenant.write_limits" if username is None else "member_limits.write")
    if not limits:
        raise Invalid("Name at least one resource.")
    with transaction.atomic():
        tenant = tenant_lock(access.tenant.pk)
        user_id = None if username is None else member_of(tenant, username).user_id
        answer = quota.limits_put(tenant_id=tenant.pk, user_id=user_id, limits=limits)
        audit.record(
            actor=access.actor,
            verb="limits.put",
            target=f"tenant/{tenant.name}" if username is None else f"member/{username}",
            tenant=tenant,
            detail={r: None if value is None else quantity(r, value) for r, value in limits.items()},
        )
        tenant_changed.send(sender=Tenant, tenant_id=tenant.pk, change="limits", user_id=user_id)
    return answer
