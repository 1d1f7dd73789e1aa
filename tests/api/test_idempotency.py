"""A request with a key is executed at most once: repeated, in parallel, refused or changed."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.db.models import F

from controlplane.api import idempotency
from controlplane.api.models import IdempotencyKey
from controlplane.clusters.models import Cluster
from tenants.models import ApiToken, Membership, Role
from tests.api.api import ACME, ROOT, Answer
from tests.api.conftest import World
from tests.cast import set_limits

ONE = {"name": "one", "template": "pair"}
KEY = {"Idempotency_Key": "6f1c"}


def same(first: Answer, second: Answer) -> bool:
    names = ("Location", "ETag")
    return (first.status, first.body, *map(first.headers.get, names)) == (
        second.status,
        second.body,
        *map(second.headers.get, names),
    )


def test_a_repeated_request_gets_the_same_answer_and_is_applied_once(world: World) -> None:
    first = world.bob.post("clusters", ONE, **KEY)
    assert first.status == 201
    assert same(first, world.bob.post("clusters", ONE, **KEY))
    assert Cluster.objects.count() == 1


def test_without_a_key_the_second_request_is_a_new_one(world: World) -> None:
    world.bob.post("clusters", ONE)
    assert world.bob.post("clusters", ONE).reason == "NAME_TAKEN"


@pytest.mark.parametrize(
    ("path", "body"),
    [("clusters", {**ONE, "name": "two"}), ("clusters/one:stop", ONE), ("clusters?validate_only=false", ONE)],
)
def test_another_request_with_the_key_is_refused(world: World, path: str, body: object) -> None:
    world.bob.post("clusters", ONE, **KEY)
    answer = world.bob.post(path, body if path != "clusters/one:stop" else {}, **KEY)
    assert (answer.status, answer.reason) == (422, "KEY_REUSED")
    assert Cluster.objects.count() == 1


def test_keys_of_two_users_are_independent(world: World) -> None:
    world.bob.post("clusters", ONE, **KEY)
    assert world.alice.post("clusters", {**ONE, "name": "two"}, **KEY).status == 201


def test_a_refusal_is_not_kept(world: World) -> None:
    set_limits(world.people.acme, clusters=0)
    assert world.bob.post("clusters", ONE, **KEY).status == 409
    set_limits(world.people.acme, clusters=1)
    assert world.bob.post("clusters", ONE, **KEY).status == 201


def test_a_plan_leaves_the_key_unused(world: World) -> None:
    assert world.bob.post("clusters?validate_only=true", ONE, **KEY).status == 200
    assert world.bob.post("clusters", ONE, **KEY).status == 201


def test_a_user_who_lost_access_gets_no_stored_answer(world: World) -> None:
    world.bob.post("clusters", ONE, **KEY)
    Membership.objects.filter(user=world.people.bob).update(role=Role.VIEWER)
    assert world.bob.post("clusters", ONE, **KEY).reason == "NEEDS_ROLE"
    Membership.objects.filter(user=world.people.bob).delete()
    assert world.bob.post("clusters", ONE, **KEY).status == 404


def test_a_repeated_deletion_is_answered_after_the_name_is_gone(world: World) -> None:
    world.launch("one")
    first = world.bob.delete("clusters/one", **KEY)
    Cluster.objects.update(phase="deleted")
    assert same(first, world.bob.delete("clusters/one", **KEY))


def test_the_secret_of_a_token_is_shown_once_and_stored_nowhere(world: World) -> None:
    path, body = f"{ROOT}/tokens", {"name": "ci"}
    first = world.bob.post(path, body, **KEY)
    again = world.bob.post(path, body, **KEY)
    assert first.body["token"].startswith("slw_")
    assert again.body == {**first.body, "token": None}
    assert ApiToken.objects.filter(name="ci").count() == 1
    assert first.body["token"] not in str(IdempotencyKey.objects.values())


def test_after_a_day_the_key_is_a_new_one(world: World) -> None:
    world.bob.post("clusters", ONE, **KEY)
    IdempotencyKey.objects.update(created_at=F("created_at") - timedelta(hours=25))
    assert world.bob.post("clusters", {**ONE, "name": "two"}, **KEY).status == 201


def test_old_keys_are_purged_and_young_ones_kept(world: World) -> None:
    world.bob.post("clusters", ONE, **KEY)
    idempotency.purge()
    assert IdempotencyKey.objects.exists()
    IdempotencyKey.objects.update(created_at=F("created_at") - timedelta(hours=25))
    idempotency.purge()
    assert not IdempotencyKey.objects.exists()


def test_a_purge_is_bounded_and_reports_whether_more_is_left(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "_PURGED_AT_ONCE", 1)
    for number in range(2):
        world.bob.post("clusters", {**ONE, "name": f"c{number}"}, **{"Idempotency-Key": f"k{number}"})
    IdempotencyKey.objects.update(created_at=F("created_at") - timedelta(hours=25))
    assert idempotency.purge()
    assert IdempotencyKey.objects.count() == 1


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "schlüssel".encode().decode("latin-1")])
def test_an_unusable_key_is_refused(world: World, key: str) -> None:
    answer = world.bob.post("clusters", ONE, Idempotency_Key=key)
    assert answer.status == 400
    assert answer.body["errors"][0]["header"] == "Idempotency-Key"


def test_parallel_duplicates_are_applied_once_and_get_the_same_answer(
    transactional_db: None, world: World
) -> None:
    def send(_: int) -> Answer:
        try:
            return world.bob.post(f"{ACME}/clusters", ONE, **KEY)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(8)))
    assert all(same(answers[0], answer) for answer in answers)
    assert answers[0].status == 201
    assert Cluster.objects.count() == 1


def test_a_duplicate_that_waits_too_long_gets_a_retry_after(
    transactional_db: None, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "LOCK_WAIT", "50ms")
    with transaction.atomic():
        IdempotencyKey.objects.create(user=world.people.bob, key="6f1c", fingerprint="")
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(_and_close, world.bob.post, "clusters", ONE).result()
    assert (answer.status, answer.reason, answer.headers["Retry-After"]) == (409, "KEY_IN_USE", "5")


def _and_close(send: object, path: str, body: object) -> Answer:
    try:
        answer: Answer = send(path, body, **KEY)  # type: ignore[operator]
        return answer
    finally:
        connection.close()
