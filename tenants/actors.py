"""The actor of a request: a user, a token's owner or Slipway itself, with the rights of the request."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal
from uuid import UUID

from tenants.ids import NO_ID

if TYPE_CHECKING:
    from tenants.models import ApiToken, User

Via = Literal["token", "session", "password", "system"]

# The scopes that a token can be limited to, and what each allows. A scope to write includes reading the same things.
SCOPES: Final[dict[str, str]] = {
    "clusters:read": "See clusters, their nodes, logs, events and operations, and what they use.",
    "clusters:write": "Launch, start, stop, resize, share and delete clusters.",
    "templates:read": "See templates, their revisions and the catalogue of apps.",
    "templates:write": "Create, change, publish and roll back templates; register apps.",
    "tenants:read": "See tenants, their members, limits and use.",
    "tenants:write": "Create and change tenants, members and limits.",
    "users:read": "See users and their tokens. For site admins.",
    "users:write": "Create, disable and delete users; reset passwords, so it can become any user. For site admins.",
    "sites:read": "See sites and whether they are ready.",
    "sites:write": "Register and change sites.",
    "audit:read": "Read the audit of the tenant; of all tenants for site admins.",
    "metrics:read": "Read /metrics of the control plane. For site admins.",
    "tokens:write": "Make and revoke API tokens, none with more rights than this one.",
}


@dataclass(frozen=True, slots=True)
class Actor:
    """The actor of one request.

    site_admin: the user administers the whole installation. scopes: None means all. tenant_id: the only tenant that
    the token works in; such a token has none of its owner's rights above tenants. expires_at: of the token.
    """

    user_id: UUID
    username: str
    site_admin: bool = False
    scopes: frozenset[str] | None = None
    tenant_id: UUID | None = None
    via: Via = "session"
    request_id: str = ""
    expires_at: datetime | None = None

    @property
    def above_tenants(self) -> bool:
        """Whether the actor may use what belongs to no tenant: tenants and users themselves, the limits of tenants,
        sites and the catalogue.
        """
        return self.site_admin and self.tenant_id is None

    def has_scope(self, scope: str) -> bool:
        if self.scopes is None or scope in self.scopes:
            return True
        noun, _, right = scope.partition(":")
        return right == "read" and f"{noun}:write" in self.scopes


def actor_for(
    user: "User", *, token: "ApiToken | None" = None, via: Via = "session", request_id: str = ""
) -> Actor:
    """The actor behind an authenticated request: by `token`, by a signed-in session, or as `via` says."""
    return Actor(
        user_id=user.pk,
        username=user.username,
        site_admin=user.is_superuser,
        scopes=None if token is None or token.scopes is None else frozenset(token.scopes),
        tenant_id=None if token is None else token.tenant_id,
        via=via if token is None else "token",
        request_id=request_id,
        expires_at=None if token is None else token.expiry,
    )


def anonymous_actor(*, via: Via, request_id: str = "") -> Actor:
    """The actor of a request that was not authenticated, such as a sign-in with a wrong password."""
    return Actor(user_id=NO_ID, username="anonymous", via=via, request_id=request_id)


def system_actor(request_id: str = "") -> Actor:
    """The actor of what Slipway does by itself, without a request of a user."""
    return Actor(user_id=NO_ID, username="system", site_admin=True, via="system", request_id=request_id)
