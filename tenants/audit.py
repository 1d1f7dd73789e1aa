"""The audit: one row for each change and each refusal by access or quota. Rows are added and never changed."""

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

__all__ = ["Report", "is_audited", "record", "record_refusal", "record_sign_in", "seal", "unsealed", "verify"]

# Equal events of this time are counted in one row.
_COALESCED: Final = timedelta(minutes=1)
_log = structlog.get_logger("audit")
_JSON: Final = DjangoJSONEncoder()
# Hand-written, because every change adds a row: the ORM took longer to build the statement than PostgreSQL to run it.
_ADD: Final = """
INSERT INTO tenants_auditevent (id, at, last_at, count, tenant_id, tenant_name, actor_id, actor_name, via, verb,
                                target, outcome, reason, detail, request_id)
VALUES (%(id)s, statement_timestamp(), statement_timestamp(), 1, %(tenant_id)s, %(tenant_name)s, %(actor_id)s,
        %(actor_name)s, %(via)s, %(verb)s, %(target)s, %(outcome)s, %(reason)s, %(detail)s, %(request_id)s)
"""
# Hand-written, because the ORM cannot choose the row and count in one statement. The sealer may seal the chosen row in
# between; then the outer condition does not hold and the statement changes nothing.
_COUNT: Final = """
UPDATE tenants_auditevent SET count = count + 1, last_at = statement_timestamp()
 WHERE position IS NULL AND id = (
         SELECT id FROM tenants_auditevent
          WHERE tenant_id IS NOT DISTINCT FROM %(tenant_id)s AND actor_id = %(actor_id)s AND via = %(via)s
            AND verb = %(verb)s AND outcome = %(outcome)s AND reason = %(reason)s AND position IS NULL
            AND (NOT %(by_target)s OR target = %(target)s)
            AND at > statement_timestamp() - %(coalesced)s * interval '1 second'
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
    """Adds a row about a change, in the transaction of the change: both are committed or neither is.

    verb: such as "cluster.create". target: such as "cluster/etl-1". detail: JSON without secrets.
    """
    event = _columns(actor, verb, target, tenant) | {
        "outcome": outcome,
        "reason": reason or "",
        "detail": _JSON.encode(detail or {}),
    }
    with connection.cursor() as cursor:
        cursor.execute(_ADD, {**event, "id": new_id()})


def is_audited(refusal: Refused) -> bool:
    """Whether the audit records this refusal: those by access and by quota, not malformed requests or conflicts."""
    if isinstance(refusal, NotFound):
        return refusal.by_access
    return isinstance(refusal, NeedsRole | NeedsScope | QuotaExceeded)


def record_refusal(
    *,
    actor: Actor,
    verb: str,
    target: str,
    reason: str,
    tenant: Tenant | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Adds a row about a refusal, in a transaction of its own; call it after the rollback.

    Refusals of one actor for one reason share a row for a minute, unless it is sealed earlier. The row keeps the first
    target, so that an actor that tries one name after another does not flood the audit. Never raises: when the row
    cannot be written, the log says so, and the caller still answers with the refusal.
    """
    event = _columns(actor, verb, target, tenant) | {"outcome": Outcome.DENIED, "reason": reason[:100]}
    _add_or_count(event, detail, by_target=False)


def record_sign_in(
    *, actor: Actor, verb: str, target: str, outcome: str, reason: str = "", detail: Mapping[str, Any]
) -> None:
    """Adds a row about a sign-in or a sign-out, as `record_refusal` does.

    Those of one target share a row for a minute, which keeps the first detail.
    """
    event = _columns(actor, verb, target, None) | {"outcome": outcome, "reason": reason[:100]}
    _add_or_count(event, detail, by_target=True)


def _add_or_count(event: Mapping[str, Any], detail: Mapping[str, Any] | None, *, by_target: bool) -> None:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            equal = {"by_target": by_target, "coalesced": _COALESCED.total_seconds()}
            cursor.execute(_COUNT, {**event, **equal})
            if cursor.rowcount == 0:
                AuditEvent.objects.create(**event, detail=dict(detail or {}))
    except Error as failure:
        logged = {name: event[name] for name in ("actor_name", "verb", "target", "outcome", "reason")}
        _log.warning("not_recorded", **logged, failure=type(failure).__name__)


def _columns(actor: Actor, verb: str, target: str, tenant: Tenant | None) -> dict[str, Any]:
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
    """`text` cut to `longest` characters and made printable, because a refused request may name anything."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:longest])
