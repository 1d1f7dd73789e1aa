from django.db import models


class Kind(models.TextChoices):
    CLUSTER = "cluster"
    TENANT = "tenant"
    SITE = "site"


class Work(models.Model):
    """A work item: one cluster, tenant or site, and when its next pass is due. The table is the queue.

    due_at: null = at rest. lease_until, lease_owner: of the process that handles the item now. fence: counts the
    leases; a result under an older one is refused. attempts: passes in a row that failed. wake_seq: counts the wakes,
    so that the end of a pass does not erase a wake that came during the pass.
    """

    kind = models.CharField(max_length=16, choices=Kind.choices)
    key = models.UUIDField()
    tenant_id = models.UUIDField(null=True)
    due_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)
    lease_owner = models.CharField(max_length=120, db_default="")
    fence = models.BigIntegerField(default=0)
    attempts = models.IntegerField(default=0)
    wake_seq = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["kind", "key"], name="work_one_row_per_thing")]
        indexes = [
            models.Index(fields=["due_at"], name="work_due", condition=models.Q(due_at__isnull=False)),
            models.Index(
                fields=["tenant_id", "due_at"],
                name="work_due_of_tenant",
                condition=models.Q(due_at__isnull=False),
            ),
            models.Index(
                fields=["lease_until"], name="work_leased", condition=models.Q(lease_until__isnull=False)
            ),
        ]
