"""The one door to an API server: plain JSON over pooled connections, every call bounded, every failure translated.

Thread-safe; one client per account of a site. Objects are plain dicts, as the API gives them.
"""

import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import orjson
import urllib3
import yaml
from kubernetes import config
from kubernetes.client import Configuration

from controlplane.provisioners.base import Temporary
from controlplane.provisioners.kubernetes import together, wire
from controlplane.provisioners.kubernetes.access import CONNECT_SECONDS, Access, tls_context
from controlplane.provisioners.kubernetes.errors import (
    AlreadyExists,
    Body,
    Expired,
    Refusal,
    cut,
    unreachable,
    unusable,
)
from controlplane.provisioners.kubernetes.pool import Opened, pool
from controlplane.provisioners.kubernetes.settings import Reach
from controlplane.provisioners.kubernetes.streams import Stream

READ_SECONDS = 4.0
PAGE = 500
# A listing whose next page is forgotten begins anew, not for ever.
LISTINGS = 3
MOST_BYTES = 128 * 1024 * 1024
_PIECE = 256 * 1024
# Even when nothing happens, a bookmark comes every 60 to 61 seconds.
WATCH_SILENCE = 90.0
FOLLOW_SILENCE = 3600.0
METADATA_ONLY: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
MERGE_PATCH: Final = "application/merge-patch+json"


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Listing:
    items: list[Body]
    resource_version: str


@dataclass(frozen=True, slots=True)
class _Door:
    access: Access
    pool: urllib3.HTTPConnectionPool
    opened: Opened


class Client:
    """Raises Temporary, Permanent and their kin in `errors`; nothing else for whatever the API server does."""

    def __init__(self, reach: Reach, *, purpose: str, vouch: Callable[[], None] | None = None) -> None:
        """purpose: goes into the user agent, so that an audit log tells our processes apart.

        vouch: makes sure of where the account leads, before the first call and whenever connections were opened since;
        what it raises is what the call raises.
        """
        self._reach, self._agent = reach, f"slipway-{purpose}/{_version()}"
        self._vouch = vouch
        self._lock, self._vouching = threading.Lock(), threading.Lock()
        self._opened: _Door | None = None
        # The door, and how many of its connections were opened when it was last made sure of.
        self._vouched: tuple[_Door | None, int] = (None, 0)

    def get(self, path: str) -> Body | None:
        """None: the API says that it is not there."""
        return self._object("GET", path)

    def create(self, path: str, body: Body) -> Body:
        """Raises AlreadyExists. An answer that is lost on its way is Temporary: the object may be there."""
        status, headers, data = self._call("POST", path, body=body)
        if status in (200, 201, 202):
            return wire.parsed(data)
        raise Refusal.read(status, headers, data).error()

    def patch(self, path: str, body: Body) -> Body | None:
        """A JSON merge patch. None: it is not there."""
        return self._object("PATCH", path, body, MERGE_PATCH)

    def delete(self, path: str, *, uid: str = "", grace: int | None = None) -> bool:
        """What it owns goes after it. False: it is not there, or another one has its name by now."""
        body = wire.deletion(grace) | ({"preconditions": {"uid": uid}} if uid else {})
        status, headers, data = self._call("DELETE", path, body=body)
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
        status, headers, data = self._call(
            "DELETE", wire.target(path, wire.selected(labels)), body=wire.deletion(grace)
        )
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
        return Stream(self.access(), wire.target(path, query), silence=FOLLOW_SILENCE)

    def access(self) -> Access:
        return self._door().access

    def renew(self, access: Access) -> None:
        """The API server refused this account: read anew from the files how it gets through."""
        with self._lock:
            if self._opened and self._opened.access is access:
                self._opened = None

    # -- inside ---------------------------------------------------------------------------------------------------

    def _object(
        self, method: str, path: str, body: Body | None = None, kind: str = "application/json"
    ) -> Body | None:
        status, headers, data = self._call(method, path, body=body, kind=kind)
        if status == 200:
            return wire.parsed(data)
        refusal = Refusal.read(status, headers, data)
        if refusal.is_missing(wire.named(path)):
            return None
        raise refusal.error()

    def _get(self, path: str, *, bare: bool = False) -> Body:
        status, headers, data = self._call("GET", path, accept=METADATA_ONLY if bare else "")
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
        """Begun. Like every call, once more with what the files say now when the account was refused."""
        access = self.access()
        try:
            return Stream(access, path, silence=silence, lines=lines).open()
        except Temporary as error:
            if error.reason != "SITE_REFUSES_US":
                raise
        self.renew(access)
        return Stream(self.access(), path, silence=silence, lines=lines).open()

    def _call(
        self,
        method: str,
        path: str,
        *,
        body: Body | None = None,
        kind: str = "application/json",
        accept: str = "",
    ) -> "tuple[int, Mapping[str, str], bytes]":
        data = orjson.dumps(body) if body is not None else None
        door = self._door()
        answer = self._send(door, method, path, data, kind, accept)
        if answer[0] == 401:
            # Tokens and certificates expire and are renewed on disk; a refused call has done nothing.
            self.renew(door.access)
            answer = self._send(self._door(), method, path, data, kind, accept)
        return answer

    def _send(
        self, door: _Door, method: str, path: str, data: bytes | None, kind: str, accept: str
    ) -> "tuple[int, Mapping[str, str], bytes]":
        until = together.until(READ_SECONDS)
        try:
            headers = door.access.headers()
        except (OSError, config.ConfigException) as error:
            raise unusable(error) from error
        if data is not None:
            headers["Content-Type"] = kind
        if accept:
            headers["Accept"] = accept
        try:
            response = door.pool.urlopen(
                method,
                door.access.prefix + path,
                body=data,
                headers=headers,
                retries=False,
                redirect=False,
                timeout=urllib3.Timeout(connect=min(CONNECT_SECONDS, _left(until)), read=_left(until)),
                preload_content=False,
            )
            answer = response.status, response.headers, _read(response, until)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            if isinstance(error, urllib3.exceptions.SSLError | ssl.SSLError):
                self.renew(door.access)
            raise unreachable(error) from error
        self._make_sure(door, door.opened.count)
        return answer

    def _door(self) -> _Door:
        with self._lock:
            if self._opened is None:
                self._opened = _open(self._reach, self._agent)
            door = self._opened
        # The first connection is opened at once then.
        self._make_sure(door, 1)
        return door

    def _make_sure(self, door: _Door, connections: int) -> None:
        """connections: so many of its ones are to be vouched for. An address may lead elsewhere for the next."""
        if self._vouch is None or self._is_vouched(door, connections):
            return
        with self._vouching:
            if self._is_vouched(door, connections):
                return
            opened = max(connections, door.opened.count)
            try:
                self._vouch()
            except BaseException:
                # What it was opened by may be mended meanwhile.
                self.renew(door.access)
                raise
            self._vouched = (door, opened)

    def _is_vouched(self, door: _Door, connections: int) -> bool:
        known, opened = self._vouched
        return known is door and connections <= opened


