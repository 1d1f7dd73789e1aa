"""Who may use how much, and what was done: the tables of the bottom layer."""

from tenants.models.audit import AuditEvent, AuditSeal, Outcome
from tenants.models.installation import InstallationKey
from tenants.models.ledger import Claim, HasAmounts, Holding, Limit
from tenants.models.tenant import Membership, Role, Tenant, TenantState
from tenants.models.token import ApiToken
from tenants.models.user import Attempt, User

__all__ = [
    "ApiToken",
    "Attempt",
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
    "Tenant",
    "TenantState",
    "User",
]
