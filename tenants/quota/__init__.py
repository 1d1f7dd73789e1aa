"""The ledger of claims: how much each owner holds, under which limits, and whether more fits."""

from tenants.quota.claims import claim_release, claim_set, held_by, preview
from tenants.quota.levels import Level
from tenants.quota.limits import LimitsAnswer, levels_of, limit_json, limit_rows, limits_put, over_json
from tenants.quota.verify import ledger_differences, recompute

__all__ = [
    "Level",
    "LimitsAnswer",
    "claim_release",
    "claim_set",
    "held_by",
    "ledger_differences",
    "levels_of",
    "limit_json",
    "limit_rows",
    "limits_put",
    "over_json",
    "preview",
    "recompute",
]