def create_missing(client: Client, path: str, body: Body) -> bool:
    """Create it unless it is there; whether this call did."""
    try:
        client.create(path, body)
    except AlreadyExists:
        return False
    return True


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


# -- getting through ----------------------------------------------------------------------------------------------


def _open(reach: Reach, agent: str) -> _Door:
    """Raises Temporary SITE_SETTINGS: files may be mounted, renewed or mended while we run."""
    try:
        told = _configuration(reach)
        url = urlsplit(told.host)
        secure = url.scheme == "https"
        verify = bool(told.verify_ssl)
        tls = (
            tls_context(str(told.ssl_ca_cert or ""), told.cert_file or "", told.key_file or "", verify=verify)
            if secure
            else None
        )
        host, port = url.hostname or "", url.port or (443 if secure else 80)
    except (config.ConfigException, OSError, ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        raise unusable(error) from error
    if url.scheme not in ("http", "https") or not host:
        raise unusable(f"{cut(str(told.host), 100)} is no address of an API server")
    name = told.tls_server_name or host
    access = Access(host, port, url.path.rstrip("/"), tls, name, agent, _token_of(told))
    opened = Opened()
    return _Door(access, pool(access, opened), opened)


def _configuration(reach: Reach) -> Any:
    told: Any = Configuration()
    load: Any = config
    if reach.in_cluster:
        load.load_incluster_config(client_configuration=told)
    elif reach.kubeconfig:
        load.load_kube_config(
            reach.kubeconfig, context=reach.context or None, client_configuration=told, persist_config=False
        )
    else:
        told.host = reach.server.rstrip("/")
        told.ssl_ca_cert = reach.ca_file or None
        told.refresh_api_key_hook = lambda told: _take_token(told, reach.token_file)
        _take_token(told, reach.token_file)
    return told


def _take_token(told: Any, file: str) -> None:
    token = Path(file).read_text().strip()
    if not token:
        raise OSError(f"{file} is empty")
    told.api_key["BearerToken"] = f"Bearer {token}"


def _token_of(told: Any) -> Callable[[], str]:
    lock = threading.Lock()

    def token() -> str:
        with lock:
            # A token read from a file ends with its line.
            return (told.get_api_key_with_prefix("BearerToken") or "").strip()

    return token


@cache
def _version() -> str:
    try:
        return version("slipway")
    except PackageNotFoundError:
        return "dev"


# -- one call -----------------------------------------------------------------------------------------------------


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
