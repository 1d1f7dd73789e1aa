"""The list of tenants, for site admins."""

import pytest

from controlplane.console import tenants
from tests.cast import a_tenant, set_limits
from tests.console.conftest import SignIn, World
from tests.console.reading import read
from tests.console.test_clusters import queries


def test_a_site_admin_sees_all_with_what_they_hold(sign_in: SignIn, world: World) -> None:
    world.launch()
    set_limits(world.people.acme, cpu=8000)
    page = sign_in("root").get("/tenants").content.decode()
    assert "/t/acme/" in page
    assert "/t/globex/" in page
    assert '2.5 <span class="muted">of 8</span>' in page


def test_other_users_read_which_role_it_needs(sign_in: SignIn) -> None:
    answer = sign_in("alice").get("/tenants")
    assert answer.status_code == 403
    assert "needs the role site admin" in answer.content.decode()


def test_the_list_is_paged(sign_in: SignIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenants, "PAGE", 1)
    client = sign_in("root")
    assert "?after=acme" in read(client.get("/tenants")).links
    assert "/t/globex/" in client.get("/tenants?after=acme").content.decode()
    assert "No further tenants." in client.get("/tenants?after=globex").content.decode()


def test_more_tenants_take_no_more_queries(sign_in: SignIn) -> None:
    client = sign_in("root")
    few = queries(client, "/tenants")
    for number in range(5):
        a_tenant(f"more-{number}")
    assert queries(client, "/tenants") == few


def test_an_invalid_query_is_ignored(sign_in: SignIn) -> None:
    assert "/t/acme/" in sign_in("root").get("/tenants?after=%00").content.decode()


def test_a_site_admin_enters_a_tenant_but_launches_nothing_there(sign_in: SignIn) -> None:
    client = sign_in("root")
    assert "needs the role member" in client.get("/t/acme/").content.decode()
    assert client.post("/t/acme/launch", {"template": "pair", "name": "mine"}).status_code == 403
