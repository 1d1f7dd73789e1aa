"""Signing in, and the answers to requests without a session."""

import pytest
from django.db.models import F
from django.test import Client

from tenants.models import AuditEvent, SignInThrottle
from tenants.sign_in_throttle import BY_ADDRESS, BY_NAME
from tests.console.conftest import SignIn, World

PASSWORD = "correct horse battery"


@pytest.fixture
def bob(world: World) -> World:
    world.people.bob.set_password(PASSWORD)
    world.people.bob.save()
    return world


def attempt(client: Client, password: str, name: str = "bob", to: str = "") -> tuple[int, str]:
    answer = client.post("/login", {"username": name, "password": password, "next": to})
    return answer.status_code, answer.headers.get("Location", "")


def test_signing_in_redirects_to_the_requested_page(bob: World) -> None:
    assert attempt(Client(), PASSWORD, to="/t/acme/clusters") == (302, "/t/acme/clusters")


def test_signing_in_never_redirects_to_another_host(bob: World) -> None:
    assert attempt(Client(), PASSWORD, to="https://evil.example/") == (302, "/")


def test_a_wrong_password_says_so_in_the_form(bob: World) -> None:
    answer = Client().post("/login", {"username": "bob", "password": "wrong"})
    assert answer.status_code == 401
    assert "password is wrong" in answer.content.decode()


def from_address(number: int) -> Client:
    return Client(REMOTE_ADDR=f"192.0.2.{number}")


def test_guesses_at_a_name_are_throttled_from_every_address(bob: World) -> None:
    tries = [attempt(from_address(number), "wrong")[0] for number in range(20)]
    assert set(tries) == {401, 429}
    assert tries.count(401) < 12
    assert attempt(Client(), PASSWORD)[0] == 429
    assert attempt(Client(), "wrong", name="alice")[0] == 401


def test_a_delay_says_how_long_it_lasts_and_then_ends(bob: World) -> None:
    for _ in range(BY_NAME.free + 2):
        attempt(Client(), "wrong")
    answer = Client().post("/login", {"username": "bob", "password": PASSWORD})
    assert int(answer.headers["Retry-After"]) >= 1
    assert "Try again in" in answer.content.decode()
    SignInThrottle.objects.update(blocked_until=F("at"))
    assert attempt(Client(), PASSWORD)[0] == 302


def test_a_known_browser_is_not_throttled_by_guesses_from_elsewhere(bob: World) -> None:
    browser = Client()
    assert attempt(browser, PASSWORD)[0] == 302
    browser.post("/logout")
    for number in range(20):
        attempt(from_address(number), "wrong")
    assert attempt(Client(), PASSWORD)[0] == 429
    assert attempt(browser, PASSWORD)[0] == 302


def test_a_known_browser_is_throttled_for_its_own_guesses(bob: World) -> None:
    browser = Client()
    attempt(browser, PASSWORD)
    browser.post("/logout")
    assert 429 in [attempt(browser, "wrong")[0] for _ in range(20)]


def test_wrong_names_from_one_address_throttle_no_other_address(bob: World) -> None:
    assert attempt(from_address(1), "wrong", name="user1")[0] == 401
    SignInThrottle.objects.update(level=BY_ADDRESS.top)
    tries = [attempt(from_address(1), "wrong", name=f"user{number}")[0] for number in (2, 3)]
    assert tries == [401, 429]
    assert attempt(from_address(2), PASSWORD)[0] == 302


def test_a_successful_sign_in_resets_the_count(bob: World) -> None:
    for _ in range(BY_NAME.free):
        assert attempt(Client(), "wrong")[0] == 401
    assert attempt(Client(), PASSWORD)[0] == 302
    assert attempt(Client(), "wrong")[0] == 401


def test_signing_in_and_out_is_audited(bob: World) -> None:
    client = from_address(7)
    attempt(client, "wrong")
    attempt(client, "wrong")
    attempt(client, "my password by mistake", name="hunter2!")
    attempt(client, PASSWORD)
    client.post("/logout")
    events = AuditEvent.objects.filter(verb__startswith="user.").order_by("id")
    rows = events.values_list("actor_name", "verb", "target", "outcome", "count")
    assert list(rows) == [
        ("anonymous", "user.sign_in", "user/bob", "denied", 2),
        ("anonymous", "user.sign_in", "user/?", "denied", 1),
        ("bob", "user.sign_in", "user/bob", "allowed", 1),
        ("bob", "user.sign_out", "user/bob", "allowed", 1),
    ]
    assert events[0].detail == {"address": "192.0.2.7"}


def aged(client: Client, **hours: float) -> None:
    """Move the times of the client's session into the past."""
    session = client.session
    for name, amount in hours.items():
        session[name] -= amount * 3600
    session.save()


def test_a_session_that_is_used_lasts_and_an_idle_one_ends(bob: World) -> None:
    client = Client()
    attempt(client, PASSWORD)
    aged(client, last_page=11)
    assert client.get("/t/acme/").status_code == 200
    aged(client, last_page=11)
    assert client.get("/t/acme/").status_code == 200
    aged(client, last_page=13)
    assert client.get("/t/acme/").headers["Location"].startswith("/login")
    assert client.get("/login").status_code == 200


def test_a_session_ends_after_a_week_even_when_used(bob: World) -> None:
    client = Client()
    attempt(client, PASSWORD)
    aged(client, began=7 * 24 + 1)
    assert client.get("/t/acme/").headers["Location"].startswith("/login")


def test_automatic_refreshes_do_not_prolong_the_session(bob: World) -> None:
    client = Client()
    attempt(client, PASSWORD)
    aged(client, last_page=11)
    before = client.session["last_page"]
    client.get("/t/acme/", headers={"HX-Request": "true"})
    assert client.session["last_page"] == before


def test_a_locked_user_cannot_sign_in(bob: World) -> None:
    type(bob.people.bob).objects.filter(username="bob").update(is_active=False)
    assert attempt(Client(), PASSWORD)[0] == 401


def test_signing_in_needs_the_csrf_token(bob: World) -> None:
    strict = Client(enforce_csrf_checks=True)
    assert attempt(strict, PASSWORD)[0] == 403


def test_a_page_asks_to_sign_in_and_redirects_back(world: World) -> None:
    answer = Client().get("/t/acme/clusters?phase=ready")
    assert answer.status_code == 302
    assert answer.headers["Location"] == "/login?next=%2Ft%2Facme%2Fclusters%3Fphase%3Dready"


def test_a_refreshing_part_sends_the_whole_page_to_sign_in(world: World) -> None:
    answer = Client().get(
        "/t/acme/", headers={"HX-Request": "true", "HX-Current-URL": "http://testserver/t/acme/"}
    )
    assert answer.headers["HX-Redirect"] == "/login?next=%2Ft%2Facme%2F"


def test_signing_out_ends_the_session(sign_in: SignIn) -> None:
    client = sign_in("bob")
    assert client.post("/logout").headers["Location"] == "/login"
    assert client.get("/t/acme/").status_code == 302


def test_signing_out_by_get_is_refused(sign_in: SignIn) -> None:
    assert sign_in("bob").get("/logout").status_code == 405
