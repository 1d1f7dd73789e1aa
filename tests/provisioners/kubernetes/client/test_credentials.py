"""How credentials are fetched and renewed, from plugins that fail and from files that change."""

import json
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from controlplane.provisioners.base import Permanent, Temporary
from controlplane.provisioners.kubernetes.client import credentials, plugin
from controlplane.provisioners.kubernetes.client import exec as executing
from controlplane.provisioners.kubernetes.client.client import Client
from controlplane.provisioners.kubernetes.client.parallel import in_parallel, time_budget
from controlplane.provisioners.kubernetes.objects import paths
from controlplane.provisioners.kubernetes.settings import Reach
from tests.provisioners.kubernetes.api_server import ApiServer, says
from tests.provisioners.kubernetes.proxy import proxy
from tests.provisioners.launching import until

PATH = paths.config_maps("acme", "one")
VERSION = "client.authentication.k8s.io/v1"
ANONYMOUS = says(403, "Forbidden", 'configmaps is forbidden: User "system:anonymous" cannot get resource')


class Plugin:
    """A credential plugin whose answers a test chooses, and the kubeconfig that names it."""

    def __init__(self, folder: Path, server: str) -> None:
        self.folder = folder
        self.program, self.config = folder / "get-token", folder / "config"
        user = {"exec": {"apiVersion": VERSION, "command": str(self.program), "installHint": "Install it."}}
        entries = {
            "clusters": [{"name": "c", "cluster": {"server": server}}],
            "users": [{"name": "us", "user": user}],
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "us"}}],
        }
        self.config.write_text(json.dumps({"current-context": "here", **entries}))
        self.gives("good")

    @property
    def reach(self) -> Reach:
        return Reach(kubeconfig=str(self.config), context="here")

    @property
    def runs(self) -> int:
        return len(list(self.folder.glob("run.*")))

    def does(self, script: str) -> None:
        counted = f'#!/bin/sh\nmktemp "{self.folder}/run.XXXXXX" > /dev/null\n{script}\n'
        (self.folder / "next").write_text(counted)
        (self.folder / "next").chmod(stat.S_IRWXU)
        (self.folder / "next").replace(self.program)

    def gives(self, token: str, seconds: float | None = None) -> None:
        status: dict[str, Any] = {"token": token}
        if seconds is not None:
            ends = datetime.now(UTC) + timedelta(seconds=seconds)
            status["expirationTimestamp"] = ends.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self.prints(json.dumps({"apiVersion": VERSION, "kind": "ExecCredential", "status": status}))

    def prints(self, text: str) -> None:
        (self.folder / "answer").write_text(text)
        self.does(f'cat "{self.folder}/answer"')


@pytest.fixture
def given(tmp_path: Path, api: ApiServer) -> Plugin:
    return Plugin(tmp_path, api.url)


