"""The seal of the audit: a chain of HMAC digests under a key that is not in the database.

The sealer gives committed rows consecutive positions. Each batch of rows gets one seal, whose digest also covers the
digest of the seal before. An edited, removed, moved or inserted row therefore breaks the chain, as long as the key is
secret. A chain cannot show that its newest rows and their seals were cut off. For that the log gets every
new head, which `verify` can look for in the chain.
"""

import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from typing import Any, Final
from uuid import UUID

import structlog
from django.conf import settings
from django.db import connection, transaction

from tenants.installation import key_check
from tenants.models import AuditEvent, AuditSeal

VERSION: Final = 1
# The columns that a seal covers, by the version of the seal. A new column needs a new version.
COVERED: Final[dict[int, tuple[str, ...]]] = {
    1: (
        "id",
        "at",
        "last_at",
        "count",
        "tenant_id",
        "tenant_name",
        "actor_id",
        "actor_name",
        "via",
        "verb",
        "target",
        "outcome",
        "reason",
        "detail",
        "request_id",
        "position",
    )
}
BATCH: Final = 1000
_NOTHING_BEFORE: Final = "0" * 64
# The number of the advisory lock: only one process seals at a time.
_LOCK: Final = 0x5EA1_A0D1
_MOST_PROBLEMS: Final = 20
_log = structlog.get_logger("audit")


@dataclass(frozen=True, slots=True)
class Report:
    """The result of verify.

    newest_seal_at: None when nothing is sealed yet. head: "seq:digest" of the newest seal. problems: at most 20
    sentences.
    """

    ok: bool
    sealed_rows: int
    unsealed_rows: int
    newest_seal_at: datetime | None
    head: str
    problems: list[str] = field(default_factory=list)


def unsealed() -> bool:
    """Whether there is anything to seal. One query on a small partial index."""
    return AuditEvent.objects.filter(position=None).exists()


def seal() -> int:
    """Seals up to BATCH committed rows and returns how many; 0 also while another process seals.

    Raises WrongKey: a seal under another key would break the chain for good.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
            (is_alone,) = cursor.fetchone()
        if not is_alone:
            return 0
        key_check()
        # Oldest first. A row that is locked, because its count is growing, waits for the next seal.
        unsealed_events = AuditEvent.objects.filter(position=None).order_by("at", "id")
        events = list(unsealed_events.select_for_update(skip_locked=True)[:BATCH])
        if not events:
            return 0
        head = _append(events)
    _log.info("audit_sealed", seq=head.seq, digest=head.digest, events=len(events), last=head.last)
    return len(events)


def verify(*, expected_head: str | None = None) -> Report:
    """Recomputes the whole chain. expected_head: a "seq:digest" from the log, which the chain must contain."""
    problems: list[str] = []
    newest: AuditSeal | None = None
    rows = 0
    seals = AuditSeal.objects.order_by("seq").iterator(chunk_size=500)
    first = next(seals, None)
    # Opened after the seals, so that it contains every event that they cover.
    events = _SealedEvents()
    for found in chain([first] if first else [], seals):
        problems += _problems_of(found, newest, events)
        rows += found.last - found.first + 1
        newest = found
        if len(problems) >= _MOST_PROBLEMS:
            break
    else:
        problems += _uncovered_positions()
    problems += _missing_head(expected_head)
    return Report(
        ok=not problems,
        sealed_rows=rows,
        unsealed_rows=AuditEvent.objects.filter(position=None).count(),
        newest_seal_at=newest.sealed_at if newest else None,
        head=f"{newest.seq}:{newest.digest}" if newest else "",
        problems=problems[:_MOST_PROBLEMS],
    )


def newest_fits() -> bool:
    """Whether the newest seal was made with this installation's key; True when nothing is sealed yet."""
    newest = AuditSeal.objects.order_by("-seq").first()
    if newest is None:
        return True
    events = AuditEvent.objects.filter(position__range=(newest.first, newest.last)).order_by("position")
    return hmac.compare_digest(newest.digest, _digest(newest, list(events)))


