"""A user loses a right while using it: the links that the user has open stop working."""

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import websocket

from tests.journeys.kernel import Kernel, page
from tests.journeys.service import Slipway, wait_for

pytestmark = [pytest.mark.local, pytest.mark.timeout(1800), pytest.mark.xdist_group("journeys")]

SECONDS = 5


@dataclass
class Person:
    """A member of demo with a token of their own."""

    service: Slipway
    name: str
    token: str

    def call(self, method: str, path: str, body: Any = None) -> httpx.Response:
        return self.service.call(method, path, body, Authorization=f"Bearer {self.token}")

    def cluster(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"/tenants/demo/clusters/{name}").json()
        return found

    def launch(self, name: str) -> dict[str, Any]:
        body = {"name": name, "template": "notebook", "site": "local"}
        assert self.call("POST", "/tenants/demo/clusters", body).status_code == 201
        self.service.wait(name, "ready", seconds=900)
        return self.cluster(name)


def a_member(service: Slipway, name: str) -> Person:
    service.post("/users", {"username": name, "kind": "service"})
    assert service.call("PUT", f"/tenants/demo/members/{name}", {"role": "member"}).status_code == 200
    return Person(service, name, service.post(f"/users/{name}/tokens", {"name": "own"})["token"])


class Visit:
    """An open notebook: a link, a kernel, and a WebSocket to that kernel."""

    def __init__(self, link: str) -> None:
        self.link, self.kernel = link, Kernel(link)
        place = f"{urlsplit(link).netloc}/api/kernels/{self.kernel.id}/channels?{urlsplit(link).query}"
        self.socket = websocket.create_connection(f"ws://{place}", timeout=60)
        self.socket.settimeout(1)

    def is_shut(self) -> bool:
        """Whether the link is refused and the open WebSocket is closed."""
        url = f"{self.link.split('/lab')[0]}/api/kernels?{urlsplit(self.link).query}"
        return httpx.get(url, timeout=5).status_code == 403 and self._is_cut_off()

    def _is_cut_off(self) -> bool:
        # Messages that were sent before the end are read first.
        with suppress(websocket.WebSocketConnectionClosedException, ConnectionError):
            try:
                while self.socket.recv():
                    pass
            except websocket.WebSocketTimeoutException:
                return False
        return True


@contextmanager
def visit(link: str) -> Iterator[Visit]:
    found = Visit(link)
    with closing(found.socket):
        yield found


def closes(answer: httpx.Response) -> list[str]:
    """The clusters whose links the plan says it will replace."""
    assert answer.status_code == 200, answer.text
    return [one["cluster"] for one in answer.json()["plan"]["closes"]]


def test_a_revoked_share_opens_nothing(slipway: Slipway) -> None:
    slipway.launch("shared", "notebook")
    guest, share = a_member(slipway, "gwen"), "/tenants/demo/clusters/shared/shares/gwen"
    assert slipway.call("PUT", share).status_code == 200
    with visit(page(guest.cluster("shared"), "notebook")) as visited:
        visited.kernel.run("kept = 42")
        assert closes(slipway.call("DELETE", f"{share}?validate_only=true")) == ["shared"]
        assert not visited.is_shut()
        assert slipway.call("DELETE", share).status_code == 204
        wait_for("shut door", visited.is_shut, seconds=SECONDS)
        assert page_of(guest, "shared") is None
        again = Kernel(page(slipway.cluster("shared"), "notebook"), visited.kernel.id)
        assert again.run("print(kept)") == "42\n"
    assert slipway.cluster("shared")["phase"] == "ready"
    slipway.delete("shared")


LOSSES = {
    "removed": ("DELETE", "/tenants/demo/members/{}", None),
    "viewer": ("PUT", "/tenants/demo/members/{}", {"role": "viewer"}),
    "disabled": ("POST", "/users/{}:disable", {}),
    "deleted": ("DELETE", "/users/{}", None),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_a_user_who_may_not_use_clusters_any_more_keeps_no_notebook(slipway: Slipway, loss: str) -> None:
    person, name = a_member(slipway, f"mara-{loss}"), f"mine-{loss}"
    method, path, body = LOSSES[loss]
    with visit(page(person.launch(name), "notebook")) as visited:
        plan = f"/tenants/demo/members/{person.name}?validate_only=true"
        assert closes(slipway.call("DELETE", plan)) == [name]
        assert not visited.is_shut()
        assert slipway.call(method, path.format(person.name), body).status_code < 300
        wait_for("shut door", visited.is_shut, seconds=SECONDS)
    found = slipway.cluster(name)
    assert (found["phase"], found["owner"]) == ("ready", person.name)
    assert "LINKS_REPLACED" in [
        event["kind"] for event in slipway.get(f"/tenants/demo/clusters/{name}/events")["items"]
    ]
    slipway.delete(name)


def page_of(person: Person, name: str) -> str | None:
    found: str | None = person.cluster(name)["services"][0]["url"]
    return found
