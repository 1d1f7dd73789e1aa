"""Every change of tenants, users, tokens and limits. Each function checks, changes, audits and sends the signal in one
transaction. The docstrings list the reasons of their refusals in upper case.
"""

from tenants.services.limits import limits_put
from tenants.services.members import member_put, member_remove
from tenants.services.passwords import (
    password_change,
    password_confirm,
    password_reset,
    sessions_end,
)
from tenants.services.sign_in import device_cookie, sign_in, sign_out
from tenants.services.tenants import (
    tenant_create,
    tenant_delete,
    tenant_deleted,
    tenant_resume,
    tenant_suspend,
    tenant_update,
)
from tenants.services.tokens import service_token_create, token_create, token_revoke, token_used
from tenants.services.users import (
    service_create,
    user_create,
    user_delete,
    user_disable,
    user_enable,
    user_invite,
    user_update,
)

__all__ = [
    "device_cookie",
    "limits_put",
    "member_put",
    "member_remove",
    "password_change",
    "password_confirm",
    "password_reset",
    "service_create",
    "service_token_create",
    "sessions_end",
    "sign_in",
    "sign_out",
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
    "user_delete",
    "user_disable",
    "user_enable",
    "user_invite",
    "user_update",
]
