from django.db import models
from knox.models import AbstractAuthToken

from tenants.ids import new_id
from tenants.models.tenant import Tenant


class ApiToken(AbstractAuthToken):
    """A token of the API. Its secret is shown once and stored as a hash. Deleting the row revokes the token.

    user: whose rights it has. scopes: names from tenants.actors.SCOPES that limit them, NULL for all. tenant: the only
    tenant that it works in, NULL for all of the user's.
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
