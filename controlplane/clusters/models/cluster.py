from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth.models import Permission
from django.db import models
from django.db.models import Q, Value
from guardian.models import UserObjectPermissionBase

from controlplane.clusters.models.site import Site
from controlplane.clusters.phases import Goal, Phase
from templates.models import TemplateRevision
from templates.schema import Launch
from templates.stored import launch_from_json, launch_to_json
from tenants.ids import new_id
from tenants.models import Tenant

if TYPE_CHECKING:
    from controlplane.clusters.models.operation import Operation


class Cluster(models.Model):
    """The requested state of a cluster (goal, generation, requested, effective) and its observed state (the rest).

    The first group of columns is written by services, the second by the reconciler alone. Every write of either
    increments `revision`, and fails where the revision is not the one that was read.

    requested: the request as sent, with the changes since. effective: the Launch of this generation as JSON, with its
    App by digest; code reads and writes it as `launch`.
    run: counts the starts. restart_generation: attempts of an earlier generation are replaced.
    used_attempts: the last attempt of each node name of this run that no node has now; no attempt is used twice.
    draining: the names whose last node was to leave; a new run takes up their volumes last.
    released: a site admin released the cluster while a part could not be removed; message names that part.
    drift: the objects of the run, beside its nodes, that were changed or deleted by hand and are not repaired yet.
    stored: bytes of all volumes that may exist. It decreases while the cluster is ready without them.
    link_version: how often the links to the pages were replaced. link_version_given: the version that the nodes have.
    isolated_run: the last run for which the tenant's isolation was ensured. last_action: the token of the last action
    that was executed at the site. last_action_at: when that was.
    last_write_at: when the last call began that may have changed something at the site. observed_at: when the last
    complete observation began, of this cluster or of its whole site; before the first one, the time of the first
    action; null when the stored observation is in doubt.
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

    # No column: the newest operation, where a service began it on this instance or a caller has read it already.
    last_operation: "Operation | None" = None
    # The launch with the value of `effective` that it was parsed from.
    _parsed: tuple[Any, Launch] | None = None

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

    @property
    def launch(self) -> Launch:
        """The launch of this generation. It is parsed once per instance."""
        effective = self.effective
        if self._parsed is None or self._parsed[0] is not effective:
            self._parsed = (effective, launch_from_json(effective))
        return self._parsed[1]

    @launch.setter
    def launch(self, launch: Launch) -> None:
        self.effective = launch_to_json(launch)
        self._parsed = (self.effective, launch)


class ClusterShare(UserObjectPermissionBase):
    """One cluster shared with one user, as guardian's permission with a direct foreign key."""

    content_object = models.ForeignKey(Cluster, on_delete=models.CASCADE, related_name="shares")
    permission = models.ForeignKey(Permission, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
