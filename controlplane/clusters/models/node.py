from django.db import models
from django.db.models import Q

from controlplane.clusters.models.cluster import Cluster


class Node(models.Model):
    """A place in a cluster, as the reconciler means it to be.

    birth counts the incarnations within a run; born_generation is when this one was asked for. seen: its site has
    confirmed it at least once. ending: this birth is to go. leaving: the place itself is to go; drain_until is set
    once its drain was asked for. failures: births in a row that ended without being ready; retry_at: when the next
    may be made. restart_generation: a birth that was asked for before it is to be made anew.
    """

    cluster = models.ForeignKey(Cluster, on_delete=models.CASCADE, related_name="nodes")
    name = models.CharField(max_length=80)
    group = models.CharField(max_length=40)
    role = models.CharField(max_length=40)
    index = models.IntegerField()
    run = models.IntegerField()
    birth = models.IntegerField(default=1)
    born_generation = models.BigIntegerField()
    seen = models.BooleanField(default=False)
    ending = models.BooleanField(default=False)
    leaving = models.BooleanField(default=False)
    drain_until = models.DateTimeField(null=True)
    failures = models.IntegerField(default=0)
    retry_at = models.DateTimeField(null=True)
    restart_generation = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["cluster", "name"], name="node_once_in_cluster")]


class Observation(models.Model):
    """The last sight of one birth of one node: one row a transition, an older sight never replaces a newer."""

    cluster_id = models.UUIDField()
    run = models.IntegerField()
    name = models.CharField(max_length=80)
    birth = models.IntegerField()
    version = models.BigIntegerField()
    state = models.CharField(max_length=16)
    incarnation = models.CharField(max_length=200, blank=True)
    address = models.CharField(max_length=255, blank=True)
    reason = models.CharField(max_length=64, blank=True)
    message = models.CharField(max_length=2000, blank=True)
    exit_code = models.IntegerField(null=True)
    stages = models.JSONField(default=dict)
    drain = models.JSONField(null=True)
    seen_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["cluster_id", "run", "name", "birth"], name="observation_once_a_birth"
            )
        ]


class NodeLog(models.Model):
    """The end of what a node wrote, kept when the node goes: gzip, at most 1 MiB before it, for seven days."""

    cluster = models.ForeignKey(Cluster, on_delete=models.CASCADE, related_name="+")
    run = models.IntegerField()
    name = models.CharField(max_length=80)
    birth = models.IntegerField()
    tail = models.BinaryField()
    kept_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["cluster", "run", "name", "birth"], name="log_once_a_birth")
        ]
        indexes = [models.Index(fields=["kept_at"], name="log_oldest", condition=Q(kept_at__isnull=False))]
