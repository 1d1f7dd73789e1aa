"""A function that changes a claim and everything that depends on it, in one round trip.

Each statement in it reads what was committed before that statement, so all statements after the first lock read
current values. A changed function gets a new number, because two releases of Slipway may use one database at once.
"""

from django.db import migrations

# Amounts are arrays in the order cpu, memory, gpu, storage, clusters. A limit of NULL is unlimited, up to 2^62, so
# that no sum overflows.
CHANGE_CLAIM = """
CREATE FUNCTION tenants_change_claim_v1(
  p_owner uuid, p_tenant uuid, p_user uuid, p_label text, p_site text, p_holding uuid, p_wanted bigint[]
) RETURNS TABLE (
  tenant_limits bigint[], tenant_held bigint[], member_limits bigint[], member_held bigint[],
  change bigint[], done boolean
) LANGUAGE plpgsql AS $$
DECLARE
  nothing CONSTANT bigint[] := '{0,0,0,0,0}';
  most_held CONSTANT bigint := 4611686018427387904;
  had bigint[];
  moment timestamptz;
BEGIN
  SELECT ARRAY[l.limit_cpu, l.limit_memory, l.limit_gpu, l.limit_storage, l.limit_clusters],
         ARRAY[l.held_cpu, l.held_memory, l.held_gpu, l.held_storage, l.held_clusters]
    INTO tenant_limits, tenant_held
    FROM tenants_limit l WHERE l.tenant_id = p_tenant AND l.user_id IS NULL FOR NO KEY UPDATE;
  IF NOT FOUND THEN RETURN; END IF;
  SELECT ARRAY[l.limit_cpu, l.limit_memory, l.limit_gpu, l.limit_storage, l.limit_clusters],
         ARRAY[l.held_cpu, l.held_memory, l.held_gpu, l.held_storage, l.held_clusters]
    INTO member_limits, member_held
    FROM tenants_limit l WHERE l.tenant_id = p_tenant AND l.user_id = p_user FOR NO KEY UPDATE;
  IF NOT FOUND THEN RETURN; END IF;

  SELECT ARRAY[c.cpu, c.memory, c.gpu, c.storage, c.clusters] INTO had
    FROM tenants_claim c WHERE c.owner_id = p_owner AND c.tenant_id = p_tenant AND c.user_id = p_user;
  had := COALESCE(had, nothing);
  done := true;
  FOR i IN 1..5 LOOP
    change[i] := p_wanted[i] - had[i];
    IF change[i] > 0 AND (tenant_held[i] + change[i] > COALESCE(tenant_limits[i], most_held)
                          OR member_held[i] + change[i] > COALESCE(member_limits[i], most_held)) THEN
      done := false;
    END IF;
  END LOOP;
  RETURN NEXT;
  IF NOT done OR change = nothing THEN RETURN; END IF;

  IF p_wanted = nothing THEN
    DELETE FROM tenants_claim WHERE owner_id = p_owner;
  ELSE
    INSERT INTO tenants_claim AS c
           (owner_id, tenant_id, user_id, label, site, cpu, memory, gpu, storage, clusters)
    VALUES (p_owner, p_tenant, p_user, p_label, p_site,
            p_wanted[1], p_wanted[2], p_wanted[3], p_wanted[4], p_wanted[5])
    ON CONFLICT (owner_id) DO UPDATE
    SET label = EXCLUDED.label, site = EXCLUDED.site, cpu = EXCLUDED.cpu, memory = EXCLUDED.memory,
        gpu = EXCLUDED.gpu, storage = EXCLUDED.storage, clusters = EXCLUDED.clusters
    WHERE c.tenant_id = p_tenant AND c.user_id = p_user;
    IF NOT FOUND THEN
      RAISE EXCEPTION 'owner % holds a claim in another tenant or of another user', p_owner
        USING ERRCODE = 'integrity_constraint_violation';
    END IF;
  END IF;
  UPDATE tenants_limit l
     SET held_cpu = l.held_cpu + change[1], held_memory = l.held_memory + change[2],
         held_gpu = l.held_gpu + change[3], held_storage = l.held_storage + change[4],
         held_clusters = l.held_clusters + change[5]
   WHERE l.tenant_id = p_tenant AND (l.user_id IS NULL OR l.user_id = p_user);

  moment := clock_timestamp();
  UPDATE tenants_holding h SET ended_at = GREATEST(h.started_at, moment)
   WHERE h.owner_id = p_owner AND h.ended_at IS NULL;
  IF p_wanted <> nothing THEN
    INSERT INTO tenants_holding
           (id, owner_id, label, tenant_id, user_id, site, started_at, cpu, memory, gpu, storage, clusters)
    VALUES (p_holding, p_owner, p_label, p_tenant, p_user, p_site, moment,
            p_wanted[1], p_wanted[2], p_wanted[3], p_wanted[4], p_wanted[5]);
  END IF;
END $$;
"""

UNDO = "DROP FUNCTION tenants_change_claim_v1(uuid, uuid, uuid, text, text, uuid, bigint[]);"


class Migration(migrations.Migration):
    dependencies = [("tenants", "0002_append_only")]

    operations = [migrations.RunSQL(sql=CHANGE_CLAIM, reverse_sql=UNDO)]
