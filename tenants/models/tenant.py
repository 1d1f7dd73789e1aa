from django.db import models
from django.db.models.functions import Now

from tenants.ids import new_id
from tenants.models.user import User


class TenantState(models.TextChoices):
    ACTIVE = "active"
    SUSPENDED = "suspended"
    DELETING = "deleting"
    DELETED = "deleted"


class Role(models.TextChoices):
    """What a member may do. Each role includes the rights of those before it."""

    VIEWER = "viewer"
    MEMBER = "member"
    ADMIN = "admin"


class Tenant(models.Model):
    """A group of people with limits of its own. A deleted tenant keeps its row; only its name can be used again."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=40)
    display_name = models.CharField(max_length=200, blank=True)
    state = models.CharField(max_length=10, choices=TenantState, default=TenantState.ACTIVE)
    created_at = models.DateTimeField(db_default=Now())
    deleted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["name"], condition=~models.Q(state="deleted"), name="tenant_name_in_use"
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=["active", "suspended", "deleting", "deleted"]),
                name="tenant_state_known",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """A user in a tenant, with a role."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="memberships")
    role = models.CharField(max_length=6, choices=Role)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "user"], name="membership_once"),
            models.CheckConstraint(
                condition=models.Q(role__in=["viewer", "member", "admin"]), name="membership_role_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} {self.role} of {self.tenant_id}"
