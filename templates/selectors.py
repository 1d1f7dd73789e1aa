"""Reading the catalogue and the templates that an actor may see."""

from datetime import datetime
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.db.models import Q, QuerySet

from templates.models import App, Template, TemplateRevision, TemplateState
from tenants.access import Access, allow
from tenants.errors import Conflict, NotFound
from tenants.names import lookup_column

# In the order of the model's fields, as TemplateRevision.from_db requires.
_LAUNCHED: Final = ("id", "template_id", "number", "app_id")
# Hand-written, because every launch runs it: the ORM took longer to build the statement than PostgreSQL to run it. A
# tenant's own template comes before one that ships under the same name.
_LAUNCHABLE: Final = """
SELECT r.id, r.template_id, r.number, r.app_id, t.state,
       (SELECT withdrawn_at FROM templates_app WHERE id = r.app_id)
  FROM templates_template t JOIN templates_templaterevision r ON r.id = t.current_id
 WHERE t.{column} = %s AND (t.tenant_id = %s OR t.tenant_id IS NULL) AND t.deleted_at IS NULL AND t.state = ANY(%s)
 ORDER BY t.tenant_id LIMIT 1
"""
_ONCE_PUBLISHED: Final = [TemplateState.PUBLISHED, TemplateState.DEPRECATED]


def apps() -> QuerySet[App]:
    """The apps that are not withdrawn, by name, the newest version of each first."""
    return App.objects.filter(withdrawn_at=None).order_by("name", "-registered_at", "-id")


def app_for(name: str, version: str) -> App:
    """This version of the app, withdrawn or not. Raises NotFound."""
    is_plain = (name + version).isprintable() and (name + version).isascii()
    app = App.objects.filter(name=name, version=version).first() if is_plain else None
    if app is None:
        raise NotFound
    return app


def templates_for(access: Access) -> QuerySet[Template]:
    """The tenant's own templates and those that ship, by name, with the current revision and its app without its body.

    Only admins see drafts and deprecated ones. Raises NeedsRole, NeedsScope.
    """
    allow(access, "templates.read")
    live = Template.objects.filter(Q(tenant=access.tenant) | Q(tenant=None), deleted_at=None)
    visible = live if access.may("templates.read_unpublished") else live.filter(state=TemplateState.PUBLISHED)
    return visible.select_related("current__app").defer("current__app__body").order_by("name", "id")


def template_for(access: Access, name_or_id: str | UUID) -> Template:
    """One of `templates_for`. Raises NotFound, the same for all templates that the actor may not see."""
    lookup = lookup_column(name_or_id)
    # A tenant's own template comes before one that a later release of Slipway ships under the same name.
    own_first = templates_for(access).order_by("tenant_id")
    template = own_first.filter(lookup).first() if lookup else None
    if template is None:
        raise NotFound(by_access=True)
    return template


def revisions(template: Template) -> QuerySet[TemplateRevision]:
    """All revisions of the template, newest first, each with its app without its body."""
    return template.revisions.select_related("app").defer("app__body").order_by("-number")


def revision_for(template: Template, number: int) -> TemplateRevision:
    """The revision of this number. Raises NotFound."""
    revision = revisions(template).filter(number=number).first() if 1 <= number < 2**31 else None
    if revision is None:
        raise NotFound
    return revision


def launchable_revision(access: Access, name_or_id: str | UUID) -> TemplateRevision:
    """The revision that a launch of this template uses now. `launch.expand` needs its `spec`.

    The actor needs the permission to launch, not the one to read templates. Raises NotFound, NeedsRole, NeedsScope,
    Conflict TEMPLATE_DEPRECATED or APP_WITHDRAWN.
    """
    allow(access, "cluster.launch")
    *columns, state, withdrawn_at = _find_launchable(access, name_or_id)
    if state == TemplateState.DEPRECATED:
        raise Conflict(
            "TEMPLATE_DEPRECATED",
            "This template is deprecated. Choose another one, or ask an admin of the tenant to publish it again.",
        )
    _check_withdrawn(withdrawn_at)
    return TemplateRevision.from_db("default", _LAUNCHED, columns)


@lru_cache(maxsize=4096)
def revision_name(pk: UUID) -> tuple[str, int]:
    """The name of the template and the number of the revision. Read once per process, because neither changes."""
    found = TemplateRevision.objects.values_list("template__name", "number").get(pk=pk)
    return found[0], found[1]


def current_revision(template: Template) -> TemplateRevision:
    """The current revision. Every template has one: the transaction that creates the template adds it."""
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
            "This version of the app was withdrawn from the catalogue. Choose a template with another version.",
        )


def _find_launchable(access: Access, name_or_id: str | UUID) -> tuple[Any, ...]:
    """The columns of _LAUNCHABLE, of deprecated templates too. Raises NotFound."""
    lookup = lookup_column(name_or_id)
    # A deprecated template was published before, so every member may learn that it exists. A draft was not.
    states = list(TemplateState) if access.may("cluster.launch_unpublished") else _ONCE_PUBLISHED
    row = None
    if lookup is not None:
        column, value = lookup
        with connection.cursor() as cursor:
            cursor.execute(_LAUNCHABLE.format(column=column), [value, access.tenant.pk, states])
            row = cursor.fetchone()
    if row is None:
        raise NotFound(by_access=True)
    return tuple(row)
