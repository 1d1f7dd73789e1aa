from django.db import models
from django.db.models import Q

from controlplane.clusters.models.cluster import Cluster
from controlplane.clusters.phases import Verb
from tenants.ids import new_id


class State(models.TextChoices):
    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


LIVE = (State.PENDING, State.RUNNING)


class Operation(models.Model):
    """One change of one cluster, from accepted to ended. A cluster has at most one live operation.

    deadline: when the operation fails; it is postponed while the site is unreachable. report: the drain of each node.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    cluster = models.ForeignKey(Cluster, on_delete=models.CASCADE, related_name="operations")
    kind = models.CharField(max_length=16, choices=[(verb, verb) for verb in Verb])
    state = models.CharField(max_length=16, choices=State.choices, default=State.PENDING)
    actor = models.CharField(max_length=150)
    generation = models.BigIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True)
    deadline = models.DateTimeField(null=True)
    reason = models.CharField(max_length=64, blank=True)
    message = models.CharField(max_length=1000, blank=True)
    report = models.JSONField(default=list)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["cluster"], condition=Q(state__in=LIVE), name="operation_one_live_a_cluster"
            )
        ]
        indexes = [models.Index(fields=["cluster", "-id"], name="operation_newest")]


class Step(models.Model):
    """A timed part of an operation. message: what the step waits for."""

    operation = models.ForeignKey(Operation, on_delete=models.CASCADE, related_name="steps")
    position = models.IntegerField()
    name = models.CharField(max_length=32)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    message = models.CharField(max_length=1000, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["operation", "name"], name="step_once_an_operation")]
        ordering = ["position"]


class Event(models.Model):
    """An event of a cluster, in words for its users."""

    id = models.BigAutoField(primary_key=True)
    cluster = models.ForeignKey(Cluster, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField(auto_now_add=True)
    kind = models.CharField(max_length=64)
    node = models.CharField(max_length=80, blank=True)
    message = models.CharField(max_length=1000, blank=True)

    class Meta:
        indexes = [models.Index(fields=["cluster", "-id"], name="event_newest")]
