"""The seal on the audit: a chain of digests under a key that is not in the database.

Committed rows get consecutive positions; each batch of them gets a digest that also covers the digest before
it. So an edited, removed, moved or slipped-in row breaks the chain, as long as the key is secret. What no
chain can show by itself is a tail cut off together with its seals: for that every new head goes to the log,
to be compared later.
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
# The columns that a seal covers, by its version; whoever adds a column adds a version.
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
_LOCK: Final = 0x5EA1_A0D1
_MOST_PROBLEMS: Final = 20
_log = structlog.get_logger("audit")


@dataclass(frozen=True, slots=True)
class Report:
    """What verify found. newest_seal_at None: nothing is sealed yet. problems: sentences, at most 20. head:
    "seq:digest".
    """

    ok: bool
    sealed_rows: int
    unsealed_rows: int
    newest_seal_at: datetime | None
    head: str
    problems: list[str] = field(default_factory=list)


def unsealed() -> bool:
    """Whether there is anything to seal; one look into a small index."""
    return AuditEvent.objects.filter(position=None).exists()


def seal() -> int:
    """Seals up to BATCH committed rows; returns how many. 0 also when another process is at it.

    Raises WrongKey: a seal under another key would break the chain for good.
    """
    with transaction.atomic():
        if not _alone():
            return 0
        key_check()
        events = _take()
        if not events:
            return 0
        head = _append(events)
    _log.info("audit_sealed", seq=head.seq, digest=head.digest, events=len(events), last=head.last)
    return len(events)


def verify(*, expected_head: str | None = None) -> Report:
    """Recomputes the whole chain. expected_head: a "seq:digest" from the log that must be part of it."""
    problems: list[str] = []
    newest: AuditSeal | None = None
    rows = 0
    seals = AuditSeal.objects.order_by("seq").iterator(chunk_size=500)
    first = next(seals, None)
    # Opened after the seals, so that every event under them is in sight.
    events = _SealedEvents()
    for found in chain([first] if first else [], seals):
        problems += _broken(found, newest, events)
        rows += found.last - found.first + 1
        newest = found
        if len(problems) >= _MOST_PROBLEMS:
            break
    else:
        problems += _strays()
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
    """Whether the newest seal was made with our key; True when nothing is sealed yet."""
    newest = AuditSeal.objects.order_by("-seq").first()
    if newest is None:
        return True
    events = AuditEvent.objects.filter(position__range=(newest.first, newest.last)).order_by("position")
    return hmac.compare_digest(newest.digest, _digest(newest, list(events)))


def _alone() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
        return bool(cursor.fetchone()[0])


def _take() -> list[AuditEvent]:
    """Rows that wait, oldest first. One that is just being counted up is left for the next time."""
    waiting = AuditEvent.objects.filter(position=None).order_by("at", "id")
    return list(waiting.select_for_update(skip_locked=True)[:BATCH])


def _append(events: list[AuditEvent]) -> AuditSeal:
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
    _place(events)
    found.save(force_insert=True)
    return found


def _place(events: list[AuditEvent]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE tenants_auditevent e SET position = v.position"
            " FROM unnest(%s::uuid[], %s::bigint[]) AS v (id, position) WHERE e.id = v.id",
            [[str(event.pk) for event in events], [event.position for event in events]],
        )


def _digest(found: AuditSeal, events: list[AuditEvent]) -> str:
    head = [
        found.seq,
        found.version,
        found.first,
        found.last,
        found.previous_digest,
        _plain(found.sealed_at),
    ]
    mac = hmac.new(_key(), digestmod=hashlib.sha256)
    for part in chain(
        [head], ([_plain(getattr(e, name)) for name in COVERED[found.version]] for e in events)
    ):
        mac.update(json.dumps(part, sort_keys=True, separators=(",", ":")).encode())
        mac.update(b"\n")
    return mac.hexdigest()


def _key() -> bytes:
    return hmac.digest(str(settings.INSTALLATION_KEY).encode(), b"slipway audit seal", hashlib.sha256)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return str(value) if isinstance(value, UUID) else value


class _SealedEvents:
    """The sealed events in the order of their positions, read once from front to back."""

    def __init__(self) -> None:
        sealed = AuditEvent.objects.filter(position__isnull=False).order_by("position")
        self._rows = sealed.iterator(chunk_size=2000)
        self._next = next(self._rows, None)

    def up_to(self, last: int) -> list[AuditEvent]:
        """Those not yet read, up to position `last`; never many more than a seal can cover."""
        taken: list[AuditEvent] = []
        while self._next is not None and (self._next.position or 0) <= last and len(taken) <= BATCH:
            taken.append(self._next)
            self._next = next(self._rows, None)
        return taken


def _broken(found: AuditSeal, before: AuditSeal | None, sealed: _SealedEvents) -> Iterator[str]:
    """What is wrong with one seal, given the one before."""
    if found.seq != (before.seq + 1 if before else 1):
        yield f"Seals before number {found.seq} are missing."
    if found.first != (before.last + 1 if before else 1):
        yield f"Seal {found.seq} does not join on to the one before."
    if found.previous_digest != (before.digest if before else _NOTHING_BEFORE):
        yield f"Seal {found.seq} names another digest before it."
    if found.version not in COVERED:
        yield f"Seal {found.seq} was made by a newer version ({found.version})."
        return
    if not 0 < found.last - found.first + 1 <= BATCH:
        yield f"Seal {found.seq} covers an impossible number of events."
        return
    events = sealed.up_to(found.last)
    wanted = found.last - found.first + 1
    if len(events) != wanted:
        yield f"Under seal {found.seq} there are {len(events)} events; it was put on {wanted}."
    elif not hmac.compare_digest(found.digest, _digest(found, events)):
        yield f"Seal {found.seq}, or an event under it ({found.first} to {found.last}), was changed."


def _strays() -> Iterator[str]:
    """Rows that claim a place in the chain which no seal covers; looked for in one statement, as sealing goes
    on.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM tenants_auditevent WHERE position < 1"
            " OR position > (SELECT COALESCE(max(last), 0) FROM tenants_auditseal)"
        )
        (count,) = cursor.fetchone()
    if count:
        yield f"{count} events claim a place in the chain that no seal covers."


def _missing_head(expected: str | None) -> Iterator[str]:
    if expected is None:
        return
    seq, _, digest = expected.partition(":")
    known = seq.isascii() and seq.isdigit() and len(seq) < 19
    if not known or not AuditSeal.objects.filter(seq=int(seq), digest=digest).exists():
        yield f"The head {expected[:100]} is not in the chain: the end was cut off, or it is another chain."
