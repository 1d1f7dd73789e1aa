"""Adding a revision to a template, for a tenant's own templates and for those that ship."""

from collections.abc import Mapping
from typing import Any

from templates.launch import expand
from templates.models import App, Template, TemplateRevision
from templates.parsing import digest
from templates.revision import parse_reference, parse_revision, revision_body
from templates.schema import LaunchRequest, RevisionSpec
from templates.selectors import check_app
from tenants.errors import Invalid


def read_body(body: Mapping[str, Any]) -> tuple[App, RevisionSpec]:
    """The revision that a person wrote, with the row of its app. Raises Invalid, Conflict APP_WITHDRAWN."""
    name, version = parse_reference(body)
    app = App.objects.filter(name=name, version=version).first()
    if app is None:
        raise Invalid.at(
            "/app", "The catalogue has no app of this name and version. Check both in the list of apps."
        )
    check_app(app)
    return app, parse_revision(body, app.spec)


def revision_add(*, template: Template, app: App, spec: RevisionSpec, created_by: str) -> bool:
    """Adds `spec` as the current revision. The caller has locked the row of the template.

    False, and no change, when the current revision is equal.
    """
    body = revision_body(spec)
    body_digest = digest(body)
    if template.current is not None and template.current.digest == body_digest:
        return False
    newest = template.revisions.order_by("-number").values_list("number", flat=True).first()
    template.current = TemplateRevision.objects.create(
        template=template,
        number=(newest or 0) + 1,
        app=app,
        body=body,
        digest=body_digest,
        takes=expand(spec, LaunchRequest()).takes.as_dict(),
        created_by=created_by,
    )
    template.save(update_fields=["current"])
    return True