@pytest.fixture
def client(given: Plugin) -> Client:
    return Client(given.reach, purpose="test")


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries a failed plugin without a pause."""
    monkeypatch.setattr(credentials, "AGAIN_SECONDS", 0.0)


def failure_of(call: Callable[[], object]) -> Temporary | Permanent:
    try:
        answer = call()
    except (Temporary, Permanent) as error:
        return error
    pytest.fail(f"it answered {answer}")


# -- plugins ------------------------------------------------------------------------------------------------------


def test_a_token_is_got_once_for_all_clients_of_one_account(given: Plugin, api: ApiServer):
    clients = [Client(given.reach, purpose=f"test-{index}") for index in range(8)]
    assert in_parallel([partial(client.get, PATH) for client in clients]) == [None] * 8
    assert given.runs == 1


BAD: list[tuple[str, str]] = [
    ("exit 3", "failed with exit code 3"),
    ("echo 'log in first' >&2; exit 1", "exit code 1: log in first"),
    ("true", "printed nothing"),
    ("echo '<html>'", "is no ExecCredential"),
    ("echo '[]'", "is no ExecCredential"),
    ("""echo '{"kind": "ExecCredential", "apiVersion": "v0"}'""", "answered in v0"),
    (
        f"""echo '{{"kind": "ExecCredential", "apiVersion": "{VERSION}", "status": {{}}}}'""",
        "neither a token",
    ),
    ("kill -9 $$", "failed with exit code -9"),
]


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(("script", "words"), BAD)
def test_a_plugin_that_failed_makes_no_anonymous_call(
    given: Plugin, client: Client, api: ApiServer, script: str, words: str
):
    given.does(script)
    error = failure_of(lambda: client.get(PATH))
    assert error.reason == "SITE_CREDENTIALS"
    assert words in error.message
    assert "get-token of user us" in error.message
    assert api.calls == []
    given.gives("good")
    assert client.get(PATH) is None


@pytest.mark.usefixtures("eager")
def test_a_plugin_that_is_missing_is_named_with_its_hint(given: Plugin, client: Client):
    given.program.unlink()
    error = failure_of(lambda: client.get(PATH))
    assert "cannot be started (No such file or directory). Install it." in error.message


def test_a_plugin_that_fails_is_not_run_by_every_call(given: Plugin, client: Client):
    given.does("exit 1")
    for _ in range(5):
        assert failure_of(lambda: client.get(PATH)).reason == "SITE_CREDENTIALS"
    assert given.runs == 1


@pytest.fixture
def gate(given: Plugin) -> Iterator[Path]:
    """The plugin answers once this file exists."""
    gate = given.folder / "gate"
    given.does(f'while ! [ -e "{gate}" ]; do sleep 0.02; done; cat "{given.folder}/answer"')
    yield gate
    gate.touch()


def test_a_slow_plugin_delays_no_call_past_its_time_and_serves_the_next(
    given: Plugin, client: Client, gate: Path
):
    with time_budget(0.2):
        errors = in_parallel([lambda: failure_of(lambda: client.get(PATH))] * 4)
    assert {error.reason for error in errors} == {"SITE_CREDENTIALS"}
    gate.touch()
    assert client.get(PATH) is None
    assert given.runs == 1


@pytest.mark.usefixtures("eager")
def test_a_plugin_that_never_answers_is_ended(
    given: Plugin, client: Client, gate: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(plugin, "SECONDS", 0.2)
    assert "gave no answer in 0.2 s" in failure_of(lambda: client.get(PATH)).message


def test_a_short_lived_token_is_got_once_in_its_life(given: Plugin, client: Client):
    given.gives("good", seconds=240)
    for _ in range(11):
        client.get(PATH)
    assert given.runs == 1


def test_a_token_is_renewed_before_it_ends_and_used_meanwhile(
    given: Plugin, client: Client, monkeypatch: pytest.MonkeyPatch, api: ApiServer
):
    monkeypatch.setattr(credentials, "EARLY_PART", 1.0)
    given.gives("good", seconds=50)
    assert client.get(PATH) is None
    given.gives("good", seconds=3600)
    client.get(PATH)
    assert until(lambda: given.runs == 2)
    # A call made before the new token arrived may have started one more run of the plugin; later calls start none.
    assert until(lambda: not _is_getting(given.reach))
    known = given.runs
    client.get(PATH)
    assert given.runs == known


def _is_getting(reach: Reach) -> bool:
    return credentials.of(reach)._getting is not None


@pytest.mark.usefixtures("eager")
def test_a_token_that_has_expired_is_named(given: Plugin, client: Client):
    given.gives("good", seconds=-5)
    assert "had ended at" in failure_of(lambda: client.get(PATH)).message


@pytest.mark.usefixtures("eager")
def test_a_token_that_is_refused_is_renewed_once(given: Plugin, client: Client, api: ApiServer):
    assert client.get(PATH) is None
    api.token = "newer"
    assert failure_of(lambda: client.get(PATH)).reason == "SITE_REFUSES_US"
    assert given.runs == 2
    given.gives("newer")
    assert client.get(PATH) is None


def test_a_token_that_is_refused_at_once_is_not_got_again_by_every_call(given: Plugin, client: Client):
    given.gives("bad")
    for _ in range(5):
        assert failure_of(lambda: client.get(PATH)).reason == "SITE_REFUSES_US"
    assert given.runs == 1


def test_a_plugin_sees_no_secret_of_ours(given: Plugin, client: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SLIPWAY_SECRET_KEY", "s")
    monkeypatch.setenv("DATABASE_URL", "d")
    given.does(f'env > "{given.folder}/env"; cat "{given.folder}/answer"')
    client.get(PATH)
    environment = (given.folder / "env").read_text()
    assert "KUBERNETES_EXEC_INFO=" in environment
    assert "SLIPWAY_SECRET_KEY" not in environment
    assert "DATABASE_URL" not in environment


# -- every kind of call -------------------------------------------------------------------------------------------

CALLS: dict[str, Callable[[Client], object]] = {
    "get": lambda client: client.get(PATH),
    "watch": lambda client: list(
        client.watch(paths.pods(), labels={"a": "b"}, resource_version="1", seconds=1)
    ),
    "logs": lambda client: list(client.stream(paths.pod_log("acme", "one"))),
    "exec": lambda client: executing.run(client, "acme", "one", ["true"], seconds=3),
}


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("failure", [says(401, "Unauthorized"), ANONYMOUS])
@pytest.mark.parametrize("kind", CALLS)
def test_lost_credentials_are_renewed_by_every_kind_of_call(
    given: Plugin, client: Client, api: ApiServer, kind: str, failure: Any
):
    client.get(PATH)
    api.fail(failure)
    api.calls.clear()
    try:
        CALLS[kind](client)
    except (Temporary, Permanent) as error:
        # The fake API server supports neither logs nor commands, so these calls fail for other reasons.
        assert error.reason != "SITE_REFUSES_US"  # noqa: PT017
    assert len(api.calls) == 2
    assert given.runs == 2


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("kind", CALLS)
def test_an_anonymous_refusal_names_the_anonymous_user(client: Client, api: ApiServer, kind: str):
    api.fail(ANONYMOUS, ANONYMOUS)
    error = failure_of(lambda: CALLS[kind](client))
    assert error.reason == "SITE_REFUSES_US"
    assert "system:anonymous" in error.message


# -- files --------------------------------------------------------------------------------------------------------


def test_a_kubeconfig_that_is_rewritten_is_read_again(
    tmp_path: Path, given: Plugin, client: Client, api: ApiServer
):
    assert client.get(PATH) is None
    api.token = "newer"
    config = json.loads(given.config.read_text())
    config["users"][0]["user"] = {"token": "newer"}
    given.config.write_text(json.dumps(config))
    api.calls.clear()
    assert client.get(PATH) is None
    assert len(api.calls) == 1


def test_many_threads_wait_for_one_reading(given: Plugin, gate: Path):
    clients = [Client(given.reach, purpose="test") for _ in range(4)]
    answers: list[object] = []
    threads = [threading.Thread(target=lambda each=each: answers.append(each.get(PATH))) for each in clients]
    for thread in threads:
        thread.start()
    gate.touch()
    for thread in threads:
        thread.join(10)
    assert answers == [None] * 4
    assert given.runs == 1


# -- proxies and impersonation ------------------------------------------------------------------------------------


def through(given: Plugin, **cluster: str) -> Client:
    config = json.loads(given.config.read_text())
    config["clusters"][0]["cluster"] |= cluster
    config["users"][0]["user"] = {"token": "good", "as": "bob", "as-groups": ["a", "b"]}
    given.config.write_text(json.dumps(config))
    return Client(given.reach, purpose="test")


@pytest.mark.parametrize("kind", CALLS)
def test_every_kind_of_call_goes_through_the_proxy(given: Plugin, api: ApiServer, kind: str):
    with proxy() as way:
        client = through(given, **{"proxy-url": way.url})
        with suppress(Temporary, Permanent):
            CALLS[kind](client)
    assert set(way.targets) == {api.url.removeprefix("http://")}
    assert set(way.credentials) == {"Basic dXNlcjpwYXNzIHdvcmQ="}
    assert api.calls


def test_a_proxy_that_refuses_is_not_bypassed(given: Plugin, api: ApiServer):
    with proxy() as way:
        way.refuses = True
        error = failure_of(lambda: through(given, **{"proxy-url": way.url}).get(PATH))
    assert error.reason == "SITE_UNREACHABLE"
    assert "the proxy 127.0.0.1" in error.message
    assert "pass" not in error.message
    assert api.calls == []


@pytest.mark.parametrize("kind", CALLS)
def test_every_kind_of_call_is_made_as_the_impersonated_user(given: Plugin, api: ApiServer, kind: str):
    client = through(given)
    with suppress(Temporary, Permanent):
        CALLS[kind](client)
    assert api.impersonated == {("bob", ("a", "b"))}
