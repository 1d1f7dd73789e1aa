"""The hand-written statements of the ledger. They are built once from constants; every value is a parameter."""

from typing import Final

from tenants.amounts import RESOURCES

# Calls the function that the migrations define, in one round trip. It locks the tenant's row, then the member's, and
# reads the claim only after that. Every change of a claim takes these locks, so the function reads current values.
CHANGE_CLAIM: Final = "SELECT * FROM tenants_change_claim_v1(%s, %s, %s, %s, %s, %s, %s::bigint[])"


def _each(pattern: str) -> str:
    """`pattern` once per resource, with {r} replaced."""
    return ", ".join(pattern.format(r=resource) for resource in RESOURCES)


# Compares held amounts and claims in one snapshot, which several statements of the ORM could not.
DIFFERENCES: Final = f"""
WITH claimed AS (
  SELECT tenant_id, user_id, {_each("sum({r})::bigint AS {r}")} FROM tenants_claim
  WHERE %(tenant)s::uuid IS NULL OR tenant_id = %(tenant)s
  GROUP BY GROUPING SETS ((tenant_id), (tenant_id, user_id))
), kept AS (
  SELECT tenant_id, user_id, {_each("held_{r} AS {r}")} FROM tenants_limit
  WHERE %(tenant)s::uuid IS NULL OR tenant_id = %(tenant)s
)
SELECT COALESCE(k.tenant_id, c.tenant_id), COALESCE(k.user_id, c.user_id),
       {_each("COALESCE(k.{r}, 0)")}, {_each("COALESCE(c.{r}, 0)")}
FROM kept k FULL JOIN claimed c
  ON k.tenant_id = c.tenant_id
 AND COALESCE(k.user_id, '00000000-0000-0000-0000-000000000000')
   = COALESCE(c.user_id, '00000000-0000-0000-0000-000000000000')
WHERE ({_each("COALESCE(k.{r}, 0)")}) IS DISTINCT FROM ({_each("COALESCE(c.{r}, 0)")})
ORDER BY 1, 2 NULLS FIRST
"""  # noqa: S608
