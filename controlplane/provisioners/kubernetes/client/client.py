"""The client of an API server: plain JSON over pooled connections. Calls are bounded in time, errors are translated.

Thread-safe. Each account of a site has one client. Objects are plain dicts, as the API gives them.
"""

import http.client
import ssl
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, Protocol, TypeVar

import orjson
import urllib3

from controlplane.provisioners.base import WRITE_SECONDS, Temporary
from controlplane.provisioners.kubernetes.client import credentials, parallel, wire
from controlplane.provisioners.kubernetes.client.connections import CONNECT_SECONDS, Access, pool
from controlplane.provisioners.kubernetes.client.errors import (
    AdmissionSlow,
    AlreadyExists,
    Expired,
    Refusal,
    Unauthenticated,
    unreachable,
)
from controlplane.provisioners.kubernetes.client.streams import Stream
from controlplane.provisioners.kubernetes.client.writes import Answer, Writes, Written
from controlplane.provisioners.kubernetes.objects.body import Body
from controlplane.provisioners.kubernetes.settings import Reach

READ_SECONDS = 4.0
# The part of a write's time that is kept to find out whether the API server answers at all.
PROBE_PART = 0.15
VERSION = "/version"
VERBS = {"POST": "create", "PATCH": "patch", "DELETE": "delete"}
PAGE = 500
# So many times a listing begins anew because the API server no longer knows its next page.
LISTINGS = 3
MOST_BYTES = 128 * 1024 * 1024
_PIECE = 256 * 1024
# The API server sends a bookmark every 60 to 61 seconds, even when nothing happens.
WATCH_SILENCE = 90.0
FOLLOW_SILENCE = 3600.0
JSON: Final = "application/json"
METADATA_ONLY: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
IDENTITY = "identity"
MERGE_PATCH: Final = "application/merge-patch+json"


@dataclass(frozen=True, slots=True)
class Listing:
    items: list[Body]
    resource_version: str


T = TypeVar("T")
Ask = Callable[[str], Body | None]


class VerifyIdentity(Protocol):
    """Verifies which Kubernetes a new connection leads to, before its first call."""

    @property
    def reach(self) -> Reach:
        """The account that is allowed to read what is needed for this."""

    def __call__(self, ask: Ask) -> None:
        """ask: GET of an object, None when it does not exist. The first call raises the errors of this one."""


@dataclass(frozen=True, slots=True, eq=False)
class _Connections:
    """held: as the credentials gave it. access: the same with the user agent of this client."""

    held: Access
    access: Access
    pool: urllib3.HTTPConnectionPool


