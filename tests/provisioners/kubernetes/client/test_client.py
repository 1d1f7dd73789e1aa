"""The client of an API server: each verb against a fake and a real one, and the error for each failure."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from controlplane.provisioners.base import NotYet, Permanent, Temporary
from controlplane.provisioners.kubernetes.client import client as module
from controlplane.provisioners.kubernetes.client.client import Client
from controlplane.provisioners.kubernetes.client.errors import AlreadyExists
from controlplane.provisioners.kubernetes.client.parallel import in_parallel, time_budget
from controlplane.provisioners.kubernetes.objects import paths
from controlplane.provisioners.kubernetes.objects.body import Body
from controlplane.provisioners.kubernetes.settings import Reach
from tests.provisioners.kubernetes import api_server as fails
from tests.provisioners.kubernetes.api_server import ApiServer, Failure, api_server
from tests.provisioners.launching import until

OTHER_UID = "00000000-0000-4000-8000-000000000000"
PATH = paths.config_maps("acme", "one")


@dataclass
class Bench:
    client: Client
    namespace: str

    def path(self, name: str = "") -> str:
        return paths.config_maps(self.namespace, name)

    def make(self, name: str, **labels: str) -> Body:
        return self.client.create(self.path(), config_map(name, **labels))


def config_map(name: str, **labels: str) -> Body:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}}


def reason_of(call: Callable[[], object]) -> str:
    try:
        answer = call()
    except (Temporary, Permanent) as error:
        return error.reason
    pytest.fail(f"it answered {answer}")


class ClientContract:
    def test_a_created_object_can_be_read(self, bench: Bench):
        made = bench.make("one")
        assert bench.client.get(bench.path("one")) == made

    def test_a_missing_object_is_none(self, bench: Bench):
        assert bench.client.get(bench.path("one")) is None
        assert bench.client.patch(bench.path("one"), {"metadata": {"annotations": {"a": "b"}}}) is None
        assert not bench.client.delete(bench.path("one"))

    def test_a_name_can_be_used_once(self, bench: Bench):
        bench.make("one")
        with pytest.raises(AlreadyExists):
            bench.make("one")

    def test_a_patch_merges(self, bench: Bench):
        bench.make("one", kept="yes")
        patched = bench.client.patch(bench.path("one"), {"metadata": {"annotations": {"a": "b"}}})
        assert patched
        assert patched["metadata"]["annotations"] == {"a": "b"}
        assert patched["metadata"]["labels"] == {"kept": "yes"}

    def test_a_deleted_object_is_gone(self, bench: Bench):
        made = bench.make("one")
        assert bench.client.delete(bench.path("one"), uid=made["metadata"]["uid"], grace=0)
        assert bench.client.get(bench.path("one")) is None

    def test_an_object_with_another_uid_is_not_deleted(self, bench: Bench):
        bench.make("one")
        assert not bench.client.delete(bench.path("one"), uid=OTHER_UID)
        assert bench.client.get(bench.path("one"))

    def test_a_collection_is_deleted_by_labels(self, bench: Bench):
        bench.make("one", run="1")
        bench.make("two", run="2")
        bench.client.delete_collection(bench.path(), labels={"run": "1"})
        assert names_of(bench.client.list(bench.path(), labels={"run": "1"}).items) == []
        assert names_of(bench.client.list(bench.path(), labels={"run": "2"}).items) == ["two"]

    def test_a_list_has_all_pages(self, bench: Bench, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(module, "PAGE", 2)
        for index in range(5):
            bench.make(f"item-{index}", all="yes")
        listing = bench.client.list(bench.path(), labels={"all": "yes"})
        assert names_of(listing.items) == [f"item-{index}" for index in range(5)]
        assert int(listing.resource_version)

    def test_a_missing_namespace_is_none(self, bench: Bench):
        assert bench.client.get(paths.namespaces("never-made")) is None

    def test_a_missing_log_is_empty(self, bench: Bench):
        assert bench.client.text(paths.pods(bench.namespace, "node-0") + "/log") == b""

    def test_many_threads_share_one_client(self, bench: Bench):
        made = in_parallel([partial(bench.make, f"item-{index}", all="yes") for index in range(40)])
        assert [item["metadata"]["name"] for item in made] == [f"item-{index}" for index in range(40)]


def names_of(items: list[Body]) -> list[str]:
    return [item["metadata"]["name"] for item in items]


class TestOnAFake(ClientContract):
    @pytest.fixture
    def bench(self, client: Client) -> Bench:
        return Bench(client, "acme")


@pytest.mark.kube
class TestOnARealOne(ClientContract):
    @pytest.fixture
    def admin(self, kubeconfig: Path) -> Client:
        return Client(Reach(kubeconfig=str(kubeconfig)), purpose="test")

    @pytest.fixture
    def bench(self, admin: Client) -> Iterator[Bench]:
        name = f"test-client-{uuid4().hex[:12]}"
        admin.create(paths.namespaces(), {"metadata": {"name": name}})
        try:
            yield Bench(admin, name)
        finally:
            admin.delete(paths.namespaces(name))

    def test_an_invalid_object_is_a_permanent_error(self, bench: Bench):
        assert reason_of(lambda: bench.make("No Name")) == "SITE_REJECTS"

    def test_creating_in_an_unknown_namespace_is_retried_later(self, admin: Client):
        path = paths.config_maps("never-made")
        assert reason_of(lambda: admin.create(path, config_map("one"))) == "NAMESPACE_GOING"

    def test_exceeding_a_quota_is_retried_later(self, bench: Bench):
        quota = {"metadata": {"name": "full"}, "spec": {"hard": {"count/secrets": "0"}}}
        bench.client.create(paths.quotas(bench.namespace), quota)
        # The API server enforces a new quota after a moment.
        assert until(lambda: refused_secret(bench)) == "SITE_QUOTA"

    def test_an_unknown_token_is_refused(self, admin: Client, tmp_path: Path):
        (tmp_path / "token").write_text("unknown")
        (tmp_path / "ca").write_bytes(authority(admin))
        server = f"https://{admin.access().host}:{admin.access().port}"
        reach = Reach(server=server, token_file=str(tmp_path / "token"), ca_file=str(tmp_path / "ca"))
        stranger = Client(reach, purpose="test")
        assert reason_of(lambda: stranger.get(paths.namespaces("default"))) == "SITE_REFUSES_US"

    def test_a_server_with_an_unknown_authority_gets_no_request(self, admin: Client, tmp_path: Path):
        (tmp_path / "token").write_text("secret")
        server = f"https://{admin.access().host}:{admin.access().port}"
        stranger = Client(Reach(server=server, token_file=str(tmp_path / "token")), purpose="test")
        assert reason_of(lambda: stranger.get(paths.namespaces("default"))) == "SITE_UNREACHABLE"


def refused_secret(bench: Bench) -> str:
    try:
        bench.client.create(paths.secrets(bench.namespace), {"metadata": {"generateName": "one-"}})
    except (Temporary, Permanent) as error:
        return error.reason
    return ""


def authority(admin: Client) -> bytes:
    found = admin.get(paths.config_maps("kube-system", "kube-root-ca.crt"))
    assert found
    return str(found["data"]["ca.crt"]).encode()


# -- failures -----------------------------------------------------------------------------------------------------

FAILURES: list[tuple[Failure, str]] = [
    (fails.away, "SITE_UNREACHABLE"),
    (fails.slow, "SITE_UNREACHABLE"),
    (fails.dribbling, "SITE_UNREACHABLE"),
    (fails.half_a_reply, "SITE_UNREACHABLE"),
    (fails.stranger, "SITE_UNREACHABLE"),
    (fails.polite_stranger, "SITE_UNREACHABLE"),
    (fails.broken, "SITE_UNREACHABLE"),
    (fails.overloaded, "SITE_UNREACHABLE"),
    (fails.busy, "SITE_BUSY"),
]
# A write that fails like this is called slow, because the API server still answers other calls.
PATIENT = {fails.slow, fails.dribbling}
VERBS: dict[str, Callable[[Client], object]] = {
    "get": lambda client: client.get(PATH),
    "create": lambda client: client.create(paths.config_maps("acme"), config_map("one")),
    "patch": lambda client: client.patch(PATH, {"metadata": {}}),
    "list": lambda client: client.list(paths.config_maps("acme")),
    "version": lambda client: client.version(paths.config_maps("acme")),
}


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READ_SECONDS", 0.3)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(("failure", "reason"), FAILURES)
@pytest.mark.parametrize("verb", VERBS)
def test_a_failed_call_raises_the_reason_of_its_failure(
    api: ApiServer, client: Client, verb: str, failure: Failure, reason: str
):
    api.fail(failure)
    if failure in PATIENT and verb in {"create", "patch"}:
        reason = "ADMISSION_SLOW"
    assert reason_of(lambda: VERBS[verb](client)) == reason


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    ("failure", "reason"), [item for item in FAILURES if item[0] is not fails.polite_stranger]
)
def test_a_failed_delete_raises(api: ApiServer, client: Client, failure: Failure, reason: str):
    for call in (
        lambda: client.delete(PATH),
        lambda: client.delete_collection(paths.pods("acme"), labels={"run": "1"}),
    ):
        api.fail(failure)
        assert reason_of(call) == ("ADMISSION_SLOW" if failure in PATIENT else reason)


@pytest.mark.usefixtures("hasty")
def test_a_server_that_answers_no_call_is_unreachable_and_not_slow(api: ApiServer, client: Client):
    api.fail(fails.slow, fails.slow)
    assert reason_of(lambda: VERBS["create"](client)) == "SITE_UNREACHABLE"
    assert VERBS["create"](client)


def test_an_address_without_a_listener_is_unreachable(token_file: Path):
    with api_server() as gone:
        url = gone.url
    client = Client(Reach(server=url, token_file=str(token_file)), purpose="test")
    assert reason_of(lambda: client.get(PATH)) == "SITE_UNREACHABLE"


def test_the_call_after_a_failed_one_uses_a_new_connection(api: ApiServer, client: Client):
    api.fail(fails.away)
    reason_of(lambda: client.get(PATH))
    assert client.get(PATH) is None


def test_retry_after_becomes_the_delay(api: ApiServer, client: Client):
    api.fail(fails.busy)
    with pytest.raises(Temporary) as raised:
        client.get(PATH)
    assert raised.value.delay == 7.0


def test_a_create_whose_reply_was_lost_exists_already(api: ApiServer, client: Client):
    api.fail(fails.reply_lost)
    assert reason_of(lambda: VERBS["create"](client)) == "SITE_UNREACHABLE"
    with pytest.raises(AlreadyExists):
        VERBS["create"](client)


def test_a_failed_write_is_not_repeated(api: ApiServer, client: Client):
    api.fail(fails.away)
    reason_of(lambda: VERBS["create"](client))
    assert len(api.calls) == 1


def test_a_list_whose_next_page_has_expired_starts_again(api: ApiServer, client: Client):
    for index in range(3):
        client.create(paths.config_maps("acme"), config_map(f"item-{index}"))
    api.most = 2
    api.fail(lambda handler, do: do(), fails.expired)
    assert len(client.list(paths.config_maps("acme")).items) == 3


def test_a_list_that_expires_every_time_raises(api: ApiServer, client: Client):
    api.fail(*[fails.expired] * module.LISTINGS)
    assert reason_of(lambda: client.list(paths.config_maps("acme"))) == "VERSION_EXPIRED"
    assert len(api.calls) == module.LISTINGS


def test_deleting_a_collection_requires_labels(api: ApiServer, client: Client):
    with pytest.raises(ValueError, match="labels must not be empty"):
        client.delete_collection(paths.pods("acme"), labels={})
    assert api.calls == []


# -- credentials and settings -------------------------------------------------------------------------------------


def test_the_user_agent_names_slipway(api: ApiServer, client: Client):
    client.get(PATH)
    [agent] = api.agents
    assert agent.startswith("slipway-test/")


def test_a_renewed_token_is_used(api: ApiServer, client: Client, token_file: Path):
    client.get(PATH)
    api.token = "renewed"
    token_file.write_text("renewed")
    assert client.get(PATH) is None


def test_a_call_with_an_expired_token_is_repeated_once(api: ApiServer, client: Client):
    api.token = "renewed"
    assert reason_of(lambda: client.get(PATH)) == "SITE_REFUSES_US"
    assert len(api.calls) == 2


def kubeconfig_of(url: str, token: str) -> str:
    named = {
        "clusters": [{"name": "site", "cluster": {"server": url}}],
        "users": [{"name": "us", "user": {"token": token}}],
        "contexts": [{"name": "here", "context": {"cluster": "site", "user": "us"}}],
    }
    return json.dumps({"current-context": "here", **named})


def test_a_kubeconfig_is_read_again_when_its_token_is_refused(api: ApiServer, tmp_path: Path):
    file = tmp_path / "config"
    file.write_text(kubeconfig_of(api.url, "stale"))
    client = Client(Reach(kubeconfig=str(file), context="here"), purpose="test")
    assert reason_of(lambda: client.get(PATH)) == "SITE_REFUSES_US"
    file.write_text(kubeconfig_of(api.url, "good"))
    assert client.get(PATH) is None


REACHES = [
    Reach(in_cluster=True),
    Reach(kubeconfig="/nowhere/config"),
    Reach(server="http://127.0.0.1:1", token_file="/nowhere/token"),
    Reach(server="https://127.0.0.1:1", token_file="/dev/null"),
    Reach(server="127.0.0.1", token_file="/etc/hostname"),
    Reach(server="https://127.0.0.1:1", token_file="/etc/hostname", ca_file="/etc/hostname"),
]


@pytest.mark.parametrize("reach", REACHES)
def test_unusable_settings_raise_site_settings(reach: Reach, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert reason_of(lambda: Client(reach, purpose="test").get(PATH)) == "SITE_SETTINGS"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"current-context": "none"}'])
def test_a_broken_kubeconfig_raises_site_settings(text: str, tmp_path: Path):
    file = tmp_path / "config"
    file.write_text(text)
    client = Client(Reach(kubeconfig=str(file)), purpose="test")
    assert reason_of(lambda: client.get(PATH)) == "SITE_SETTINGS"


def test_a_missing_context_raises_site_settings(tmp_path: Path):
    file = tmp_path / "config"
    file.write_text(kubeconfig_of("http://127.0.0.1:1", "good"))
    client = Client(Reach(kubeconfig=str(file), context="elsewhere"), purpose="test")
    assert reason_of(lambda: client.get(PATH)) == "SITE_SETTINGS"


def test_proxies_in_the_environment_are_ignored(
    api: ApiServer, client: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    assert client.get(PATH) is None


# -- parallel calls and time budgets ------------------------------------------------------------------------------


def test_calls_run_in_parallel():
    meeting = threading.Barrier(8, timeout=10)
    assert sorted(in_parallel([meeting.wait] * 8)) == list(range(8))


def test_the_first_error_is_raised_after_all_have_ended():
    ended = []

    def fail() -> None:
        raise NotYet("FIRST", "no")

    def late() -> None:
        ended.append(1)
        raise NotYet("SECOND", "no")

    assert reason_of(lambda: in_parallel([lambda: None, fail, late])) == "FIRST"
    assert ended == [1]


def test_nested_parallel_calls_do_not_deadlock():
    inner = [lambda: 1] * 4
    assert in_parallel([lambda: sum(in_parallel(inner))] * 100) == [4] * 100


@pytest.mark.usefixtures("hasty")
def test_calls_share_a_time_budget(api: ApiServer, client: Client):
    api.fail(fails.slow, fails.slow)
    began = time.monotonic()
    with time_budget(0.2):
        assert reason_of(lambda: client.get(PATH)) == "SITE_UNREACHABLE"
        assert reason_of(lambda: in_parallel([lambda: client.get(PATH)] * 3)) == "SITE_UNREACHABLE"
    assert time.monotonic() - began < 1
    assert len(api.calls) == 1
