from django.db import models
from knox.models import AbstractAuthToken

from tenants.ids import new_id
from tenants.models.tenant import Tenant


class ApiToken(AbstractAuthToken):
    """A key to the API, stored as a hash and shown once. It acts for `user`, within `scopes` and `tenant` if
    set.

    scopes: a list of names from tenants.actors.SCOPES, or NULL for all. Deleting the row revokes the token.
    """

    id = models.UUIDField(default=new_id, unique=True, editable=False)
    name = models.CharField(max_length=100)
    tenant = models.ForeignKey(
        Tenant, on_delete=models.PROTECT, null=True, blank=True, related_name="api_tokens"
    )
    scopes = models.JSONField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [models.Index(fields=["user", "id"], name="token_by_user")]

    def __str__(self) -> str:
        return self.name
