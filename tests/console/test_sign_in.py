"""Signing in, and what happens to whoever is not."""

import pytest
from django.test import Client

from controlplane.console.sign_in import MOST_FOR_NAME
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


def test_the_right_password_leads_to_where_one_wanted_to_go(bob: World) -> None:
    assert attempt(Client(), PASSWORD, to="/t/acme/clusters") == (302, "/t/acme/clusters")


def test_nobody_is_led_to_another_site(bob: World) -> None:
    assert attempt(Client(), PASSWORD, to="https://evil.example/") == (302, "/")


def test_a_wrong_password_says_so_in_the_form(bob: World) -> None:
    answer = Client().post("/login", {"username": "bob", "password": "wrong"})
    assert answer.status_code == 401
    assert "do not belong together" in answer.content.decode()


def test_guessing_is_stopped_even_for_the_right_password(bob: World) -> None:
    client = Client()
    tries = [attempt(client, "wrong")[0] for _ in range(MOST_FOR_NAME)]
    assert tries == [401] * MOST_FOR_NAME
    assert attempt(client, PASSWORD)[0] == 429
    assert attempt(client, "wrong", name="alice")[0] == 401


def test_a_good_sign_in_starts_the_count_anew(bob: World) -> None:
    for _ in range(MOST_FOR_NAME - 1):
        attempt(Client(), "wrong")
    assert attempt(Client(), PASSWORD)[0] == 302
    assert attempt(Client(), "wrong")[0] == 401


def test_a_locked_user_cannot_sign_in(bob: World) -> None:
    type(bob.people.bob).objects.filter(username="bob").update(is_active=False)
    assert attempt(Client(), PASSWORD)[0] == 401


def test_signing_in_needs_the_token_of_the_form(bob: World) -> None:
    strict = Client(enforce_csrf_checks=True)
    assert attempt(strict, PASSWORD)[0] == 403


def test_a_page_asks_to_sign_in_and_comes_back(world: World) -> None:
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


def test_signing_out_is_no_link(sign_in: SignIn) -> None:
    assert sign_in("bob").get("/logout").status_code == 405
