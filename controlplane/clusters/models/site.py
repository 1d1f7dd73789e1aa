from django.db import models
from django.db.models import Q

from tenants.ids import new_id
from tenants.models import Tenant


class SiteKind(models.TextChoices):
    LOCAL = "local"
    KUBERNETES = "kubernetes"
    FAKE = "fake"


class _Registered(models.Manager["Site"]):
    def get_queryset(self) -> models.QuerySet["Site"]:
        return super().get_queryset().filter(removed_at=None)


class Site(models.Model):
    """A place where clusters run, with the result of a worker's last check.

    settings: how the site is reached and what nodes get there, in the format of its kind; paths of secrets, never
    secrets. isolation, proof, proved_at: whether tenants are isolated, what proves it in words, and since when.
    ready_at: when the site was last ready; null is never. removed_at: the row of a removed site stays for the clusters
    that ran there; `objects` leaves it out.
    identity: the Kubernetes that the clusters are on; "" is unknown, or does not apply. changed: the settings lead to
    another Kubernetes, so Slipway makes no calls there. everyone: any tenant may launch there, else `tenants` alone.
    capacity: the sizes of the machines, see `clusters.capacity`; null is unknown.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=40)
    kind = models.CharField(max_length=16, choices=SiteKind.choices)
    settings = models.JSONField(default=dict)
    ready = models.BooleanField(default=False)
    ready_at = models.DateTimeField(null=True)
    message = models.CharField(max_length=1000, blank=True)
    checked_at = models.DateTimeField(null=True)
    isolation = models.CharField(max_length=16, default="unknown")
    proof = models.CharField(max_length=1000, blank=True)
    proved_at = models.DateTimeField(null=True)
    removed_at = models.DateTimeField(null=True)
    identity = models.CharField(max_length=64, blank=True)
    changed = models.BooleanField(default=False)
    everyone = models.BooleanField(default=True)
    capacity = models.JSONField(null=True)
    tenants = models.ManyToManyField(Tenant, related_name="+")

    objects = _Registered()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["name"], condition=Q(removed_at=None), name="site_name_is_taken_once"
            )
        ]
