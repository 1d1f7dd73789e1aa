"""Pages of clusters, in one statement that is made from the fields of `ClusterRow`."""

import json
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.db import connection

from controlplane.clusters.access import SHARE_PERMISSION
from controlplane.clusters.phases import Phase
from controlplane.clusters.read_model import FIELDS, ClusterRow, LastOperation
from tenants.access import Access, allow

# The statement reads the last operation, which has several columns, after all other fields.
_OPERATION_AT: Final = ClusterRow._fields.index("last_operation")
_COLUMNS: Final = [field for field in FIELDS if field.name != "last_operation"]
_DOCUMENTS: Final = [at for at, field in enumerate(_COLUMNS) if field.type in {dict, list}]
_MINE: Final = next(field.shown.sql for field in FIELDS if field.name == "mine")
# Clients ask for lists most. A page of a few rows takes 1 ms; the ORM takes two statements and over 4 ms, mainly to
# compile them.
_PAGE: Final = f"""
SELECT {", ".join(field.shown.sql or f"c.{field.name}" for field in _COLUMNS)}, o.*
  FROM clusters_cluster c
  JOIN tenants_user u ON u.id = c.owner_id
  JOIN clusters_site s ON s.id = c.site_id
  LEFT JOIN LATERAL (
         SELECT id::text, {", ".join(LastOperation._fields[1:])}
           FROM clusters_operation WHERE cluster_id = c.id ORDER BY id DESC LIMIT 1) o ON true
 WHERE c.tenant_id = %(tenant)s AND {{conditions}} ORDER BY c.id DESC LIMIT %(most)s
"""  # noqa: S608
_CONDITIONS: Final = {
    "after": "c.id < %(after)s",
    "phase": "c.phase = %(phase)s",
    "owner": "u.username = %(owner)s",
    "site": "s.name = %(site)s",
    "template": """c.template_revision_id IN (SELECT r.id FROM templates_templaterevision r
                   JOIN templates_template t ON t.id = r.template_id WHERE t.name = %(template)s)""",
    "mine": f"({_MINE})",
}


@dataclass(frozen=True, slots=True)
class ClusterFilter:
    """What a list is narrowed to, by name; "" is any. phase "": all but deleted ones. mine: what the user may use."""

    phase: str = ""
    owner: str = ""
    site: str = ""
    template: str = ""
    mine: bool = False


def clusters_page(
    access: Access, narrow: ClusterFilter, *, most: int, after: UUID | None = None
) -> list[ClusterRow]:
    """The newest clusters first, at most `most`, those older than `after`. Raises NeedsScope, NeedsRole."""
    allow(access, "cluster.read")
    values: dict[str, Any] = {
        "after": after,
        "phase": narrow.phase,
        "owner": narrow.owner,
        "site": narrow.site,
        "template": narrow.template,
        "mine": narrow.mine,
    }
    conditions = [sql for name, sql in _CONDITIONS.items() if values[name]]
    if not narrow.phase:
        conditions.append(f"c.phase <> '{Phase.DELETED}'")
    values |= {
        "asker": access.actor.user_id,
        "share": SHARE_PERMISSION,
        "tenant": access.tenant.pk,
        "most": most,
    }
    with connection.cursor() as cursor:
        cursor.execute(_PAGE.format(conditions=" AND ".join(conditions)), values)
        return [_row(columns) for columns in cursor.fetchall()]


def _row(columns: tuple[Any, ...]) -> ClusterRow:
    values, operation = list(columns[: len(_COLUMNS)]), columns[len(_COLUMNS) :]
    for at in _DOCUMENTS:
        values[at] = json.loads(values[at])
    values.insert(_OPERATION_AT, None if operation[0] is None else LastOperation(*operation))
    return ClusterRow._make(values)
