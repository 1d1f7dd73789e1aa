"""The ledger: limits, claims (what is held now) and holdings (what was held, and when).

Only tenants.quota writes them.
"""

from django.db import models

from tenants.amounts import RESOURCES, Amounts
from tenants.ids import new_id
from tenants.models.tenant import Tenant
from tenants.models.user import User


def _never_negative(prefix: str) -> models.Q:
    return models.Q(**{f"{prefix}{resource}__gte": 0 for resource in RESOURCES})


class HasAmounts(models.Model):
    """One Amounts as columns: millicores of cpu, bytes of memory and storage, counts of gpu and clusters."""

    cpu = models.BigIntegerField(default=0)
    memory = models.BigIntegerField(default=0)
    gpu = models.BigIntegerField(default=0)
    storage = models.BigIntegerField(default=0)
    clusters = models.BigIntegerField(default=0)

    class Meta:
        abstract = True

    @property
    def amounts(self) -> Amounts:
        return Amounts(self.cpu, self.memory, self.gpu, self.storage, self.clusters)


class Limit(models.Model):
    """The limits of a tenant (user NULL) or of a member, with the sum of the claims under them.

    limit_*: NULL means unlimited. held_*: the sum of the claims. A member's row outlives the membership: what a former
    member still holds stays counted, and a member who returns does not get a larger limit.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="limits")
    user = models.ForeignKey(User, on_delete=models.PROTECT, null=True, blank=True, related_name="limits")
    limit_cpu = models.BigIntegerField(null=True, blank=True)
    limit_memory = models.BigIntegerField(null=True, blank=True)
    limit_gpu = models.BigIntegerField(null=True, blank=True)
    limit_storage = models.BigIntegerField(null=True, blank=True)
    limit_clusters = models.BigIntegerField(null=True, blank=True)
    held_cpu = models.BigIntegerField(default=0)
    held_memory = models.BigIntegerField(default=0)
    held_gpu = models.BigIntegerField(default=0)
    held_storage = models.BigIntegerField(default=0)
    held_clusters = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant"], condition=models.Q(user=None), name="limit_once_a_tenant"
            ),
            models.UniqueConstraint(
                fields=["tenant", "user"], condition=models.Q(user__isnull=False), name="limit_once_a_member"
            ),
            models.CheckConstraint(condition=_never_negative("held_"), name="limit_held_not_negative"),
        ]

    def __str__(self) -> str:
        return f"limit of {self.user_id or 'all'} in {self.tenant_id}"

    @property
    def scope(self) -> str:
        return "tenant" if self.user_id is None else "member"

    @property
    def held(self) -> Amounts:
        return Amounts(*(getattr(self, f"held_{resource}") for resource in RESOURCES))

    @property
    def limits(self) -> dict[str, int | None]:
        return {resource: getattr(self, f"limit_{resource}") for resource in RESOURCES}


class Claim(HasAmounts):
    """What one owner, such as a cluster, holds now. An owner without a row holds nothing."""

    owner_id = models.UUIDField(primary_key=True)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="claims")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="claims")
    label = models.CharField(max_length=100)
    site = models.CharField(max_length=100)

    class Meta:
        constraints = [models.CheckConstraint(condition=_never_negative(""), name="claim_not_negative")]

    def __str__(self) -> str:
        return f"claim of {self.label}"


class Holding(HasAmounts):
    """What one owner held from `started_at` to `ended_at` (NULL: until now). Append-only; the end is set once."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    owner_id = models.UUIDField()
    label = models.CharField(max_length=100)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="holdings")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="holdings")
    site = models.CharField(max_length=100)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [models.Index(fields=["tenant", "started_at"], name="holding_by_tenant")]
        constraints = [
            models.UniqueConstraint(
                fields=["owner_id"], condition=models.Q(ended_at=None), name="holding_open_once"
            ),
        ]

    def __str__(self) -> str:
        return f"holding of {self.label} from {self.started_at}"
