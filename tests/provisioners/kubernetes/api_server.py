"""A fake API server that fails in the ways of real ones, each a named function. It stores objects unvalidated.

`test_client` runs the same tests against it and against a real API server.
"""

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from controlplane.provisioners.kubernetes.objects.body import Body

Failure = Callable[["Handler", Callable[[], None]], None]

KINDS = {"configmaps": "ConfigMap", "pods": "Pod", "namespaces": "Namespace"}


class ApiServer(ThreadingHTTPServer):
    """calls: method and target of each request. failures: applied to the next requests, one each, in order.

    news: the lines of each watch, which ends after them, or hangs if `silent`. most: the largest page of a list.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects: dict[str, Body] = {}
        self.version = 100
        self.calls: list[str] = []
        self.agents: set[str] = set()
        # (user, groups) of each impersonated call.
        self.impersonated: set[tuple[str, tuple[str, ...]]] = set()
        self.failures: deque[Failure] = deque()
        self.news: deque[list[Body]] = deque()
        self.silent = False
        self.most = 500
        self.token = "good"
        self.closing = threading.Event()
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def fail(self, *failures: Failure) -> None:
        self.failures.extend(failures)


@contextmanager
def api_server() -> Iterator[ApiServer]:
    with ApiServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()
            thread.join()


# -- failures -----------------------------------------------------------------------------------------------------


def away(handler: "Handler", do: Callable[[], None]) -> None:
    """Cuts the connection before the request is executed."""
    handler.cut()


def reply_lost(handler: "Handler", do: Callable[[], None]) -> None:
    """Executes the request, and cuts the connection instead of replying."""
    handler.mute = True
    do()
    handler.cut()


def half_a_reply(handler: "Handler", do: Callable[[], None]) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"kind": ')
    handler.cut()


def slow(handler: "Handler", do: Callable[[], None]) -> None:
    """Gives no answer for 20 s, longer than any client in the tests waits."""
    handler.api.closing.wait(20)
    handler.cut()


def dribbling(handler: "Handler", do: Callable[[], None]) -> None:
    """Sends a byte every 20 ms and never completes the reply."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    while not handler.api.closing.wait(0.02):
        handler.wfile.write(b" ")


def stranger(handler: "Handler", do: Callable[[], None]) -> None:
    """Replies 404 with HTML, as a web server at this address does that is no Kubernetes API."""
    handler.reply(404, b"<html>no such page</html>", "text/html")


def polite_stranger(handler: "Handler", do: Callable[[], None]) -> None:
    handler.reply(200, b"<html>welcome</html>", "text/html")


def says(status: int, reason: str, message: str = "no", retry_after: str = "", **details: Any) -> Failure:
    """Returns a failure that replies with a Kubernetes Status."""

    def failure(handler: "Handler", do: Callable[[], None]) -> None:
        headers = {"Retry-After": retry_after} if retry_after else {}
        handler.refuse(status, reason, message, details, headers)

    return failure


busy = says(429, "TooManyRequests", "too many requests", retry_after="7")
broken = says(500, "InternalError", "etcdserver: leader changed")
overloaded = says(503, "ServiceUnavailable", "apiserver is shutting down")
expired = says(410, "Expired", "too old resource version: 1 (100)")


