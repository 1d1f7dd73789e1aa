"""Triggers refuse to change or delete holdings, audit events and seals, except for the columns that are set once."""

from django.db import migrations

HOLDINGS = """
CREATE FUNCTION tenants_holding_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND OLD.ended_at IS NULL AND NEW.ended_at IS NOT NULL
     AND to_jsonb(NEW) - 'ended_at' = to_jsonb(OLD) - 'ended_at' THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'holdings are only added to; the end is set once' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER tenants_holding_append_only BEFORE UPDATE OR DELETE ON tenants_holding
  FOR EACH ROW EXECUTE FUNCTION tenants_holding_append_only();
"""

AUDIT = """
CREATE FUNCTION tenants_auditevent_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND OLD.position IS NULL
     AND to_jsonb(NEW) - '{count,last_at,position}'::text[] = to_jsonb(OLD) - '{count,last_at,position}'::text[] THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'the audit is only added to' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER tenants_auditevent_append_only BEFORE UPDATE OR DELETE ON tenants_auditevent
  FOR EACH ROW EXECUTE FUNCTION tenants_auditevent_append_only();

CREATE FUNCTION tenants_auditseal_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'seals of the audit never change' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER tenants_auditseal_append_only BEFORE UPDATE OR DELETE ON tenants_auditseal
  FOR EACH ROW EXECUTE FUNCTION tenants_auditseal_append_only();
"""

UNDO = """
DROP TRIGGER tenants_holding_append_only ON tenants_holding;
DROP FUNCTION tenants_holding_append_only();
DROP TRIGGER tenants_auditevent_append_only ON tenants_auditevent;
DROP FUNCTION tenants_auditevent_append_only();
DROP TRIGGER tenants_auditseal_append_only ON tenants_auditseal;
DROP FUNCTION tenants_auditseal_append_only();
"""


class Migration(migrations.Migration):
    dependencies = [("tenants", "0001_initial")]

    operations = [migrations.RunSQL(sql=HOLDINGS + AUDIT, reverse_sql=UNDO)]
