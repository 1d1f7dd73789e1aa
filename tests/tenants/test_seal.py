"""The seal of the audit: verify accepts an untouched chain and finds every kind of tampering."""

import random
from collections.abc import Callable
from threading import Event, Thread

import pytest
from django.core.management import CommandError, call_command
from django.db import Error, connection, transaction

from tenants import audit, seal
from tenants.ids import new_id
from tenants.models import AuditEvent, AuditSeal
from tests.cast import Cast, an_actor, cast

ROWS = 40
TAMPERINGS = 1000


@pytest.fixture
def people(db: None) -> Cast:
    return cast()


def write(people: Cast, rows: int, verb: str = "cluster.create") -> None:
    for number in range(rows):
        actor = an_actor(people.bob, request_id=f"r-{number}")
        audit.record(
            actor=actor,
            verb=verb,
            target=f"cluster/etl-{number}",
            tenant=people.acme,
            detail={"number": number, "share": number / 3, "name": "ü"},
        )


def sealed(people: Cast, monkeypatch: pytest.MonkeyPatch, batch: int = 7) -> None:
    write(people, ROWS)
    monkeypatch.setattr(seal, "BATCH", batch)
    while seal.seal():
        pass


def sql(statement: str, *values: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def test_an_intact_chain_is_accepted(people: Cast, monkeypatch: pytest.MonkeyPatch):
    sealed(people, monkeypatch)
    write(people, 2)
    report = audit.verify()
    assert report.ok, report.problems
    assert (report.sealed_rows, report.unsealed_rows) == (ROWS, 2)
    assert report.newest_seal_at == AuditSeal.objects.latest("seq").sealed_at
    assert AuditSeal.objects.count() == 6


def test_an_empty_chain_is_accepted(people: Cast):
    report = audit.verify()
    assert report.ok
    assert report.newest_seal_at is None


def test_unsealed_says_whether_rows_need_a_seal(people: Cast, django_assert_num_queries):
    with django_assert_num_queries(1):
        assert not audit.unsealed()
    write(people, 1)
    assert audit.unsealed()
    assert audit.seal() == 1
    assert not audit.unsealed()
    assert audit.seal() == 0


def test_every_column_of_an_event_is_covered():
    columns = {field.attname for field in AuditEvent._meta.concrete_fields}
    assert columns == set(seal.COVERED[seal.VERSION])


def edit(dice: random.Random) -> None:
    changes = {
        "at": "at + interval '1 microsecond'",
        "last_at": "last_at - interval '1 second'",
        "count": "count + 1",
        "tenant_id": "NULL",
        "tenant_name": "'globex'",
        "actor_id": "gen_random_uuid()",
        "actor_name": "'alice'",
        "via": "'system'",
        "verb": "verb || 'd'",
        "target": "'cluster/etl-x'",
        "outcome": "'denied'",
        "reason": "'X'",
        "detail": """jsonb_set(detail, '{number}', '-1')""",
        "request_id": "''",
        "id": "gen_random_uuid()",
    }
    column = dice.choice(sorted(changes))
    at = dice.randint(1, ROWS)
    sql(f"UPDATE tenants_auditevent SET {column} = {changes[column]} WHERE position = %s", at)  # noqa: S608


def remove(dice: random.Random) -> None:
    sql("DELETE FROM tenants_auditevent WHERE position = %s", dice.randint(1, ROWS))


def remove_and_close_the_gap(dice: random.Random) -> None:
    at = dice.randint(1, ROWS)
    sql("DELETE FROM tenants_auditevent WHERE position = %s", at)
    sql("UPDATE tenants_auditevent SET position = -position WHERE position > %s", at)
    sql("UPDATE tenants_auditevent SET position = -position - 1 WHERE position < 0")


def take_out_of_the_chain(dice: random.Random) -> None:
    sql("UPDATE tenants_auditevent SET position = NULL WHERE position = %s", dice.randint(1, ROWS))


def cut_off_rows(dice: random.Random) -> None:
    sql("DELETE FROM tenants_auditevent WHERE position > %s", ROWS - dice.randint(1, 10))


def swap(dice: random.Random) -> None:
    one, other = dice.sample(range(1, ROWS + 1), 2)
    sql("UPDATE tenants_auditevent SET position = -1 WHERE position = %s", one)
    sql("UPDATE tenants_auditevent SET position = %s WHERE position = %s", one, other)
    sql("UPDATE tenants_auditevent SET position = %s WHERE position = -1", other)


def slip_in(dice: random.Random) -> None:
    """Insert a copy of a row at the end, at the start, or in the middle after moving later rows."""
    at = dice.choice([ROWS + 1, ROWS + 5, 0, -3, dice.randint(1, ROWS)])
    if 1 <= at <= ROWS:
        sql("UPDATE tenants_auditevent SET position = -position WHERE position >= %s", at)
        sql("UPDATE tenants_auditevent SET position = -position + 1 WHERE position < 0")
    source = AuditEvent.objects.filter(position__isnull=False)[dice.randrange(ROWS)]
    source.pk, source.position = new_id(), at
    source.save(force_insert=True)


def touch_a_seal(dice: random.Random) -> None:
    changes = [
        "digest = reverse(digest)",
        "previous_digest = reverse(previous_digest) || ''",
        "sealed_at = sealed_at + interval '1 hour'",
        "version = 2",
        "first = first + 1",
        "last = last - 1",
        "last = last + 1000000000",
        "seq = seq + 100",
    ]
    change = dice.choice(changes)
    # The first seal's previous digest is all zeros; reversing it changes nothing.
    sql(f"UPDATE tenants_auditseal SET {change} WHERE seq = %s", dice.randint(2, 6))  # noqa: S608


def remove_a_seal(dice: random.Random) -> None:
    sql("DELETE FROM tenants_auditseal WHERE seq = %s", dice.randint(1, 6))


TAMPER: list[Callable[[random.Random], None]] = [
    edit,
    remove,
    remove_and_close_the_gap,
    take_out_of_the_chain,
    cut_off_rows,
    swap,
    slip_in,
    touch_a_seal,
    remove_a_seal,
]


def test_a_thousand_of_a_thousand_tamperings_are_found(people: Cast, monkeypatch: pytest.MonkeyPatch):
    sealed(people, monkeypatch)
    sql("ALTER TABLE tenants_auditevent DISABLE TRIGGER USER")
    sql("ALTER TABLE tenants_auditseal DISABLE TRIGGER USER")
    dice = random.Random(7)  # noqa: S311
    found = 0
    for _ in range(TAMPERINGS):
        tamper = dice.choice(TAMPER)
        point = transaction.savepoint()
        tamper(dice)
        assert not audit.verify().ok, tamper.__name__
        transaction.savepoint_rollback(point)
        found += 1
    print(f"{found} of {TAMPERINGS} tamperings found")
    assert found == TAMPERINGS
    assert audit.verify().ok


def test_an_end_cut_off_with_its_seal_is_found_by_the_head_in_the_log(
    people: Cast, monkeypatch: pytest.MonkeyPatch
):
    sealed(people, monkeypatch)
    head = audit.verify().head
    assert audit.verify(expected_head=head).ok
    sql("ALTER TABLE tenants_auditevent DISABLE TRIGGER USER")
    sql("ALTER TABLE tenants_auditseal DISABLE TRIGGER USER")
    newest = AuditSeal.objects.latest("seq")
    sql("DELETE FROM tenants_auditevent WHERE position >= %s", newest.first)
    sql("DELETE FROM tenants_auditseal WHERE seq = %s", newest.seq)
    assert audit.verify().ok
    assert not audit.verify(expected_head=head).ok


@pytest.mark.parametrize("head", ["", "x", "1", "1:", "9" * 30 + ":00", "٣:00"])
def test_an_invalid_head_is_not_in_the_chain(people: Cast, head: str):
    assert not audit.verify(expected_head=head).ok


def test_the_head_is_exported_to_the_log(people: Cast, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO")
    write(people, 1)
    audit.seal()
    assert AuditSeal.objects.get().digest in caplog.text


def test_another_key_does_not_fit(people: Cast, settings):
    write(people, 1)
    audit.seal()
    settings.INSTALLATION_KEY = "another"
    assert not audit.verify().ok


@pytest.mark.parametrize("statement", ["UPDATE {} SET {} = {}", "DELETE FROM {}"])
@pytest.mark.parametrize(
    ("table", "column"), [("tenants_auditevent", "count"), ("tenants_auditseal", "last")]
)
def test_the_database_refuses_to_change_sealed_rows(people: Cast, statement: str, table: str, column: str):
    write(people, 1)
    audit.seal()
    with pytest.raises(Error, match=r"only added to|never change"), transaction.atomic():
        sql(statement.format(table, column, column))


def test_the_command_says_that_it_is_whole_and_how_new(people: Cast, capsys: pytest.CaptureFixture[str]):
    call_command("audit", "verify")
    assert "Nothing is sealed yet" in capsys.readouterr().out
    write(people, 3)
    audit.seal()
    call_command("audit", "verify")
    said = capsys.readouterr().out
    assert "3 rows are sealed" in said
    assert f"{AuditSeal.objects.get().sealed_at:%Y-%m-%d %H:%M}" in said


def test_the_command_fails_on_a_broken_chain(people: Cast):
    write(people, 1)
    audit.seal()
    sql("ALTER TABLE tenants_auditevent DISABLE TRIGGER USER")
    sql("UPDATE tenants_auditevent SET verb = 'x'")
    with pytest.raises(CommandError, match="broken") as failure:
        call_command("audit", "verify")
    assert failure.value.returncode == 1


def in_another_thread(work: Callable[[], object]) -> object:
    results: list[object] = []

    def run() -> None:
        try:
            results.append(work())
        finally:
            connection.close()

    thread = Thread(target=run)
    thread.start()
    thread.join(30)
    return results[0]


@pytest.mark.django_db(transaction=True)
def test_a_row_committed_later_than_its_time_is_sealed_later():
    people = cast()
    with transaction.atomic():
        write(people, 1, verb="slow.one")
        in_another_thread(lambda: write(people, 2, verb="fast.one"))
        assert in_another_thread(audit.seal) == 2
    assert audit.seal() == 1
    assert list(AuditEvent.objects.order_by("position").values_list("verb", flat=True)) == [
        "fast.one",
        "fast.one",
        "slow.one",
    ]
    assert audit.verify().ok


@pytest.mark.django_db(transaction=True)
def test_only_one_seals_at_a_time():
    people = cast()
    write(people, 3)
    with transaction.atomic():
        assert audit.seal() == 3
        assert in_another_thread(audit.seal) == 0
    assert audit.verify().ok


@pytest.mark.django_db(transaction=True)
def test_sealing_while_refusals_are_counted_leaves_a_whole_chain():
    people = cast()
    done = Event()

    def refuse() -> None:
        actor = an_actor(people.bob)
        for number in range(60):
            audit.record_refusal(
                actor=actor, verb="cluster.delete", target=f"cluster/{number % 3}", reason="NEEDS_ROLE"
            )

    def refuse_then_tell() -> None:
        try:
            refuse()
        finally:
            connection.close()
            done.set()

    thread = Thread(target=refuse_then_tell)
    thread.start()
    while not done.is_set():
        audit.seal()
    thread.join(30)
    audit.seal()
    assert audit.verify().ok
    assert sum(AuditEvent.objects.values_list("count", flat=True)) == 60
