from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.auth.models import Permission
from django.db import models
from django.db.models import Q, Value
from guardian.models import UserObjectPermissionBase

from controlplane.clusters.models.site import Site
from controlplane.clusters.phases import Goal, Phase
from templates.models import TemplateRevision
from tenants.ids import new_id
from tenants.models import Tenant

if TYPE_CHECKING:
    from controlplane.clusters.models.operation import Operation


class Cluster(models.Model):
    """What somebody wants (goal, generation, requested, effective) and what is there (the rest).

    The first group of columns is written by services, the second by the reconciler alone. `revision` grows with
    every write of either, and every write says which one it saw.

    requested: the request as sent, with what was changed since. effective: the Launch of this generation, its App by
    digest.
    run: counts the starts. restart_generation: nodes born in an earlier generation are replaced.
    used_attempts: the last attempt of each name of this run that no node has now; an attempt is never used twice.
    draining: the names whose last node was to leave: what they stored is the last that a new run takes up.
    released: a site admin let go of it while something of it could not be removed; message says of what.
    drift: what its run needs beside its nodes and was changed or deleted by hand, until it is written again.
    stored: bytes of all volumes that may be there; they go while the cluster is ready without them, and with it.
    link_version: how often the links to its pages were replaced. link_version_given: the version that its nodes have.
    isolated_run: the last run for which the tenant's isolation was ensured. last_action: the token of the last action
    that was executed at the site. last_action_at: when that was.
    last_write_at: when the last call that may have changed something at the site began. observed_at: when the last
    complete observation began, of this cluster or of its whole site; the time of the first action before there was
    one; null when the stored observation is in doubt.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=40)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    site = models.ForeignKey(Site, on_delete=models.PROTECT, related_name="+")
    template_revision = models.ForeignKey(TemplateRevision, on_delete=models.PROTECT, related_name="+")
    goal = models.CharField(max_length=16, choices=[(goal, goal) for goal in Goal], default=Goal.RUNNING)
    generation = models.BigIntegerField(default=1)
    requested = models.JSONField()
    effective = models.JSONField()
    drain_seconds = models.IntegerField(default=60)
    force = models.BooleanField(default=False)
    restart_generation = models.BigIntegerField(default=0)
    link_version = models.IntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    phase = models.CharField(
        max_length=16, choices=[(phase, phase) for phase in Phase], default=Phase.PENDING
    )
    observed_generation = models.BigIntegerField(default=0)
    run = models.IntegerField(default=0)
    link_version_given = models.IntegerField(default=0)
    reason = models.CharField(max_length=64, blank=True)
    message = models.CharField(max_length=1000, blank=True)
    conditions = models.JSONField(default=list)
    ready_at = models.DateTimeField(null=True)
    isolated_run = models.IntegerField(default=0)
    used_attempts = models.JSONField(default=dict)
    draining = models.JSONField(default=list)
    released = models.BooleanField(default=False)
    drift = models.JSONField(default=list, db_default=Value([], models.JSONField()))
    stored = models.BigIntegerField(default=0)
    last_action = models.CharField(max_length=100, blank=True)
    last_action_at = models.DateTimeField(null=True)
    last_write_at = models.DateTimeField(null=True)
    observed_at = models.DateTimeField(null=True)
    deleted_at = models.DateTimeField(null=True)

    revision = models.BigIntegerField(default=1)

    # No column: the operation that a service began on this very instance, so that nobody need read it back.
    begun: "Operation | None" = None

    class Meta:
        permissions = [("operate_cluster", "May use the cluster like its owner")]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "name"],
                condition=~Q(phase=Phase.DELETED),
                name="cluster_name_is_taken_once",
            )
        ]
        indexes = [
            models.Index(
                fields=["tenant", "-id"], name="cluster_newest_kept", condition=~Q(phase=Phase.DELETED)
            ),
            models.Index(fields=["tenant", "phase", "-id"], name="cluster_by_phase"),
            models.Index(fields=["owner", "-id"], name="cluster_by_owner"),
        ]


class ClusterShare(UserObjectPermissionBase):
    """One cluster shared with one user: guardian's permission with a direct foreign key, gone with its cluster."""

    content_object = models.ForeignKey(Cluster, on_delete=models.CASCADE, related_name="shares")
    permission = models.ForeignKey(Permission, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