class Client:
    """Raises Temporary, Permanent and their subclasses in `errors`, and nothing else, whatever the API server does."""

    def __init__(self, reach: Reach, *, purpose: str, verify_identity: VerifyIdentity | None = None) -> None:
        """purpose: a part of the user agent, so that an audit log tells the accounts apart."""
        self._credentials, self._agent = credentials.of(reach), _agent(purpose)
        self._verify_identity, self._writes = verify_identity, Writes()
        self._lock = threading.Lock()
        self._opened: _Connections | None = None

    def get(self, path: str) -> Body | None:
        """None: the API says that the object does not exist."""
        return _object(path, self._call("GET", path))

    def create(self, path: str, body: Body) -> Body:
        """Raises AlreadyExists. When the answer is lost, it raises Temporary and the object may exist."""
        name, given = wire.object_key(body)
        # A review, such as SelfSubjectAccessReview, has no name and must be sent each time.
        key = ("POST", path, name, given) if name else object()
        written = self._write("POST", path, body, key=key)
        status, headers, data = written.answer
        if status not in (200, 201, 202):
            raise Refusal.read(status, headers, data).error()
        if not written.by_us:
            raise AlreadyExists(f"{name} was created by an earlier try")
        return wire.parsed(data)

    def patch(self, path: str, body: Body) -> Body | None:
        """Send a JSON merge patch. None: the object does not exist."""
        return _object(path, self._write("PATCH", path, body, MERGE_PATCH).answer)

    def delete(self, path: str, *, uid: str = "", grace: int | None = None) -> bool:
        """Delete an object, and in the background what it owns. grace: seconds; None: as the object says.

        False: it does not exist, or another object has its name now.
        """
        body = wire.deletion(grace) | ({"preconditions": {"uid": uid}} if uid else {})
        status, headers, data = self._write("DELETE", path, body).answer
        if status in (200, 202):
            return True
        refusal = Refusal.read(status, headers, data)
        if refusal.is_missing(wire.last_part(path)) or (uid and refusal.is_other_uid()):
            return False
        raise refusal.error()

    def delete_collection(self, path: str, *, labels: Mapping[str, str], grace: int | None = None) -> None:
        """Delete all objects that have these labels, by one call. grace: as for `delete`."""
        if not labels:
            raise ValueError("labels must not be empty: this would delete the whole collection")
        target = wire.target(path, wire.selected(labels))
        status, headers, data = self._write("DELETE", target, wire.deletion(grace)).answer
        if status not in (200, 202):
            raise Refusal.read(status, headers, data).error()

    def list(self, path: str, *, labels: Mapping[str, str] | None = None) -> Listing:
        """All objects that have these labels, as they are now: not from a cache of the API server."""
        for _ in range(LISTINGS):
            try:
                return self._pages(path, wire.selected(labels or {}))
            except Expired as error:
                expired = error
        raise expired

    def gather(
        self, path: str, *, labels: Mapping[str, str], keep: Callable[[Body], T | None], bare: bool = False
    ) -> Sequence[T]:
        """Like `list`, but keeps of each object only what `keep` returns, so it needs the memory of one page.

        keep: returns None for an object to leave out. bare: read only the metadata of the objects.
        """
        for _ in range(LISTINGS):
            try:
                pages = self._paged(path, labels, bare=bare)
                return [kept for page in pages for kept in map(keep, page) if kept is not None]
            except Expired as error:
                expired = error
        raise expired

    def version(self, path: str) -> str:
        """The current resource version of the collection, from which a watch of new changes starts."""
        return wire.listing(self._get(wire.target(path, {"limit": "1"})))[1]

    def watch(self, path: str, *, labels: Mapping[str, str], resource_version: str, seconds: int) -> "Events":
        """(type, object) of every change, and bookmarks, for so many seconds. The watch runs when this returns.

        Raises Expired, also during the iteration, and Silence when not even bookmarks are received.
        """
        query = {
            "watch": "1",
            "allowWatchBookmarks": "1",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(seconds),
        }
        target = wire.target(path, query | wire.selected(labels))
        return Events(self._stream(target, silence=WATCH_SILENCE, lines=True))

    def text(self, path: str, **query: str) -> bytes:
        """An answer that is not JSON, such as the log of a pod. b"" when it does not exist."""
        status, headers, data = self._call("GET", wire.target(path, query))
        if status in (200, 204):
            return data
        refusal = Refusal.read(status, headers, data)
        if refusal.status == 404 and refusal.reason == "NotFound":
            return b""
        raise refusal.error()

    def stream(self, path: str, **query: str) -> Stream:
        """What is written there from now on. It connects at its first read."""
        return Stream(self.with_credentials, wire.target(path, query), silence=FOLLOW_SILENCE)

    def with_credentials(self, call: Callable[[Access], T]) -> T:
        """Make a call, and repeat it with new credentials when the API server refuses the current ones.

        call: raises Unauthenticated when it was refused and did nothing.
        """
        return self._with_connections(lambda connections: call(connections.access))

    def access(self) -> Access:
        return self._connections().access

    def reconnect(self) -> None:
        """Use only new connections from now on: the address may lead to another server meanwhile."""
        with self._lock:
            self._opened = None

    # -- private --------------------------------------------------------------------------------------------------

    def _get(self, path: str, *, bare: bool = False) -> Body:
        status, headers, data = self._call("GET", path, accept=METADATA_ONLY if bare else JSON)
        if status == 200:
            return wire.parsed(data)
        raise Refusal.read(status, headers, data).error()

    def _pages(self, path: str, query: Mapping[str, str]) -> Listing:
        items, resource_version, following = wire.listing(
            self._get(wire.target(path, {**query, "limit": str(PAGE)}))
        )
        while following:
            page = {**query, "limit": str(PAGE), "continue": following}
            more, resource_version, following = wire.listing(self._get(wire.target(path, page)))
            items += more
        return Listing(items, resource_version)

    def _paged(self, path: str, labels: Mapping[str, str], *, bare: bool) -> Iterator[Sequence[Body]]:
        query, following = {**wire.selected(labels), "limit": str(PAGE)}, ""
        while True:
            page = {**query, "continue": following} if following else query
            items, _, following = wire.listing(self._get(wire.target(path, page), bare=bare))
            yield items
            if not following:
                return

    def _stream(self, path: str, *, silence: float, lines: bool) -> Stream:
        return Stream(self.with_credentials, path, silence=silence, lines=lines).open()

    def _with_connections(self, call: Callable[[_Connections], T]) -> T:
        connections = self._connections()
        try:
            return call(connections)
        except Unauthenticated:
            self._credentials.refused(connections.held)
        return call(self._connections())

    def _write(
        self, method: str, path: str, body: Body, kind: str = JSON, *, key: Hashable = None
    ) -> Written:
        """Raises AdmissionSlow when the caller's time is over and the write continues."""
        data = orjson.dumps(body)
        key = key or (method, path, data)
        seconds = (parallel.deadline(READ_SECONDS) - time.monotonic()) * (1 - PROBE_PART)
        try:
            return self._writes.make(
                key,
                lambda: self._call(method, path, data, kind=kind, seconds=WRITE_SECONDS),
                seconds,
                keep=method == "POST",
            )
        except TimeoutError:
            slow = AdmissionSlow(f"{VERBS[method]} {wire.resource(path)[1]}", wire.resource(path), seconds)
        try:
            # Find out whether the API server answers other calls.
            self._call("GET", VERSION)
        except Temporary:
            self._writes.forget(key)
            raise
        raise slow

    def _call(
        self,
        method: str,
        path: str,
        data: bytes | None = None,
        *,
        kind: str = JSON,
        accept: str = JSON,
        seconds: float | None = None,
    ) -> Answer:
        most = READ_SECONDS if seconds is None else seconds
        headers = {"Accept": accept} | ({} if data is None else {"Content-Type": kind})
        return self._with_connections(
            lambda connections: self._send(connections, method, path, data, headers, most)
        )

    def _send(
        self,
        connections: _Connections,
        method: str,
        path: str,
        data: bytes | None,
        headers: Mapping[str, str],
        seconds: float,
    ) -> Answer:
        """Returns any answer but 401 and anonymous 403, for which it raises Unauthenticated."""
        until = parallel.deadline(seconds)
        whole = connections.access.headers()
        whole.update(headers)
        try:
            response = connections.pool.urlopen(
                method,
                connections.access.prefix + path,
                body=data,
                headers=whole,
                retries=False,
                redirect=False,
                timeout=urllib3.Timeout(connect=min(CONNECT_SECONDS, _left(until)), read=_left(until)),
                preload_content=False,
            )
            answer = response.status, response.headers, _read(response, until)
        except (urllib3.exceptions.HTTPError, OSError, http.client.HTTPException) as error:
            if isinstance(error, urllib3.exceptions.SSLError | ssl.SSLError):
                # The server or the client may have a new certificate.
                self._credentials.refused(connections.held)
            raise unreachable(error) from error
        if answer[0] in (401, 403) and (refusal := Refusal.read(*answer)).is_unauthenticated():
            raise refusal.error()
        return answer

    def _connections(self) -> _Connections:
        held = self._credentials.access()
        with self._lock:
            if self._opened is None or self._opened.held is not held:
                access = replace(held, agent=self._agent)
                self._opened = _Connections(held, access, pool(access, partial(self._check, held)))
            return self._opened

    def _check(self, held: Access, connection: Any) -> None:
        """Verify a new connection before its first call."""
        if self._verify_identity is None:
            return
        asking = credentials.of(self._verify_identity.reach).access()
        if asking is not held and (asking.certified or held.certified):
            # A client certificate fixes the account of this connection, so the other account needs its own one.
            self._verify_identity(Client(self._verify_identity.reach, purpose=IDENTITY).get)
        else:
            self._verify_identity(partial(_ask, connection, replace(asking, agent=_agent(IDENTITY))))


