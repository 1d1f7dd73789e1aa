"""A real admission webhook that answers after a delay which the test chooses."""

import base64
import json
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from controlplane.provisioners.kubernetes.client.client import Client
from controlplane.provisioners.kubernetes.objects import names, paths

CERTIFICATE = (
    "openssl req -x509 -newkey rsa:2048 -noenc -days 2 -subj /CN=webhook -keyout {key} -out {cert} -addext"
)


class Webhook(ThreadingHTTPServer):
    """seconds: the delay before each answer. reviewed_kinds: the kind of each object that it reviewed, in order."""

    daemon_threads = True

    def __init__(self, host: str) -> None:
        super().__init__((host, 0), _Handler)
        self.seconds = 0.0
        self.reviewed_kinds: list[str] = []
        self.closing = threading.Event()


@contextmanager
def webhook(
    client: Client, installation: str, folder: Path, *, seconds: float, limit: int, policy: str
) -> Iterator[Webhook]:
    """Registers a webhook that reviews each object created in the namespaces of one installation.

    limit: the timeout in seconds after which the API server follows `policy`, "Fail" or "Ignore".
    """
    with client.access().connect() as connected:
        # The API server can reach this machine at the address from which we connect to it.
        host = connected.getsockname()[0]
    cert, key = folder / "webhook.crt", folder / "webhook.key"
    command = CERTIFICATE.format(key=key, cert=cert).split()
    subprocess.run([*command, f"subjectAltName=IP:{host}"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with Webhook(host) as server:
        server.seconds = seconds
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        body = configuration(server, installation, cert.read_bytes(), limit=limit, policy=policy)
        path = paths.webhooks()[1]
        client.create(path, body)
        try:
            yield server
        finally:
            server.closing.set()
            client.delete(f"{path}/{body['metadata']['name']}")
            server.shutdown()
            thread.join()


def configuration(
    server: Webhook, installation: str, ca: bytes, *, limit: int, policy: str
) -> dict[str, Any]:
    host, port = str(server.server_address[0]), server.server_address[1]
    rule = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE"],
        "resources": ["configmaps", "pods", "services", "serviceaccounts", "secrets"],
    }
    hook = {
        "name": "slow.webhook.example",
        "clientConfig": {"url": f"https://{host}:{port}/", "caBundle": base64.b64encode(ca).decode()},
        "rules": [rule],
        "namespaceSelector": {"matchLabels": {names.INSTALLATION: installation}},
        "failurePolicy": policy,
        "timeoutSeconds": limit,
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": f"slow-{installation}"},
        "webhooks": [hook],
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Webhook

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        return

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["request"]
        self.server.reviewed_kinds.append(request["kind"]["kind"])
        if self.server.closing.wait(self.server.seconds):
            self.close_connection = True
            return
        answer = {"uid": request["uid"], "allowed": True}
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": answer}
        data = json.dumps(review).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def tries(call: Any, seconds: float) -> tuple[int, list[str]]:
    """Repeats the call as a worker does, for at most `seconds`. Returns the number of tries and the errors raised."""
    from controlplane.provisioners.base import Temporary

    deadline, said = time.monotonic() + seconds, []
    while True:
        try:
            call()
        except Temporary as error:
            said.append(f"{error.reason}: {error.message}")
            assert time.monotonic() < deadline, said
            time.sleep(min(1.0, error.delay))
        else:
            return len(said) + 1, said
