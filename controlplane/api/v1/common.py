"""Shapes and functions that several nouns share."""

from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from rest_framework import serializers

from controlplane.api.endpoint import ApiCall, Path, Recheck
from controlplane.api.fields import Flag
from controlplane.api.shapes import In, Out, Query
from tenants.access import Permission, allow, require_site_admin
from tenants.errors import NotFound
from tenants.names import parse_id

ROOT: Final = "/api/v1"


class AmountsOut(Out):
    """The amount of each resource; cpu, memory and storage as Kubernetes quantities."""

    cpu = serializers.CharField()
    memory = serializers.CharField()
    gpu = serializers.IntegerField()
    storage = serializers.CharField()
    clusters = serializers.IntegerField(required=False)


class PlanQuery(Query):
    validate_only = Flag(words=True, default=False, help_text="Answer with the plan and change nothing.")


class ForceIn(In):
    force = Flag(default=False, help_text="Skip draining and grace.")


class ReasonOut(Out):
    reason = serializers.CharField()
    message = serializers.CharField()


def rfc3339(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def rfc3339_of(stored: str | None) -> str | None:
    """A time from a JSON column, in the format of all others."""
    return None if stored is None else rfc3339(datetime.fromisoformat(stored))


def id_of(text: str) -> UUID:
    """The id that this text spells. Raises NotFound for other texts."""
    found = parse_id(text)
    if found is None:
        raise NotFound
    return found


def in_tenant(permission: Permission) -> Recheck:
    """A recheck that the user is in the tenant of the URL and has this permission there."""

    def recheck(call: ApiCall, path: Path) -> None:
        allow(call.enter(path["tenant"]), permission)

    return recheck


def as_site_admin(call: ApiCall, path: Path) -> None:
    require_site_admin(call.actor)


def as_user_admin(call: ApiCall, path: Path) -> None:
    require_site_admin(call.actor, "users:write")


def reason_of(reason: str, message: str) -> dict[str, Any] | None:
    return {"reason": reason, "message": message} if reason else None
