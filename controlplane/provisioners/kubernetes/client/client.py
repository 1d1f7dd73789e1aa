"""The one door to an API server: plain JSON over pooled connections, every call bounded, every failure translated.

Thread-safe; one client per account of a site. Objects are plain dicts, as the API gives them.
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
# Of the time of a write, kept to see whether the API server answers at all.
PROBE_PART = 0.15
VERSION = "/version"
VERBS = {"POST": "create", "PATCH": "patch", "DELETE": "delete"}
PAGE = 500
# A listing whose next page is forgotten begins anew, not for ever.
LISTINGS = 3
MOST_BYTES = 128 * 1024 * 1024
_PIECE = 256 * 1024
# Even when nothing happens, a bookmark comes every 60 to 61 seconds.
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


class Vouch(Protocol):
    """Makes sure of where a connection leads, before it carries its first call."""

    @property
    def reach(self) -> Reach:
        """The account that may ask."""

    def __call__(self, ask: Ask) -> None:
        """ask: GET of an object, None when it is not there. What this raises, the call raises."""


@dataclass(frozen=True, slots=True, eq=False)
class _Door:
    """held: the credentials' own; access: the same, with our user agent."""

    held: Access
    access: Access
    pool: urllib3.HTTPConnectionPool


class Client:
    """Raises Temporary, Permanent and their kin in `errors`; nothing else for whatever the API server does."""

    def __init__(self, reach: Reach, *, purpose: str, vouch: Vouch | None = None) -> None:
        """purpose: goes into the user agent, so that an audit log tells our processes apart."""
        self._credentials, self._agent = credentials.of(reach), _agent(purpose)
        self._vouch, self._writes = vouch, Writes()
        self._lock = threading.Lock()
        self._opened: _Door | None = None

    def get(self, path: str) -> Body | None:
        """None: the API says that it is not there."""
        return _object(path, self._call("GET", path))

    def create(self, path: str, body: Body) -> Body:
        """Raises AlreadyExists. An answer that is lost on its way is Temporary: the object may be there."""
        name, given = wire.about(body)
        # One without a name is a question, and is asked each time.
        key = ("POST", path, name, given) if name else object()
        written = self._write("POST", path, body, key=key)
        status, headers, data = written.answer
        if status not in (200, 201, 202):
            raise Refusal.read(status, headers, data).error()
        if not written.by_us:
            raise AlreadyExists(f"{name} was made by an earlier try")
        return wire.parsed(data)

    def patch(self, path: str, body: Body) -> Body | None:
        """A JSON merge patch. None: it is not there."""
        return _object(path, self._write("PATCH", path, body, MERGE_PATCH).answer)

    def delete(self, path: str, *, uid: str = "", grace: int | None = None) -> bool:
        """What it owns goes after it. False: it is not there, or another one has its name by now."""
        body = wire.deletion(grace) | ({"preconditions": {"uid": uid}} if uid else {})
        status, headers, data = self._write("DELETE", path, body).answer
        if status in (200, 202):
            return True
        refusal = Refusal.read(status, headers, data)
        if refusal.is_missing(wire.named(path)) or (uid and refusal.is_other_uid()):
            return False
        raise refusal.error()

    def delete_collection(self, path: str, *, labels: Mapping[str, str], grace: int | None = None) -> None:
        """Everything that has all these labels, at once."""
        if not labels:
            raise ValueError("a collection is never deleted whole")
        target = wire.target(path, wire.selected(labels))
        status, headers, data = self._write("DELETE", target, wire.deletion(grace)).answer
        if status not in (200, 202):
            raise Refusal.read(status, headers, data).error()

    def list(self, path: str, *, labels: Mapping[str, str] | None = None) -> Listing:
        """All pages, as they are now and not as some cache has them."""
        for _ in range(LISTINGS):
            try:
                return self._pages(path, wire.selected(labels or {}))
            except Expired as error:
                expired = error
        raise expired

    def gather(
        self, path: str, *, labels: Mapping[str, str], keep: Callable[[Body], T | None], bare: bool = False
    ) -> Sequence[T]:
        """What `keep` makes of every object, as `list` has them; no page is held longer than it is read.

        keep: None leaves the object out. bare: the objects' metadata alone is asked for.
        """
        for _ in range(LISTINGS):
            try:
                pages = self._paged(path, labels, bare=bare)
                return [kept for page in pages for kept in map(keep, page) if kept is not None]
            except Expired as error:
                expired = error
        raise expired

    def version(self, path: str) -> str:
        """Of the collection, now: what a watch goes on from that wants no more than news."""
        return wire.listing(self._get(wire.target(path, {"limit": "1"})))[1]

    def watch(self, path: str, *, labels: Mapping[str, str], resource_version: str, seconds: int) -> "Events":
        """(type, object), bookmarks too, for so many seconds; listening when this returns.

        Raises Expired, also on the way; Silence when not even a bookmark came.
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
        """What is no JSON, the log of a pod above all; b"" where nothing is there."""
        status, headers, data = self._call("GET", wire.target(path, query))
        if status in (200, 204):
            return data
        refusal = Refusal.read(status, headers, data)
        if refusal.status == 404 and refusal.reason == "NotFound":
            return b""
        raise refusal.error()

    def stream(self, path: str, **query: str) -> Stream:
        """What is written there from now on. Connects when it is first read; has a `close`."""
        return Stream(self.known, wire.target(path, query), silence=FOLLOW_SILENCE)

    def known(self, call: Callable[[Access], T]) -> T:
        """Make a call; once more with renewed credentials when the API server does not know ours.

        call: raises Unauthenticated, and has done nothing then.
        """
        return self._at_the_door(lambda door: call(door.access))

    def access(self) -> Access:
        return self._door().access

    def reconnect(self) -> None:
        """Use no connection again that is open now: an address may lead elsewhere meanwhile."""
        with self._lock:
            self._opened = None

    # -- inside ---------------------------------------------------------------------------------------------------

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
        return Stream(self.known, path, silence=silence, lines=lines).open()

    def _at_the_door(self, call: Callable[[_Door], T]) -> T:
        door = self._door()
        try:
            return call(door)
        except Unauthenticated:
            self._credentials.refused(door.held)
        return call(self._door())

    def _write(
        self, method: str, path: str, body: Body, kind: str = JSON, *, key: Hashable = None
    ) -> Written:
        """Raises AdmissionSlow when the caller's time is over and the write goes on."""
        data = orjson.dumps(body)
        key = key or (method, path, data)
        seconds = (parallel.until(READ_SECONDS) - time.monotonic()) * (1 - PROBE_PART)
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
            # Whether it is only this write that takes long.
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
        return self._at_the_door(lambda door: self._send(door, method, path, data, headers, most))

    def _send(
        self,
        door: _Door,
        method: str,
        path: str,
        data: bytes | None,
        headers: Mapping[str, str],
        seconds: float,
    ) -> Answer:
        """Raises Unauthenticated, which no answer of ours is."""
        until = parallel.until(seconds)
        whole = door.access.headers()
        whole.update(headers)
        try:
            response = door.pool.urlopen(
                method,
                door.access.prefix + path,
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
                # A certificate may have been renewed on either side.
                self._credentials.refused(door.held)
            raise unreachable(error) from error
        if answer[0] in (401, 403) and (refusal := Refusal.read(*answer)).is_unauthenticated():
            raise refusal.error()
        return answer

    def _door(self) -> _Door:
        held = self._credentials.access()
        with self._lock:
            if self._opened is None or self._opened.held is not held:
                access = replace(held, agent=self._agent)
                self._opened = _Door(held, access, pool(access, partial(self._check, held)))
            return self._opened

    def _check(self, held: Access, connection: Any) -> None:
        """Before its first call, a new connection is asked where it leads."""
        if self._vouch is None:
            return
        asking = credentials.of(self._vouch.reach).access()
        if asking is not held and (asking.certified or held.certified):
            # TLS says who this connection is, and who may ask needs one of its own.
            self._vouch(Client(self._vouch.reach, purpose=IDENTITY).get)
        else:
            self._vouch(partial(_ask, connection, replace(asking, agent=_agent(IDENTITY))))


class Events(Iterator[tuple[str, Body]]):
    """What a watch tells, as it comes."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def __next__(self) -> tuple[str, Body]:
        told = wire.parsed(next(self._stream))
        kind, item = told.get("type"), told.get("object")
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
    """None: the API says that it is not there."""
    if answer[0] == 200:
        return wire.parsed(answer[2])
    refusal = Refusal.read(*answer)
    if refusal.is_missing(wire.named(path)):
        return None
    raise refusal.error()


def _ask(connection: Any, access: Access, path: str) -> Body | None:
    """GET of an object by this very connection."""
    until = parallel.until(READ_SECONDS)
    connection.request("GET", access.prefix + path, headers=access.headers(), preload_content=False)
    response = connection.getresponse()
    return _object(path, (response.status, response.headers, _read(response, until)))


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise unreachable("there was no time left to ask")
    return left


def _read(response: urllib3.BaseHTTPResponse, until: float) -> bytes:
    """All of it, within the time and the size that one answer may have."""
    body = bytearray()
    try:
        # Piece by piece as they come: a read that waits for more could be kept waiting for ever.
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
