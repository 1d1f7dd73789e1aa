"""Reading the catalogue and the templates, by what the asker may see."""

import re
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, Literal
from uuid import UUID

from django.db import connection
from django.db.models import Q, QuerySet

from templates.models import App, Template, TemplateRevision, TemplateState
from tenants.access import Access, allow
from tenants.errors import Conflict, NotFound
from tenants.names import NAME_PATTERN, parse_id

# In the order of the model, as from_db wants them.
_LAUNCHED: Final = ("id", "template_id", "number", "app_id")
# Spelled out, as every launch asks it: making the statement anew cost more than its answer. A tenant's own comes
# before one that ships under the same name.
_LAUNCHABLE: Final = """
SELECT r.id, r.template_id, r.number, r.app_id, t.state,
       (SELECT withdrawn_at FROM templates_app WHERE id = r.app_id)
  FROM templates_template t JOIN templates_templaterevision r ON r.id = t.current_id
 WHERE t.{column} = %s AND (t.tenant_id = %s OR t.tenant_id IS NULL) AND t.deleted_at IS NULL AND t.state = ANY(%s)
 ORDER BY t.tenant_id LIMIT 1
"""


_ONCE_PUBLISHED: Final = [TemplateState.PUBLISHED, TemplateState.DEPRECATED]


def apps() -> QuerySet[App]:
    """The catalogue without what was withdrawn, newest version of an app first."""
    return App.objects.filter(withdrawn_at=None).order_by("name", "-registered_at", "-id")


def app_for(name: str, version: str) -> App:
    """Withdrawn ones too. Raises NotFound."""
    app = App.objects.filter(name=name, version=version).first() if _is_plain(name + version) else None
    if app is None:
        raise NotFound
    return app


def templates_for(access: Access) -> QuerySet[Template]:
    """What ships and the tenant's own, by name, with its current revision and app (the app's body left out).

    Those who are no admins see the published ones alone.
    """
    allow(access, "templates.read")
    return _visible(access)


def template_for(access: Access, name_or_id: str | UUID) -> Template:
    """Raises NotFound alike for missing, deleted and foreign templates, and for drafts of others' making."""
    allow(access, "templates.read")
    return _find(access, name_or_id)


def revisions(template: Template) -> QuerySet[TemplateRevision]:
    """All of them, newest first, each with its app (the app's body left out)."""
    return template.revisions.select_related("app").defer("app__body").order_by("-number")


def revision_for(template: Template, number: int) -> TemplateRevision:
    """Raises NotFound."""
    revision = revisions(template).filter(number=number).first() if 1 <= number < 2**31 else None
    if revision is None:
        raise NotFound
    return revision


def launchable_revision(access: Access, name_or_id: str | UUID) -> TemplateRevision:
    """The revision that a launch of this template takes now; its `spec` is what launch.expand needs.

    Needs the right and the scope to launch, and none to read templates. Raises NotFound, NeedsRole, NeedsScope,
    Conflict TEMPLATE_DEPRECATED or APP_WITHDRAWN.
    """
    allow(access, "cluster.launch")
    *columns, state, withdrawn_at = _find_launchable(access, name_or_id)
    if state == TemplateState.DEPRECATED:
        raise Conflict(
            "TEMPLATE_DEPRECATED",
            "This template is deprecated. Choose another one, or have an admin of the tenant publish it again.",
        )
    _check_withdrawn(withdrawn_at)
    return TemplateRevision.from_db("default", _LAUNCHED, columns)


@lru_cache(maxsize=4096)
def revision_name(pk: UUID) -> tuple[str, int]:
    """Name of its template, and its number; read once a process, as neither ever changes."""
    found = TemplateRevision.objects.values_list("template__name", "number").get(pk=pk)
    return found[0], found[1]


def current_revision(template: Template) -> TemplateRevision:
    """Every template has one from the transaction on that made it."""
    if template.current is None:
        raise RuntimeError(f"template {template.pk} has no revision")
    return template.current


def check_app(app: App) -> None:
    """Raises Conflict APP_WITHDRAWN."""
    _check_withdrawn(app.withdrawn_at)


def _check_withdrawn(at: datetime | None) -> None:
    if at is not None:
        raise Conflict(
            "APP_WITHDRAWN",
            "The app version was withdrawn from the catalogue. Choose a template of another one.",
        )


def _visible(access: Access) -> QuerySet[Template]:
    live = Template.objects.filter(Q(tenant=access.tenant) | Q(tenant=None), deleted_at=None)
    visible = live if access.may("templates.read_unpublished") else live.filter(state=TemplateState.PUBLISHED)
    return visible.select_related("current__app").defer("current__app__body").order_by("name", "id")


def _find(access: Access, name_or_id: str | UUID) -> Template:
    found = _named(name_or_id)
    # A tenant's own comes before one that a later release of Slipway ships under the same name.
    own_first = _visible(access).order_by("tenant_id")
    template = own_first.filter(found).first() if found is not None else None
    if template is None:
        raise NotFound(by_access=True)
    return template


def _find_launchable(access: Access, name_or_id: str | UUID) -> tuple[Any, ...]:
    """Like `_find`, but as columns and with what is deprecated. Raises NotFound."""
    named = _key(name_or_id)
    # One that is deprecated was published once, so every member may know of it; of a draft they may not.
    states = list(TemplateState) if access.may("cluster.launch_unpublished") else _ONCE_PUBLISHED
    row = None
    if named is not None:
        column, value = named
        with connection.cursor() as cursor:
            cursor.execute(_LAUNCHABLE.format(column=column), [value, access.tenant.pk, states])
            row = cursor.fetchone()
    if row is None:
        raise NotFound(by_access=True)
    return tuple(row)


def _named(name_or_id: str | UUID) -> Q | None:
    named = _key(name_or_id)
    return None if named is None else Q(**dict([named]))


def _key(name_or_id: str | UUID) -> tuple[Literal["id", "name"], str | UUID] | None:
    """None for what can be neither a name nor an id, such as text that the database would not take."""
    pk = name_or_id if isinstance(name_or_id, UUID) else parse_id(name_or_id)
    if pk is not None:
        return "id", pk
    return ("name", name_or_id) if re.fullmatch(NAME_PATTERN, str(name_or_id)) else None


def _is_plain(text: str) -> bool:
    return text.isprintable() and text.isascii()
