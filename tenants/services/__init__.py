"""What may be changed here, each by one function: checks, change, audit and signal in one transaction."""

from tenants.services.limits import limits_put
from tenants.services.members import member_put, member_remove
from tenants.services.tenants import (
    tenant_create,
    tenant_delete,
    tenant_deleted,
    tenant_resume,
    tenant_suspend,
    tenant_update,
)
from tenants.services.tokens import token_create, token_revoke, token_used
from tenants.services.users import user_create

__all__ = [
    "limits_put",
    "member_put",
    "member_remove",
    "tenant_create",
    "tenant_delete",
    "tenant_deleted",
    "tenant_resume",
    "tenant_suspend",
    "tenant_update",
    "token_create",
    "token_revoke",
    "token_used",
    "user_create",
]
