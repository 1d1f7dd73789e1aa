"""Logs of nodes: the last bytes, read from an API that counts lines, and following a log."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from controlplane.provisioners.base import NodeState, Permanent, Temporary
from controlplane.provisioners.kubernetes.client.client import Client
from controlplane.provisioners.kubernetes.objects import paths
from controlplane.provisioners.kubernetes.observations import pod_logs
from tests.provisioners.kubernetes import api_server as fails
from tests.provisioners.kubernetes.api_server import ApiServer, Failure
from tests.provisioners.kubernetes.real import FOREVER, PodNamespace, pod_namespace
from tests.provisioners.launching import until

NO_OTHER = fails.says(400, "BadRequest", 'previous terminated container "node" in pod "pod-0" not found')
WAITING = fails.says(
    400, "BadRequest", 'container "node" in pod "pod-0" is waiting to start: ContainerCreating'
)
MISSING = fails.says(404, "NotFound", name="pod-0", kind="pods")


def written(text: bytes, status: int = 200) -> Failure:
    return lambda handler, do: handler.reply(status, text, "text/plain")


def tail(client: Client, size: int) -> bytes:
    return pod_logs.tail(client, "acme", "pod-0", tail_bytes=size)


def test_the_tail_has_the_last_bytes(api: ApiServer, client: Client):
    api.fail(written(b"one\ntwo\n"))
    assert tail(client, 5) == b"\ntwo\n"


def test_a_short_log_is_filled_up_from_the_previous_container(api: ApiServer, client: Client):
    api.fail(written(b"new\n"), written(b"old\n" * 40))
    assert tail(client, 70) == b"d\n" + b"old\n" * 16 + b"new\n"
    assert "previous=1" in api.calls[1]


def test_more_lines_are_read_if_they_are_short(api: ApiServer, client: Client):
    api.fail(written(b"\n" * 3), written(b"\n" * 200))
    assert tail(client, 150) == b"\n" * 150
    assert ["tailLines=3" in api.calls[0], "tailLines=150" in api.calls[1]] == [True, True]


@pytest.mark.parametrize("failure", [WAITING, MISSING, NO_OTHER, written(b"", 204)])
def test_the_log_of_a_node_that_has_not_started_is_empty(api: ApiServer, client: Client, failure: Failure):
    api.fail(failure, failure)
    assert tail(client, 100) == b""


LOST = [
    b"unable to retrieve container logs for containerd://2f5b",
    b'failed to try resolving symlinks in path "/var/log/pods/x/node/0.log": no such file or directory',
]


@pytest.mark.parametrize("lost", LOST)
def test_errors_of_the_kubelet_are_removed(api: ApiServer, client: Client, lost: bytes):
    api.fail(written(lost), NO_OTHER)
    assert tail(client, 100) == b""


def test_a_line_of_the_node_that_resembles_an_error_of_the_kubelet_is_kept(api: ApiServer, client: Client):
    api.fail(written(LOST[0] + b"\n"), NO_OTHER)
    assert tail(client, 100) == LOST[0] + b"\n"


@pytest.mark.parametrize("failure", [fails.broken, fails.busy, fails.away, fails.stranger])
def test_a_failed_read_raises(api: ApiServer, client: Client, failure: Failure):
    api.fail(failure)
    with pytest.raises(Temporary):
        tail(client, 100)


def test_a_bad_request_raises(api: ApiServer, client: Client):
    api.fail(fails.says(400, "BadRequest", "container other is not valid for pod pod-0"))
    with pytest.raises(Permanent):
        tail(client, 100)


def test_following_yields_new_output_until_the_log_ends(api: ApiServer, client: Client):
    api.fail(written(b"one\ntwo\n"))
    assert b"".join(pod_logs.follow(client, "acme", "pod-0")) == b"one\ntwo\n"
    assert "tailLines=0" in api.calls[0]


def test_following_starts_with_the_first_line_of_a_new_node(
    api: ApiServer, client: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pod_logs, "TICK_SECONDS", 0.01)
    api.fail(written(b"", 204), WAITING, written(b"first\n"))
    assert b"".join(pod_logs.follow(client, "acme", "pod-0")) == b"first\n"
    assert "tailLines" not in api.calls[-1]


def test_following_a_missing_pod_ends_at_once(api: ApiServer, client: Client):
    api.fail(MISSING)
    assert list(pod_logs.follow(client, "acme", "pod-0")) == []


def test_following_raises_if_it_fails(api: ApiServer, client: Client):
    api.fail(fails.broken)
    with pytest.raises(Temporary):
        list(pod_logs.follow(client, "acme", "pod-0"))


def test_following_yields_empty_bytes_while_nothing_is_written(
    api: ApiServer, client: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pod_logs, "TICK_SECONDS", 0.01)
    api.fail(fails.slow)
    following = pod_logs.follow(client, "acme", "pod-0")
    assert list(islice(following, 3)) == [b""] * 3


@pytest.mark.kube
class TestOnARealOne:
    @pytest.fixture
    def here(self, kubeconfig: Path) -> Iterator[PodNamespace]:
        with pod_namespace(kubeconfig) as made:
            yield made

    def test_a_real_log_is_read_and_followed_to_its_end(self, here: PodNamespace):
        name = here.running("worker-0", f"echo one; echo two; {FOREVER}")
        assert pod_logs.tail(here.client, here.namespace, name, tail_bytes=100) == b"one\ntwo\n"
        assert pod_logs.tail(here.client, here.namespace, name, tail_bytes=3) == b"wo\n"
        following = pod_logs.follow(here.client, here.namespace, name)
        assert next(following) == b""
        here.client.delete(paths.pods(here.namespace, name))
        assert b"".join(following) == b""

    def test_the_log_of_a_crashing_node_is_read_across_its_restart(self, here: PodNamespace):
        name = here.make("worker-0", "echo no such file; exit 3")
        until(lambda: here.state(name) is NodeState.ENDED, 60)
        # The kubelet may have deleted the log of the older container by now.
        text = pod_logs.tail(here.client, here.namespace, name, tail_bytes=100)
        assert text in (b"no such file\n", b"no such file\n" * 2)

    def test_a_missing_node_has_no_log(self, here: PodNamespace):
        assert pod_logs.tail(here.client, here.namespace, "pod-0", tail_bytes=100) == b""
        assert list(pod_logs.follow(here.client, here.namespace, "pod-0")) == []
