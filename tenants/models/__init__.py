"""The tables of tenants, users, limits, claims, tokens and the audit."""

from tenants.models.audit import AuditEvent, AuditSeal, Outcome
from tenants.models.installation import InstallationKey
from tenants.models.ledger import Claim, HasAmounts, Holding, Limit
from tenants.models.tenant import Membership, Role, Tenant, TenantState
from tenants.models.token import ApiToken
from tenants.models.user import SignInThrottle, User

__all__ = [
    "ApiToken",
    "AuditEvent",
    "AuditSeal",
    "Claim",
    "HasAmounts",
    "Holding",
    "InstallationKey",
    "Limit",
    "Membership",
    "Outcome",
    "Role",
    "SignInThrottle",
    "Tenant",
    "TenantState",
    "User",
]
