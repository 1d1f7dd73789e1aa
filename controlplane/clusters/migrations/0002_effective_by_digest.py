"""A cluster's effective launch names its app's body by digest; the body stands once, in the catalogue."""

from django.db import migrations

# The row of an app is unique by name and version, and what a launch was made of never changed after.
NARROW = """
UPDATE clusters_cluster c
   SET effective = jsonb_build_object(
         'format', 2,
         'app', jsonb_build_object('name', a.name, 'version', a.version, 'digest', a.digest),
         'groups', c.effective -> 'groups',
         'settings', c.effective -> 'settings')
  FROM templates_app a
 WHERE c.effective ->> 'format' = '1'
   AND a.name = c.effective -> 'app' ->> 'name'
   AND a.version = c.effective -> 'app' ->> 'version';

DO $$
BEGIN
  IF EXISTS (SELECT FROM clusters_cluster WHERE effective ->> 'format' <> '2') THEN
    RAISE EXCEPTION 'a cluster was launched of an app that is not in the catalogue';
  END IF;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("clusters", "0001_initial"), ("templates", "0002_immutable")]

    operations = [migrations.RunSQL(sql=NARROW)]
