from django.db import models
from django.db.models import Q

from controlplane.clusters.models.cluster import Cluster


class Node(models.Model):
    """A node of a cluster, as the reconciler plans it.

    attempt: counts the times the node was created in this run, from 1. attempt_generation: the cluster's generation at
    that time. confirmed: the site has shown this attempt at least once. ending: this attempt is to end. leaving: the
    node itself is to be removed; drain_until is set once its drain was requested. failures: attempts in a row that
    ended without being ready for 30 s. retry_at: when the next attempt may be made. restart_generation: an attempt of
    an earlier generation is to be replaced.
    """

    cluster = models.ForeignKey(Cluster, on_delete=models.CASCADE, related_name="nodes")
    name = models.CharField(max_length=80)
    group = models.CharField(max_length=40)
    role = models.CharField(max_length=40)
    index = models.IntegerField()
    run = models.IntegerField()
    attempt = models.IntegerField(default=1)
    attempt_generation = models.BigIntegerField()
    confirmed = models.BooleanField(default=False)
    ending = models.BooleanField(default=False)
    leaving = models.BooleanField(default=False)
    drain_until = models.DateTimeField(null=True)
    failures = models.IntegerField(default=0)
    retry_at = models.DateTimeField(null=True)
    restart_generation = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["cluster", "name"], name="node_once_in_cluster")]


class Observation(models.Model):
    """The last observation of one attempt of one node. An older observation never replaces a newer one."""

    cluster_id = models.UUIDField()
    run = models.IntegerField()
    name = models.CharField(max_length=80)
    attempt = models.IntegerField()
    version = models.BigIntegerField()
    state = models.CharField(max_length=16)
    incarnation = models.CharField(max_length=200, blank=True)
    address = models.CharField(max_length=255, blank=True)
    reason = models.CharField(max_length=64, blank=True)
    message = models.CharField(max_length=2000, blank=True)
    exit_code = models.IntegerField(null=True)
    stages = models.JSONField(default=dict)
    drain = models.JSONField(null=True)
    observed_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["cluster_id", "run", "name", "attempt"], name="observation_once_an_attempt"
            )
        ]


class NodeLog(models.Model):
    """The end of a node's log, kept for seven days after the node has gone. tail: gzip of at most 1 MiB."""

    cluster = models.ForeignKey(Cluster, on_delete=models.CASCADE, related_name="+")
    run = models.IntegerField()
    name = models.CharField(max_length=80)
    attempt = models.IntegerField()
    tail = models.BinaryField()
    kept_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["cluster", "run", "name", "attempt"], name="log_once_an_attempt")
        ]
        indexes = [models.Index(fields=["kept_at"], name="log_oldest", condition=Q(kept_at__isnull=False))]
