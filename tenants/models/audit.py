from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models.functions import Now

from tenants.ids import new_id


class Outcome(models.TextChoices):
    ALLOWED = "allowed"
    DENIED = "denied"


class AuditEvent(models.Model):
    """One change or refusal. Names are copied and no row is referenced, so that the event outlives them.

    count, last_at: equal refusals share a row for a minute. position: in the sealed chain; the sealer sets it, and
    from then on the database refuses every change of the row.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    at = models.DateTimeField(db_default=Now())
    last_at = models.DateTimeField(db_default=Now())
    count = models.BigIntegerField(default=1)
    tenant_id = models.UUIDField(null=True, blank=True)
    tenant_name = models.CharField(max_length=40, blank=True)
    actor_id = models.UUIDField()
    actor_name = models.CharField(max_length=63)
    via = models.CharField(max_length=10)
    verb = models.CharField(max_length=100)
    target = models.CharField(max_length=200)
    outcome = models.CharField(max_length=7, choices=Outcome)
    reason = models.CharField(max_length=100, blank=True)
    detail = models.JSONField(default=dict, blank=True, encoder=DjangoJSONEncoder)
    request_id = models.CharField(max_length=100, blank=True)
    position = models.BigIntegerField(null=True, blank=True, unique=True)

    class Meta:
        indexes = [
            models.Index(fields=["tenant_id", "-at", "-id"], name="audit_by_tenant"),
            models.Index(fields=["-at", "-id"], name="audit_by_time"),
            models.Index(fields=["at", "id"], condition=models.Q(position=None), name="audit_unsealed"),
        ]

    def __str__(self) -> str:
        return f"{self.actor_name} {self.verb} {self.target} {self.outcome}"


class AuditSeal(models.Model):
    """The digest of a batch of events and of the seal before; see tenants.seal.

    seq: counts from 1 without gaps. first, last: the positions of the events; first follows the last of the seal
    before.
    """

    seq = models.BigIntegerField(primary_key=True)
    version = models.SmallIntegerField()
    first = models.BigIntegerField()
    last = models.BigIntegerField()
    previous_digest = models.CharField(max_length=64)
    digest = models.CharField(max_length=64)
    sealed_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"seal {self.seq}: events {self.first} to {self.last}"
