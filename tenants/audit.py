"""What was done and what was refused: rows that are only ever added."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from django.core.serializers.json import DjangoJSONEncoder
from django.db import Error, connection, transaction

from tenants.actors import Actor
from tenants.errors import NeedsRole, NeedsScope, NotFound, QuotaExceeded, Refused
from tenants.ids import new_id
from tenants.models import AuditEvent, Outcome, Tenant
from tenants.seal import Report, seal, unsealed, verify

__all__ = ["Report", "is_audited", "record", "refused", "seal", "unsealed", "verify", "visit"]

_COALESCED: Final = timedelta(minutes=1)
_log = structlog.get_logger("audit")
_JSON: Final = DjangoJSONEncoder()
# Spelled out, as every change adds one: making the statement anew cost more than running it.
_ADD: Final = """
INSERT INTO tenants_auditevent (id, at, last_at, count, tenant_id, tenant_name, actor_id, actor_name, via, verb,
                                target, outcome, reason, detail, request_id)
VALUES (%(id)s, statement_timestamp(), statement_timestamp(), 1, %(tenant_id)s, %(tenant_name)s, %(actor_id)s,
        %(actor_name)s, %(via)s, %(verb)s, %(target)s, %(outcome)s, %(reason)s, %(detail)s, %(request_id)s)
"""
_COUNT: Final = """
UPDATE tenants_auditevent SET count = count + 1, last_at = statement_timestamp()
 WHERE position IS NULL AND id = (
         SELECT id FROM tenants_auditevent
          WHERE tenant_id IS NOT DISTINCT FROM %(tenant_id)s AND actor_id = %(actor_id)s AND via = %(via)s
            AND verb = %(verb)s AND outcome = %(outcome)s AND reason = %(reason)s AND position IS NULL
            AND (NOT %(by_target)s OR target = %(target)s)
            AND at > statement_timestamp() - %(young)s * interval '1 second'
          ORDER BY at DESC, id DESC LIMIT 1)
"""


def record(
    *,
    actor: Actor,
    verb: str,
    target: str,
    tenant: Tenant | None = None,
    outcome: str = Outcome.ALLOWED,
    reason: str | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Adds a row in the caller's transaction: it is there exactly if the change is.

    verb: "cluster.create". target: "cluster/etl-1". detail: JSON, without secrets.
    """
    who = _who(actor, verb, target, tenant)
    event = {**who, "outcome": outcome, "reason": reason or "", "detail": _JSON.encode(detail or {})}
    with connection.cursor() as cursor:
        cursor.execute(_ADD, {**event, "id": new_id()})


def is_audited(refusal: Refused) -> bool:
    """Refusals by access and by quota are; malformed requests and conflicts of state are not."""
    if isinstance(refusal, NotFound):
        return refusal.by_access
    return isinstance(refusal, NeedsRole | NeedsScope | QuotaExceeded)


def refused(
    *,
    actor: Actor,
    verb: str,
    target: str,
    reason: str,
    tenant: Tenant | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Adds a row about a refusal, in a transaction of its own; call it after the rollback.

    Refusals of one actor for one reason within a minute are counted in one row until it is sealed. Never raises:
    a refusal is answered as such even when it cannot be written down, which then stands in the log.
    """
    # Not by target: who tries one name after another writes one row, which keeps the first.
    who = _who(actor, verb, target, tenant)
    _add_or_count({**who, "outcome": Outcome.DENIED, "reason": reason[:100]}, detail, by_target=False)


def visit(
    *, actor: Actor, verb: str, target: str, outcome: str, reason: str = "", detail: Mapping[str, Any]
) -> None:
    """Adds a row about a sign-in or sign-out, as `refused` does: equal ones of a minute share a row.

    Equal are those of one target; the detail is that of the first.
    """
    who = _who(actor, verb, target, None)
    _add_or_count({**who, "outcome": outcome, "reason": reason[:100]}, detail, by_target=True)


def _add_or_count(event: Mapping[str, Any], detail: Mapping[str, Any] | None, *, by_target: bool) -> None:
    try:
        with transaction.atomic():
            if not _counted(event, by_target=by_target):
                AuditEvent.objects.create(**event, detail=dict(detail or {}))
    except Error as failure:
        said = {name: event[name] for name in ("actor_name", "verb", "target", "outcome", "reason")}
        _log.warning("not_recorded", **said, failure=type(failure).__name__)


def _counted(event: Mapping[str, Any], *, by_target: bool) -> bool:
    """Counts the event in the row of an equal one, if there is one that is young and unsealed."""
    # The sealer may take the row between the two looks; then the update finds it sealed and changes nothing.
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, {**event, "by_target": by_target, "young": _COALESCED.total_seconds()})
        return bool(cursor.rowcount > 0)


def _who(actor: Actor, verb: str, target: str, tenant: Tenant | None) -> dict[str, Any]:
    tenant_id: UUID | None = None if tenant is None else tenant.pk
    return {
        "tenant_id": tenant_id,
        "tenant_name": "" if tenant is None else tenant.name,
        "actor_id": actor.user_id,
        "actor_name": actor.username,
        "via": actor.via,
        "verb": _storable(verb, 100),
        "target": _storable(target, 200),
        "request_id": _storable(actor.request_id, 100),
    }


def _storable(text: str, longest: int) -> str:
    """What a refused request named may be anything; the row takes what fits and can be shown on a line."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:longest])
