"""Audit rows: written in the transaction of a change, or in a transaction of their own after a refusal."""

import pytest
from django.db import Error, connection, transaction

from tenants import audit, selectors
from tenants.actors import system_actor
from tenants.errors import Conflict, Invalid, NeedsRole, NeedsScope, NotFound, QuotaExceeded, Refused, TooBusy
from tenants.ids import NO_ID
from tenants.models import AuditEvent, Outcome
from tests.cast import Cast, an_actor, cast


@pytest.fixture
def people(db: None) -> Cast:
    return cast()


def refuse(people: Cast, target: str = "cluster/etl-1", reason: str = "NEEDS_ROLE") -> None:
    actor = an_actor(people.bob, request_id="r-1")
    audit.record_refusal(actor=actor, verb="cluster.delete", target=target, reason=reason, tenant=people.acme)


def test_a_row_copies_all_names(people: Cast):
    actor = an_actor(people.bob, scopes={"clusters:write"}, request_id="r-1")
    audit.record(
        actor=actor, verb="cluster.create", target="cluster/etl-1", tenant=people.acme, detail={"nodes": 3}
    )
    event = AuditEvent.objects.get()
    assert (event.actor_name, event.tenant_name, event.via, event.request_id) == (
        "bob",
        "acme",
        "token",
        "r-1",
    )
    assert (event.outcome, event.detail, event.count) == (Outcome.ALLOWED, {"nodes": 3}, 1)


def test_actions_of_slipway_itself_have_no_user(people: Cast):
    audit.record(actor=system_actor(), verb="cluster.expire", target="cluster/etl-1")
    event = AuditEvent.objects.get()
    assert (event.actor_id, event.actor_name, event.via) == (NO_ID, "system", "system")


def test_a_rolled_back_change_has_no_row(people: Cast):
    with transaction.atomic():
        audit.record(actor=an_actor(people.bob), verb="cluster.create", target="cluster/etl-1")
        transaction.set_rollback(True)
    assert not AuditEvent.objects.exists()


def test_equal_refusals_share_a_row(people: Cast):
    for _ in range(3):
        refuse(people)
    event = AuditEvent.objects.get()
    assert (event.count, event.outcome, event.reason) == (3, Outcome.DENIED, "NEEDS_ROLE")
    assert event.last_at >= event.at


def test_refusals_that_differ_have_rows_of_their_own(people: Cast):
    refuse(people)
    refuse(people, target="cluster/etl-2")
    refuse(people, reason="NEEDS_SCOPE")
    audit.record_refusal(
        actor=an_actor(people.carol),
        verb="cluster.delete",
        target="cluster/etl-1",
        reason="NEEDS_ROLE",
        tenant=people.acme,
    )
    # Refusals of one actor for many targets share a row, so that the audit is not flooded.
    assert AuditEvent.objects.count() == 3


def test_refusals_without_a_tenant_share_a_row_too(people: Cast):
    for _ in range(2):
        audit.record_refusal(
            actor=an_actor(people.bob), verb="tenant.read", target="tenant/globex", reason="NOT_FOUND"
        )
    assert AuditEvent.objects.get().count == 2


def test_a_refusal_a_minute_later_has_a_row_of_its_own(people: Cast):
    refuse(people)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE tenants_auditevent DISABLE TRIGGER USER")
        cursor.execute("UPDATE tenants_auditevent SET at = at - interval '61 seconds'")
    refuse(people)
    assert AuditEvent.objects.count() == 2


def test_a_sealed_refusal_is_counted_no_further(people: Cast):
    refuse(people)
    assert audit.seal() == 1
    refuse(people)
    assert [event.count for event in AuditEvent.objects.all()] == [1, 1]
    assert audit.verify().ok


def test_a_refused_request_may_name_any_target(people: Cast):
    refuse(people, target="cluster/\x00\n" + "x" * 1000)
    target = AuditEvent.objects.get().target
    assert target.startswith("cluster/??xx")
    assert len(target) == 200


def test_a_refusal_is_answered_even_when_it_cannot_be_written(people: Cast, caplog: pytest.LogCaptureFixture):
    with transaction.atomic():
        with pytest.raises(Error), connection.cursor() as cursor:
            cursor.execute("SELECT 1 / 0")
        refuse(people)
        transaction.set_rollback(True)
    assert "not_recorded" in caplog.text


@pytest.mark.parametrize(
    ("refusal", "audited"),
    [
        (NotFound(by_access=True), True),
        (NotFound(), False),
        (NeedsRole("admin", granted_by="x"), True),
        (NeedsScope("x"), True),
        (QuotaExceeded(levels=[]), True),
        (Invalid(), False),
        (Conflict("NAME_TAKEN"), False),
        (TooBusy(), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_which_refusals_are_audited(refusal: Refused, audited: bool):
    assert audit.is_audited(refusal) == audited


@pytest.mark.parametrize("change", [{"verb": "x"}, {"actor_name": "x"}, {"reason": "x"}, {"tenant_id": None}])
def test_the_database_refuses_to_rewrite_even_an_unsealed_row(people: Cast, change: dict[str, str]):
    refuse(people)
    with pytest.raises(Error, match="only added to"), transaction.atomic():
        AuditEvent.objects.update(**change)


def test_the_database_refuses_to_remove_a_row(people: Cast):
    refuse(people)
    with pytest.raises(Error, match="only added to"), transaction.atomic():
        AuditEvent.objects.all().delete()


def test_a_tenants_audit_is_its_own_and_newest_first(people: Cast):
    for verb in ("a.a", "b.b"):
        audit.record(actor=an_actor(people.bob), verb=verb, target="x", tenant=people.acme)
    audit.record(actor=an_actor(people.charlie), verb="c.c", target="x", tenant=people.globex)
    assert [event.verb for event in selectors.audit_events(people.acme)] == ["b.b", "a.a"]
    assert selectors.audit_events_everywhere(an_actor(people.root)).count() == 3
