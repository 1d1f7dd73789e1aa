"""A write that takes longer than the timeout of a call continues, and the next call returns its result."""

import threading
from collections.abc import Callable, Iterator

import pytest

from controlplane.provisioners.base import NotYet
from controlplane.provisioners.kubernetes.client import client as module
from controlplane.provisioners.kubernetes.client import writes as writing
from controlplane.provisioners.kubernetes.client.client import Client
from controlplane.provisioners.kubernetes.client.errors import AdmissionSlow, AlreadyExists
from controlplane.provisioners.kubernetes.objects import paths
from controlplane.provisioners.kubernetes.objects.body import Body
from tests.provisioners.kubernetes.api_server import ApiServer, Handler, says
from tests.provisioners.launching import until

PATH = paths.config_maps("acme")
ONE = paths.config_maps("acme", "one")


class Gate:
    """Delays a write until `opened` is set, as a slow admission webhook does."""

    def __init__(self) -> None:
        self.opened = threading.Event()

    def __call__(self, handler: Handler, do: Callable[[], None]) -> None:
        self.opened.wait(20)
        do()


@pytest.fixture
def gate(api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    monkeypatch.setattr(module, "READ_SECONDS", 0.5)
    monkeypatch.setattr(writing, "SLOW_SECONDS", 0.1)
    gate = Gate()
    api.fail(gate)
    yield gate
    gate.opened.set()


def config_map(attempt: int = 1) -> Body:
    return {"metadata": {"name": "one", "labels": {"attempt": str(attempt)}}}


def posts(api: ApiServer) -> int:
    return api.calls.count(f"POST {PATH}")


def test_a_slow_create_is_reported_and_not_sent_again(api: ApiServer, client: Client, gate: Gate):
    for _ in range(3):
        with pytest.raises(AdmissionSlow, match="create configmaps"):
            client.create(PATH, config_map())
    assert posts(api) == 1
    gate.opened.set()
    with pytest.raises(AlreadyExists):
        client.create(PATH, config_map())
    assert ONE in api.objects
    assert posts(api) == 1


def test_later_calls_know_an_object_that_was_created_slowly(api: ApiServer, client: Client, gate: Gate):
    with pytest.raises(AdmissionSlow):
        client.create(PATH, config_map())
    gate.opened.set()
    for _ in range(3):
        with pytest.raises(AlreadyExists):
            client.create(PATH, config_map())
    assert posts(api) == 1


def test_another_object_of_the_same_name_is_created_anew(api: ApiServer, client: Client, gate: Gate):
    with pytest.raises(AdmissionSlow):
        client.create(PATH, config_map(attempt=1))
    gate.opened.set()
    assert until(lambda: ONE in api.objects)
    api.objects.clear()
    assert client.create(PATH, config_map(attempt=2))["metadata"]["labels"] == {"attempt": "2"}


def test_a_late_refusal_is_raised_by_the_next_call(api: ApiServer, client: Client, monkeypatch):
    monkeypatch.setattr(module, "READ_SECONDS", 0.5)
    gate, refusal = Gate(), says(403, "Forbidden", 'admission webhook "w.example" denied the request: no')
    api.fail(lambda handler, do: gate(handler, lambda: refusal(handler, do)))
    with pytest.raises(AdmissionSlow):
        client.create(PATH, config_map())
    gate.opened.set()
    with pytest.raises(NotYet, match=r"w\.example"):
        client.create(PATH, config_map())
    assert client.create(PATH, config_map())


def test_the_next_call_returns_the_result_of_a_slow_patch(api: ApiServer, client: Client, gate: Gate):
    patch = {"metadata": {"annotations": {"a": "b"}}}
    api.objects[ONE] = {"metadata": {"name": "one", "uid": "u"}}
    with pytest.raises(AdmissionSlow, match="patch configmaps"):
        client.patch(ONE, patch)
    gate.opened.set()
    patched = client.patch(ONE, patch)
    assert patched
    assert patched["metadata"]["annotations"] == {"a": "b"}
    assert [call.split()[0] for call in api.calls if ONE in call] == ["PATCH"]


def test_access_reviews_are_sent_each_time(api: ApiServer, client: Client):
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    for _ in range(2):
        api.fail(lambda handler, do: handler.say(201, {"kind": "SelfSubjectAccessReview"}))
        assert client.create(path, {"spec": {}})
    assert api.calls == [f"POST {path}"] * 2
