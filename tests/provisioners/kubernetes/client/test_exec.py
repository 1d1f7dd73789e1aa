"""Commands in pods: the result has the exit code, and an error is raised when it is unknown."""

import base64
import hashlib
import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from controlplane.provisioners.base import Permanent, Temporary
from controlplane.provisioners.kubernetes.client.client import Client
from controlplane.provisioners.kubernetes.client.exec import NEWER, OLDER, ExecResult, run
from controlplane.provisioners.kubernetes.client.parallel import in_parallel, time_budget
from controlplane.provisioners.kubernetes.objects.body import Body
from tests.provisioners.kubernetes import api_server as fails
from tests.provisioners.kubernetes.api_server import ApiServer, Failure
from tests.provisioners.kubernetes.real import PodNamespace, pod_namespace

SUCCESS = b"\x03" + json.dumps({"status": "Success"}).encode()
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def speaks(*messages: bytes, protocol: str = NEWER, silent: bool = False, cut: bool = True) -> Failure:
    """Returns a server that accepts the call, sends these messages, and closes the connection if `cut`."""

    def failure(handler: fails.Handler, do: object) -> None:
        key = handler.headers["Sec-WebSocket-Key"].encode()
        handler.send_response(101)
        handler.send_header("Upgrade", "websocket")
        handler.send_header("Connection", "Upgrade")
        handler.send_header("Sec-WebSocket-Protocol", protocol)
        accept = base64.b64encode(hashlib.sha1(key + _MAGIC, usedforsecurity=False).digest())
        handler.send_header("Sec-WebSocket-Accept", accept.decode())
        handler.end_headers()
        for message in messages:
            handler.wfile.write(b"\x82\x7e" + len(message).to_bytes(2, "big") + message)
        if silent:
            handler.api.closing.wait(20)
        if cut:
            handler.cut()

    return failure


def status(**fields: object) -> bytes:
    return b"\x03" + json.dumps({"status": "Failure", **fields}).encode()


def exited(code: str) -> bytes:
    causes = {"causes": [{"reason": "ExitCode", "message": code}]}
    return status(reason="NonZeroExitCode", details=causes)


def try_run(client: Client, **options: object) -> ExecResult:
    return run(client, "acme", "pod-0", ["true"], **{"seconds": 2.0, **options})  # type: ignore[arg-type]


def test_the_result_has_the_output_and_the_exit_code(api: ApiServer, client: Client):
    api.fail(speaks(b"\x01out", b"\x02err", b"\x01put", exited("7")))
    assert try_run(client) == ExecResult(7, b"output", b"err")


def test_the_command_is_encoded_in_the_query(api: ApiServer, client: Client):
    api.fail(speaks(SUCCESS))
    run(client, "acme", "pod-0", ["sh", "-c", "a & b"], seconds=2)
    assert api.calls[0].startswith("GET /api/v1/namespaces/acme/pods/pod-0/exec?container=node&command=sh&")
    assert "command=a+%26+b" in api.calls[0]


def test_long_output_is_cut_at_the_end(api: ApiServer, client: Client):
    api.fail(speaks(b"\x01" + b"x" * 30, b"\x01" + b"y" * 30, SUCCESS))
    assert try_run(client, most_bytes=40).stdout == b"x" * 30 + b"y" * 10


def test_a_connection_lost_before_the_exit_code_raises(api: ApiServer, client: Client):
    api.fail(speaks(b"\x01all done"))
    with pytest.raises(Temporary, match="EXEC_LOST"):
        try_run(client)


def test_a_command_that_exceeds_its_time_raises(api: ApiServer, client: Client):
    api.fail(speaks(b"\x01working", silent=True))
    with pytest.raises(Temporary, match="EXEC_SLOW"):
        try_run(client, seconds=0.2)


def pinging(handler: fails.Handler, do: object) -> None:
    """Keeps the connection alive with pings and never ends the command."""
    speaks(cut=False)(handler, do)  # type: ignore[arg-type]
    while not handler.api.closing.wait(0.02):
        handler.wfile.write(b"\x89\x00")


def test_pings_do_not_extend_the_time(api: ApiServer, client: Client):
    api.fail(pinging)
    with pytest.raises(Temporary, match="EXEC_SLOW"):
        try_run(client, seconds=0.2)


def dribbling(handler: fails.Handler, do: object) -> None:
    """Sends one header after another and never completes the handshake."""
    handler.send_response(101)
    handler.flush_headers()
    while not handler.api.closing.wait(0.02):
        handler.wfile.write(b"X-More: yes\r\n")