def _append(events: list[AuditEvent]) -> AuditSeal:
    """Gives the events the next positions and adds the seal that covers them."""
    newest = AuditSeal.objects.order_by("-seq").first()
    first = newest.last + 1 if newest else 1
    for position, event in enumerate(events, start=first):
        event.position = position
    found = AuditSeal(
        seq=newest.seq + 1 if newest else 1,
        version=VERSION,
        first=first,
        last=first + len(events) - 1,
        previous_digest=newest.digest if newest else _NOTHING_BEFORE,
        sealed_at=datetime.now(tz=UTC),
    )
    found.digest = _digest(found, events)
    # One statement for all events: bulk_update would send a CASE with a branch for each of them.
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE tenants_auditevent e SET position = v.position"
            " FROM unnest(%s::uuid[], %s::bigint[]) AS v (id, position) WHERE e.id = v.id",
            [[str(event.pk) for event in events], [event.position for event in events]],
        )
    found.save(force_insert=True)
    return found


def _digest(found: AuditSeal, events: list[AuditEvent]) -> str:
    head = [
        found.seq,
        found.version,
        found.first,
        found.last,
        found.previous_digest,
        _plain(found.sealed_at),
    ]
    key = hmac.digest(str(settings.INSTALLATION_KEY).encode(), b"slipway audit seal", hashlib.sha256)
    mac = hmac.new(key, digestmod=hashlib.sha256)
    for part in chain(
        [head], ([_plain(getattr(e, name)) for name in COVERED[found.version]] for e in events)
    ):
        mac.update(json.dumps(part, sort_keys=True, separators=(",", ":")).encode())
        mac.update(b"\n")
    return mac.hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return str(value) if isinstance(value, UUID) else value


class _SealedEvents:
    """The sealed events in the order of their positions, read from the database once and in chunks."""

    def __init__(self) -> None:
        sealed = AuditEvent.objects.filter(position__isnull=False).order_by("position")
        self._rows = sealed.iterator(chunk_size=2000)
        self._next = next(self._rows, None)

    def up_to(self, last: int) -> list[AuditEvent]:
        """The next events up to position `last`; at most one more than a seal can cover."""
        taken: list[AuditEvent] = []
        while self._next is not None and (self._next.position or 0) <= last and len(taken) <= BATCH:
            taken.append(self._next)
            self._next = next(self._rows, None)
        return taken


def _problems_of(found: AuditSeal, before: AuditSeal | None, sealed: _SealedEvents) -> Iterator[str]:
    """What is wrong with one seal, in sentences. before: the seal with the previous number."""
    if found.seq != (before.seq + 1 if before else 1):
        yield f"Seals before number {found.seq} are missing."
    if found.first != (before.last + 1 if before else 1):
        yield f"Seal {found.seq} does not continue where the seal before it ends."
    if found.previous_digest != (before.digest if before else _NOTHING_BEFORE):
        yield f"Seal {found.seq} does not contain the digest of the seal before it."
    if found.version not in COVERED:
        yield f"Seal {found.seq} was made by a newer version ({found.version})."
        return
    if not 0 < found.last - found.first + 1 <= BATCH:
        yield f"Seal {found.seq} covers an impossible number of events."
        return
    events = sealed.up_to(found.last)
    wanted = found.last - found.first + 1
    if len(events) != wanted:
        yield f"Seal {found.seq} covers {wanted} events; {len(events)} are there."
    elif not hmac.compare_digest(found.digest, _digest(found, events)):
        yield f"Seal {found.seq}, or an event that it covers ({found.first} to {found.last}), was changed."


def _uncovered_positions() -> Iterator[str]:
    """A sentence about rows whose position no seal covers. One statement, because sealing continues meanwhile."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM tenants_auditevent WHERE position < 1"
            " OR position > (SELECT COALESCE(max(last), 0) FROM tenants_auditseal)"
        )
        (count,) = cursor.fetchone()
    if count:
        yield f"{count} events have a position in the chain that no seal covers."


def _missing_head(expected: str | None) -> Iterator[str]:
    if expected is None:
        return
    seq, _, digest = expected.partition(":")
    known = seq.isascii() and seq.isdigit() and len(seq) < 19
    if not known or not AuditSeal.objects.filter(seq=int(seq), digest=digest).exists():
        yield f"The head {expected[:100]} is not in the chain: the end was cut off, or it is another chain."
