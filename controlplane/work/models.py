from django.db import models


class Kind(models.TextChoices):
    CLUSTER = "cluster"
    TENANT = "tenant"
    SITE = "site"


class Work(models.Model):
    """One thing to look after. The row is the queue: narrow, leased by the database's clock, fenced.

    due_at: when somebody should look again; null = at rest. wake_seq counts the reasons to look, so that a wake
    during a pass is not erased by that pass's release. fence counts the leases; a result recorded under an older
    one is refused. lease_owner: the process that has the lease, see `lease_owner`.
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
