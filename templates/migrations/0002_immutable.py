"""Triggers refuse to change or delete a registered app or a revision; only an app can be withdrawn."""

from django.db import migrations

GUARDS = """
CREATE FUNCTION templates_app_immutable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND to_jsonb(NEW) - 'withdrawn_at' = to_jsonb(OLD) - 'withdrawn_at' THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'a registered app never changes; it can be withdrawn' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER templates_app_immutable BEFORE UPDATE OR DELETE ON templates_app
  FOR EACH ROW EXECUTE FUNCTION templates_app_immutable();

CREATE FUNCTION templates_revision_immutable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'a revision of a template never changes' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER templates_revision_immutable BEFORE UPDATE OR DELETE ON templates_templaterevision
  FOR EACH ROW EXECUTE FUNCTION templates_revision_immutable();
"""

UNDO = """
DROP TRIGGER templates_app_immutable ON templates_app;
DROP FUNCTION templates_app_immutable();
DROP TRIGGER templates_revision_immutable ON templates_templaterevision;
DROP FUNCTION templates_revision_immutable();
"""


class Migration(migrations.Migration):
    dependencies = [("templates", "0001_initial")]

    operations = [migrations.RunSQL(sql=GUARDS, reverse_sql=UNDO)]