# -- the server ---------------------------------------------------------------------------------------------------


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: ApiServer
    mute = False

    @property
    def api(self) -> ApiServer:
        return self.server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        return

    def cut(self) -> None:
        self.close_connection = True
        self.connection.close()

    def handle_any(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        with self.api.lock:
            self.api.calls.append(f"{self.command} {self.path}")
            self.api.agents.add(self.headers["User-Agent"])
            if whom := self.headers["Impersonate-User"]:
                self.api.impersonated.add((whom, tuple(self.headers.get_all("Impersonate-Group", ()))))
            failure = self.api.failures.popleft() if self.api.failures else None
        try:
            if failure:
                failure(self, lambda: self._do(body))
            else:
                self._do(body)
        except OSError:
            # The client has closed the connection.
            self.close_connection = True

    do_GET = do_POST = do_PATCH = do_DELETE = handle_any  # noqa: N815

    def _do(self, body: Body) -> None:
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query, keep_blank_values=True).items()}
        if self.headers.get("Authorization", "") != f"Bearer {self.api.token}":
            self.refuse(401, "Unauthorized", "Unauthorized", {})
        elif query.get("watch"):
            self._watch()
        else:
            with self.api.lock:
                answer = getattr(self, f"_{self.command.lower()}")
                answer(url.path, query, body)

    def _get(self, path: str, query: dict[str, str], body: Body) -> None:
        if path.rpartition("/")[2] in KINDS:
            return self._list(path, query)
        return self._found(path)

    def _found(self, path: str) -> None:
        found = self.api.objects.get(path)
        if found is None:
            return self._missing(path)
        return self.say(200, found)

    def _list(self, path: str, query: dict[str, str]) -> None:
        wanted = [term.split("=", 1) for term in query.get("labelSelector", "").split(",") if term]
        found = [
            item
            for place, item in sorted(self.api.objects.items())
            if place.startswith(f"{path}/")
            and all(item["metadata"].get("labels", {}).get(key) == value for key, value in wanted)
        ]
        most = min(int(query.get("limit") or self.api.most), self.api.most)
        start = int(query.get("continue") or 0)
        about: Body = {"resourceVersion": str(self.api.version)}
        if start + most < len(found):
            about["continue"] = str(start + most)
        kind = KINDS[path.rpartition("/")[2]]
        self.say(200, {"kind": f"{kind}List", "metadata": about, "items": found[start : start + most]})

    def _post(self, path: str, query: dict[str, str], body: Body) -> None:
        name = body["metadata"]["name"]
        place = f"{path}/{name}"
        if place in self.api.objects:
            kind = path.rpartition("/")[2]
            return self.refuse(
                409, "AlreadyExists", f'{kind} "{name}" already exists', {"name": name, "kind": kind}
            )
        self.api.objects[place] = body
        body["metadata"]["uid"] = f"uid-{self.api.version}"
        return self.say(201, self._changed(body))

    def _patch(self, path: str, query: dict[str, str], body: Body) -> None:
        if path not in self.api.objects:
            return self._missing(path)
        found = self.api.objects[path]
        found["metadata"].setdefault("annotations", {}).update(body["metadata"].get("annotations", {}))
        return self.say(200, self._changed(found))

    def _delete(self, path: str, query: dict[str, str], body: Body) -> None:
        if path.rpartition("/")[2] in KINDS:
            wanted = query["labelSelector"].split("=")
            for place, item in list(self.api.objects.items()):
                if item["metadata"].get("labels", {}).get(wanted[0]) == wanted[1]:
                    del self.api.objects[place]
            return self.say(200, {"kind": "Status", "status": "Success"})
        if path not in self.api.objects:
            return self._missing(path)
        wanted_uid = body.get("preconditions", {}).get("uid")
        uid = self.api.objects[path]["metadata"]["uid"]
        if wanted_uid not in (None, uid):
            words = f"Precondition failed: UID in precondition: {wanted_uid}, UID in object meta: {uid}"
            return self.refuse(409, "Conflict", words, {})
        del self.api.objects[path]
        return self.say(200, {"kind": "Status", "status": "Success"})

    def _missing(self, path: str) -> None:
        kind, name = path.split("/")[-2:]
        self.refuse(404, "NotFound", f'{kind} "{name}" not found', {"name": name, "kind": kind})

    def _changed(self, item: Body) -> Body:
        self.api.version += 1
        item["metadata"]["resourceVersion"] = str(self.api.version)
        return item

    def _watch(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for line in self.api.news.popleft() if self.api.news else []:
            text = json.dumps(line).encode() + b"\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(text), text))
        if self.api.silent:
            self.api.closing.wait(20)
            self.cut()
        else:
            self.wfile.write(b"0\r\n\r\n")

    def say(self, status: int, body: Body, headers: dict[str, str] | None = None) -> None:
        self.reply(status, json.dumps(body).encode(), "application/json", headers)

    def refuse(
        self,
        status: int,
        reason: str,
        message: str,
        details: dict[str, Any],
        headers: dict[str, str] | None = None,
    ) -> None:
        body = {"kind": "Status", "status": "Failure", "reason": reason, "message": message}
        self.say(status, {**body, "details": details, "code": status}, headers)

    def reply(self, status: int, data: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        if self.mute:
            return
        self.send_response(status)
        for key, value in {**(headers or {}), "Content-Type": kind, "Content-Length": str(len(data))}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(data)
