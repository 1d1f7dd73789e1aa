from django.db import models

from tenants.ids import new_id


class SiteKind(models.TextChoices):
    LOCAL = "local"
    KUBERNETES = "kubernetes"
    FAKE = "fake"


class Site(models.Model):
    """A place where clusters run, and the last verdict that a worker wrote about it.

    settings: how it is reached and what nodes get there, as its kind reads it; paths of secrets, never secrets.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=40, unique=True)
    kind = models.CharField(max_length=16, choices=SiteKind.choices)
    settings = models.JSONField(default=dict)
    ready = models.BooleanField(default=False)
    isolation = models.CharField(max_length=16, default="unknown")
    message = models.CharField(max_length=1000, blank=True)
    checked_at = models.DateTimeField(null=True)