class Events(Iterator[tuple[str, Body]]):
    """The events of a watch, as they come."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def __next__(self) -> tuple[str, Body]:
        event = wire.parsed(next(self._stream))
        kind, item = event.get("type"), event.get("object")
        if not isinstance(kind, str) or not isinstance(item, dict):
            raise unreachable("something that is no event came from a watch")
        if kind == "ERROR":
            raise Refusal(int(item.get("code") or 500), {}, item).error()
        return kind, item

    def close(self) -> None:
        self._stream.close()


# -- one call -----------------------------------------------------------------------------------------------------


def _agent(purpose: str) -> str:
    return f"slipway-{purpose}/{_version()}"


@cache
def _version() -> str:
    try:
        return version("slipway")
    except PackageNotFoundError:
        return "dev"


def _object(path: str, answer: Answer) -> Body | None:
    """None: the API says that the object does not exist."""
    if answer[0] == 200:
        return wire.parsed(answer[2])
    refusal = Refusal.read(*answer)
    if refusal.is_missing(wire.last_part(path)):
        return None
    raise refusal.error()


def _ask(connection: Any, access: Access, path: str) -> Body | None:
    """GET of an object over this connection."""
    until = parallel.deadline(READ_SECONDS)
    connection.request("GET", access.prefix + path, headers=access.headers(), preload_content=False)
    response = connection.getresponse()
    return _object(path, (response.status, response.headers, _read(response, until)))


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise unreachable("there was no time left for the call")
    return left


def _read(response: urllib3.BaseHTTPResponse, until: float) -> bytes:
    """The body of an answer. Raises SiteUnknown when it is too long or too slow."""
    body = bytearray()
    try:
        # read1 returns each piece as it comes. A read of a fixed size could wait for ever.
        while len(body) <= MOST_BYTES and time.monotonic() <= until:
            piece = response.read1(_PIECE)
            if not piece:
                return bytes(body)
            body += piece
    except BaseException:
        response.close()
        raise
    response.close()
    raise unreachable("an answer was too long or too slow")
