"""The tables of the catalogue and of templates. Registered apps and revisions never change."""

from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from templates import schema
from templates.parsing import stored_app
from templates.revision import revision_document, stored_revision
from tenants.amounts import Amounts
from tenants.ids import new_id
from tenants.models import Tenant


class App(models.Model):
    """One version of an app in the catalogue.

    body: as `templates.parsing.app_body` writes it. digest: of the body. withdrawn_at: set when nothing new may be
    launched of this version.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=40)
    version = models.CharField(max_length=64)
    body = models.JSONField()
    digest = models.CharField(max_length=64)
    registered_at = models.DateTimeField(db_default=Now())
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["name", "version"], name="app_version_once")]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def spec(self) -> schema.App:
        """The parsed body."""
        return stored_app(self.digest, self.body)


class TemplateState(models.TextChoices):
    """draft: only admins of the tenant see it. deprecated: nothing new can be launched."""

    DRAFT = "draft"
    PUBLISHED = "published"
    DEPRECATED = "deprecated"


class Template(models.Model):
    """A named template with its revisions. A deleted template keeps its row; only its name can be used again.

    tenant: NULL for a template that ships with Slipway, which every tenant has. current: the revision that a launch
    uses. created_by: a copy of the user name.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(
        Tenant, null=True, blank=True, on_delete=models.PROTECT, related_name="templates"
    )
    name = models.CharField(max_length=40)
    state = models.CharField(max_length=10, choices=TemplateState, default=TemplateState.DRAFT)
    current = models.ForeignKey("TemplateRevision", null=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(db_default=Now())
    created_by = models.CharField(max_length=63)
    deleted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "name"], condition=Q(deleted_at=None), name="template_name_in_use"
            ),
            models.UniqueConstraint(
                fields=["name"],
                condition=Q(deleted_at=None, tenant=None),
                name="shipped_template_name_in_use",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["draft", "published", "deprecated"]), name="template_state_known"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class TemplateRevision(models.Model):
    """One revision of a template; it never changes.

    body: as `templates.revision.revision_body` writes it. takes: what a launch with the defaults takes. Both have
    integer amounts: millicores, bytes and counts.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    template = models.ForeignKey(Template, on_delete=models.PROTECT, related_name="revisions")
    number = models.IntegerField()
    app = models.ForeignKey(App, on_delete=models.PROTECT, related_name="+")
    body = models.JSONField()
    digest = models.CharField(max_length=64)
    takes = models.JSONField()
    created_at = models.DateTimeField(db_default=Now())
    created_by = models.CharField(max_length=63)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["template", "number"], name="revision_number_once"),
            models.CheckConstraint(condition=Q(number__gte=1), name="revision_number_counts_from_one"),
        ]

    def __str__(self) -> str:
        return f"revision {self.number}"

    @property
    def spec(self) -> schema.RevisionSpec:
        """The parsed body. It is read from the database once per process, because it never changes."""
        return _spec(self.pk)

    @property
    def document(self) -> dict[str, Any]:
        """The body as the API shows it, with quantities for amounts."""
        return revision_document(self.body)

    @property
    def default_takes(self) -> Amounts:
        """What a launch with the defaults takes."""
        return Amounts(**self.takes)


@lru_cache(maxsize=256)
def _spec(pk: UUID) -> schema.RevisionSpec:
    revision = TemplateRevision.objects.select_related("app").get(pk=pk)
    return stored_revision(revision.body, revision.app.spec)