@pytest.mark.parametrize("failure", [dribbling, fails.slow])
def test_connecting_respects_the_time_budget(api: ApiServer, client: Client, failure: Failure):
    api.fail(failure)
    began = time.monotonic()
    with time_budget(0.3), pytest.raises(Temporary, match="SITE_UNREACHABLE"):
        try_run(client, seconds=60.0)
    assert time.monotonic() - began < 1.5


STRANGE: list[bytes] = [
    b"\x03",
    b"\x03no json",
    b"\x03[]",
    b"\x03{}",
    status(reason="InternalError", message="container not found"),
    status(reason="NonZeroExitCode", details={}),
    exited("many"),
]


@pytest.mark.parametrize("message", STRANGE)
def test_an_unreadable_status_raises(api: ApiServer, client: Client, message: bytes):
    api.fail(speaks(message))
    with pytest.raises(Temporary, match="EXEC_FAILED"):
        try_run(client)


REFUSALS = [
    (fails.says(404, "NotFound", name="pod-0", kind="pods"), "POD_GONE"),
    (fails.says(400, "BadRequest", "pod pod-0 does not have a host assigned"), "EXEC_FAILED"),
    (fails.says(403, "Forbidden", "cannot create pods/exec"), "SITE_FORBIDS"),
    (fails.busy, "SITE_BUSY"),
    (fails.broken, "SITE_UNREACHABLE"),
    (fails.stranger, "SITE_UNREACHABLE"),
    (fails.polite_stranger, "SITE_UNREACHABLE"),
    (fails.away, "SITE_UNREACHABLE"),
]


@pytest.mark.parametrize(("failure", "reason"), REFUSALS)
def test_a_refused_call_raises_its_reason(api: ApiServer, client: Client, failure: Failure, reason: str):
    api.fail(failure)
    with pytest.raises(Temporary, match=reason):
        try_run(client)


def test_a_renewed_token_is_used(api: ApiServer, client: Client):
    api.fail(fails.says(401, "Unauthorized"), speaks(SUCCESS))
    assert try_run(client).exit_code == 0


def test_the_older_protocol_is_supported(api: ApiServer, client: Client):
    api.fail(speaks(SUCCESS, protocol=OLDER))
    assert try_run(client).exit_code == 0


def test_the_older_protocol_supports_no_input(api: ApiServer, client: Client):
    api.fail(speaks(SUCCESS, protocol=OLDER))
    with pytest.raises(Permanent, match="SITE_TOO_OLD"):
        try_run(client, stdin=b"words")


@pytest.mark.kube
class TestOnARealOne:
    @pytest.fixture
    def here(self, kubeconfig: Path) -> Iterator[PodNamespace]:
        with pod_namespace(kubeconfig) as made:
            yield made

    def test_real_commands_return_their_results(self, here: PodNamespace):
        """All cases share one pod, because creating it takes seconds."""
        name = here.running("worker-0")

        def sh(text: str, **options: object) -> ExecResult:
            given: Body = {"seconds": 10.0, **options}
            return run(here.client, here.namespace, name, ["sh", "-c", text], **given)

        assert sh("echo out; echo err >&2; exit 7") == ExecResult(7, b"out\n", b"err\n")
        assert sh("kill -9 $$").exit_code == 137
        assert sh("wc -c", stdin=b"x" * 100_000) == ExecResult(0, b"100000\n", b"")
        assert len(sh("yes | head -c 300000", most_bytes=1000).stdout) == 1000
        ran = in_parallel([partial(sh, f"exit {code}") for code in range(12)])
        assert [one.exit_code for one in ran] == list(range(12))
        with pytest.raises(Temporary, match="EXEC_SLOW"):
            sh("sleep 60", seconds=0.5)
        with pytest.raises(Temporary, match=r"EXEC_FAILED.*no/such"):
            run(here.client, here.namespace, name, ["/no/such"], seconds=10)

    def test_a_missing_pod_is_gone(self, here: PodNamespace):
        with pytest.raises(Temporary, match="POD_GONE"):
            run(here.client, here.namespace, "pod-0", ["true"], seconds=5)

    def test_a_pod_that_has_ended_runs_no_command(self, here: PodNamespace):
        name = here.make("worker-0", "exit 1")
        with pytest.raises(Temporary, match="EXEC_FAILED"):
            run(here.client, here.namespace, name, ["true"], seconds=5)
