import base64
import json

import pytest

from tests.api.api import ROOT
from tests.api.conftest import World
from tests.cast import a_user


def walk(world: World, path: str, member: str, size: int) -> list[list[str]]:
    pages, token = [], ""
    while True:
        body = world.root.get(f"{path}?page_size={size}&page_token={token}").body
        pages.append([row[member] for row in body["items"]])
        token = body["next_page_token"]
        if not token:
            return pages


def test_pages_list_every_item_once_and_in_order(world: World) -> None:
    assert walk(world, f"{ROOT}/users", "username", 2) == [
        ["alice", "bob"],
        ["carol", "charlie"],
        ["dave", "root"],
    ]


def test_a_last_page_that_is_full_says_that_it_is_the_last(world: World) -> None:
    assert walk(world, f"{ROOT}/users", "username", 6) == [
        ["alice", "bob", "carol", "charlie", "dave", "root"]
    ]


def test_an_item_made_between_pages_neither_doubles_nor_hides_others(world: World) -> None:
    for name in ("one", "two", "three"):
        world.launch(name)
    first = world.bob.get("clusters?page_size=2").body
    world.launch("four")
    second = world.bob.get(f"clusters?page_size=2&page_token={first['next_page_token']}").body
    assert [row["name"] for row in first["items"] + second["items"]] == ["three", "two", "one"]


def test_an_item_deleted_between_pages_does_not_matter(world: World) -> None:
    token = world.root.get(f"{ROOT}/users?page_size=2").body["next_page_token"]
    a_user("bea")
    rest = world.root.get(f"{ROOT}/users?page_token={token}").body["items"]
    assert [row["username"] for row in rest] == ["carol", "charlie", "dave", "root"]


@pytest.mark.parametrize(
    ("path", "member"),
    [("clusters/one/nodes", "name"), ("clusters/one/events", "kind"), ("templates", "name")],
)
def test_every_kind_of_list_continues_after_its_last_item(world: World, path: str, member: str) -> None:
    world.ready("one")
    whole = [row[member] for row in world.alice.get(path).body["items"]]
    paged = walk(world, f"{ROOT}/tenants/acme/{path}", member, 1)
    assert [name for page in paged for name in page] == whole


GARBAGE = ["x", "%00", "AAAA", "eyJhIjogMX0", "WyIxIiwgIjIiXQ", "é", "WzFd"]


def token_for(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "token", [*GARBAGE, token_for(["not an id"]), token_for(["a\0b"]), token_for([["x"]])]
)
@pytest.mark.parametrize("path", ["clusters", "operations"])
def test_a_made_up_page_token_is_refused(world: World, token: str, path: str) -> None:
    answer = world.bob.get(f"{path}?page_token={token}")
    assert answer.status == 400
    assert answer.body["errors"][0]["parameter"] == "page_token"
