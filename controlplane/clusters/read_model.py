"""The read model of clusters: what API and console show.

The API's list, document and OpenAPI schema, and the console's list and page all take their fields from `ClusterRow`.
To add a field, add a column to the model and a line to `ClusterRow`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, NamedTuple, get_args, get_origin, get_type_hints
from uuid import UUID

from controlplane.clusters.access import is_mine
from controlplane.clusters.models import Cluster
from controlplane.clusters.models.operation import LIVE
from controlplane.clusters.phases import TRANSIENT, Goal, Phase
from templates.selectors import revision_name
from tenants.access import Access


@dataclass(frozen=True, slots=True)
class Shown:
    """Where a field of ClusterRow comes from, and where it is shown.

    sql: its expression in the statement of the list; "" is the column of the same name.
    load: reads it from a Cluster for one user; None reads the attribute of the same name.
    api: the API's document has it under its name. empty_is_null: the document has null for "". choices: all values.
    help: its description in OpenAPI.
    fact: its title among the facts on the console's page. column: its title in the console's list. "" leaves it out.
    """

    sql: str = ""
    load: Callable[[Access, Cluster], Any] | None = None
    api: bool = True
    empty_is_null: bool = False
    choices: type[StrEnum] | None = None
    help: str = ""
    fact: str = ""
    column: str = ""


_INTERNAL: Final = Shown(api=False)


class LastOperation(NamedTuple):
    """The newest operation: the live one, if there is one, as every change begins an operation."""

    id: str
    kind: str
    state: str
    created_at: datetime
    ended_at: datetime | None
    deadline: datetime | None
    reason: str
    message: str


class TemplateRef(NamedTuple):
    name: str
    revision: int


class ClusterRow(NamedTuple):
    """What is shown of a cluster to one user. mine: the user owns it, or it is shared with the user."""

    id: Annotated[str, Shown(sql="c.id::text", load=lambda _, cluster: str(cluster.pk), fact="Id")]
    name: str
    owner: Annotated[
        str, Shown(sql="u.username", load=lambda _, cluster: cluster.owner.username, column="Owner")
    ]
    site: Annotated[str, Shown(sql="s.name", load=lambda _, cluster: cluster.site.name, column="Site")]
    site_kind: Annotated[str, Shown(sql="s.kind", load=lambda _, cluster: cluster.site.kind, api=False)]
    template_revision_id: Annotated[UUID, _INTERNAL]
    goal: Annotated[str, Shown(choices=Goal)]
    phase: Annotated[str, Shown(choices=Phase)]
    generation: Annotated[int, Shown(help="Grows with every change that was requested; the ETag.")]
    observed_generation: Annotated[int, Shown(help="The last generation that was reached or given up.")]
    run: Annotated[int, _INTERNAL]
    link_version: Annotated[int, _INTERNAL]
    reason: Annotated[str, Shown(empty_is_null=True)]
    message: Annotated[str, Shown(empty_is_null=True)]
    conditions: list[dict[str, Any]]
    created_at: datetime
    ready_at: datetime | None
    deleted_at: datetime | None
    mine: Annotated[
        bool,
        Shown(
            sql="""c.owner_id = %(asker)s OR EXISTS (
                SELECT FROM clusters_clustershare h JOIN auth_permission p ON p.id = h.permission_id
                 WHERE h.content_object_id = c.id AND h.user_id = %(asker)s AND p.codename = %(share)s)""",
            load=is_mine,
            api=False,
        ),
    ]
    last_operation: Annotated[
        LastOperation | None, Shown(load=lambda _, cluster: _last_operation(cluster), api=False)
    ]

    @property
    def template(self) -> TemplateRef:
        return TemplateRef(*revision_name(self.template_revision_id))

    @property
    def is_moving(self) -> bool:
        """Whether the cluster will change by itself soon."""
        live = self.last_operation is not None and self.last_operation.state in LIVE
        return live or self.phase in TRANSIENT


class RowField(NamedTuple):
    """A field of ClusterRow. type: of its values, without None."""

    name: str
    type: Any
    nullable: bool
    shown: Shown


def _fields() -> tuple[RowField, ...]:
    hints = get_type_hints(ClusterRow, include_extras=True)
    found = []
    for name in ClusterRow._fields:
        hint, shown = hints[name], Shown()
        if get_origin(hint) is Annotated:
            hint, shown = get_args(hint)
        nullable = type(None) in get_args(hint)
        kind = next(one for one in get_args(hint) if one is not type(None)) if nullable else hint
        found.append(RowField(name, get_origin(kind) or kind, nullable, shown))
    return tuple(found)


FIELDS: Final = _fields()


def row_of(access: Access, cluster: Cluster) -> ClusterRow:
    """The row of a cluster that was read by itself, or has just been written."""
    return ClusterRow._make(
        field.shown.load(access, cluster) if field.shown.load else getattr(cluster, field.name)
        for field in FIELDS
    )


def _last_operation(cluster: Cluster) -> LastOperation | None:
    found = cluster.last_operation or cluster.operations.order_by("-id").first()
    if found is None:
        return None
    return LastOperation(str(found.pk), *(getattr(found, name) for name in LastOperation._fields[1:]))
