"""The statements of the ledger. Built once from constants; every value is a parameter."""

from typing import Final

from tenants.amounts import RESOURCES

# What "unlimited" stops at, so that no sum can overflow a bigint.
MOST_HELD: Final = 2**62


def _each(pattern: str, joint: str = ", ") -> str:
    """`pattern` for every resource, with {r} replaced."""
    return joint.join(pattern.format(r=resource) for resource in RESOURCES)


_FITS: Final = f"(c.{{r}} <= 0 OR l.held_{{r}} + c.{{r}} <= COALESCE(l.limit_{{r}}, {MOST_HELD}))"

# Two things make this safe under READ COMMITTED, where a statement that waited for a lock still looks at the
# rest with its old snapshot. The rows of limits are locked by key alone, so their newest version is what is
# judged. And nothing is written unless the claim that the snapshot showed is still the newest one (same ctid;
# not deleted; not inserted meanwhile). Otherwise the caller runs it again, now holding the lock, with a
# snapshot taken after it.
CHANGE_CLAIM: Final = f"""
WITH wanted AS (
  SELECT {_each("%({r})s::bigint AS {r}")}
), locked AS MATERIALIZED (
  SELECT user_id, {_each("limit_{r}")}, {_each("held_{r}")} FROM tenants_limit
  WHERE tenant_id = %(tenant)s AND (user_id IS NULL OR user_id = %(user)s)
  ORDER BY user_id NULLS FIRST FOR NO KEY UPDATE
), seen AS MATERIALIZED (
  SELECT ctid AS version, {_each("{r}")} FROM tenants_claim
  WHERE owner_id = %(owner)s AND tenant_id = %(tenant)s AND user_id = %(user)s
), newest AS MATERIALIZED (
  SELECT ctid AS version FROM tenants_claim
  WHERE owner_id = %(owner)s AND (SELECT count(*) FROM locked) = 2 FOR NO KEY UPDATE
), change AS MATERIALIZED (
  SELECT {_each("w.{r} - COALESCE(s.{r}, 0) AS {r}")},
         s.version IS NOT DISTINCT FROM (SELECT version FROM newest) AS fresh,
         {_each("w.{r} = 0", " AND ")} AS empty,
         clock_timestamp() AS at
  FROM wanted w LEFT JOIN seen s ON true
), verdict AS MATERIALIZED (
  SELECT count(*) = 2
     AND bool_and(c.fresh AND ({_each("c.{r} <> 0", " OR ")}))
     AND bool_and({_each(_FITS, " AND ")})
         AS fits
  FROM locked l CROSS JOIN change c
), put AS (
  INSERT INTO tenants_claim AS claim (owner_id, tenant_id, user_id, label, site, {_each("{r}")})
  SELECT %(owner)s, %(tenant)s, %(user)s, %(label)s, %(site)s, {_each("w.{r}")}
  FROM wanted w, verdict, change WHERE verdict.fits AND NOT change.empty
  ON CONFLICT (owner_id) DO UPDATE
  SET label = EXCLUDED.label, site = EXCLUDED.site, {_each("{r} = EXCLUDED.{r}")}
  WHERE EXISTS (SELECT FROM seen)
  RETURNING owner_id
), dropped AS (
  DELETE FROM tenants_claim USING verdict, change
  WHERE owner_id = %(owner)s AND verdict.fits AND change.empty
  RETURNING owner_id
), done AS MATERIALIZED (
  SELECT owner_id FROM put UNION ALL SELECT owner_id FROM dropped
), summed AS (
  UPDATE tenants_limit l SET {_each("held_{r} = l.held_{r} + change.{r}")}
  FROM change, done WHERE l.tenant_id = %(tenant)s AND (l.user_id IS NULL OR l.user_id = %(user)s)
), closed AS (
  UPDATE tenants_holding h SET ended_at = GREATEST(h.started_at, change.at)
  FROM change, done WHERE h.owner_id = done.owner_id AND h.ended_at IS NULL
  RETURNING h.id
), opened AS (
  INSERT INTO tenants_holding (id, owner_id, label, tenant_id, user_id, site, started_at, {_each("{r}")})
  SELECT %(holding)s, %(owner)s, %(label)s, %(tenant)s, %(user)s, %(site)s, change.at, {_each("w.{r}")}
  FROM wanted w, change, done
  WHERE NOT change.empty AND (SELECT count(*) FROM closed) >= 0
)
SELECT l.user_id IS NULL, {_each("l.limit_{r}")}, {_each("l.held_{r}")}, {_each("c.{r}")},
       EXISTS (SELECT FROM done)
FROM locked l CROSS JOIN change c ORDER BY l.user_id NULLS FIRST
"""  # noqa: S608

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
