"""The floor of a Kubernetes site: a bare asyncio script that posts Slipway's manifests and watches the pods.

It posts the cluster's root, then the run's root, then all objects that pods refer to, then all pods. It has no
database, no quota and no API.
"""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import orjson
from wire import Server

CLUSTER, INSTALLATION = "slipway/cluster", "slipway/installation"
# An installation id of its own, so that Slipway does not delete these objects as orphans.
STRANGER = "f" * 16
READY_SECONDS = 60


@dataclass(frozen=True)
class Post:
    path: str
    body: str

    def bytes_for(self, cluster: uuid.UUID, uids: Mapping[str, str]) -> bytes:
        body = self.body.replace("{cluster}", str(cluster)).replace("{hex}", cluster.hex)
        for name, uid in uids.items():
            body = body.replace(name, uid)
        return body.encode()


@dataclass(frozen=True)
class Pattern:
    """The posts of one cluster, with placeholders for its id and the uids of its roots."""

    namespace: str
    roots: tuple[Post, Post]
    needs: tuple[Post, ...]
    pods: tuple[Post, ...]

    @classmethod
    def read(cls, posted: Mapping[str, Any], cluster: uuid.UUID) -> "Pattern":
        text = json.dumps(posted["posts"]).replace(posted["installation"], STRANGER)
        text = text.replace(str(cluster), "{cluster}").replace(cluster.hex, "{hex}")
        _, (_, run), (_, first), *_ = json.loads(text)
        text = text.replace(_owner(run), "{root}").replace(_owner(first), "{run}")
        posts = [
            (body["kind"], Post(path, json.dumps(body, separators=(",", ":"))))
            for path, body in json.loads(text)
        ]
        return cls(
            namespace=posts[0][1].path.split("/")[4],
            roots=(posts[0][1], posts[1][1]),
            needs=tuple(post for kind, post in posts[2:] if kind != "Pod"),
            pods=tuple(post for kind, post in posts if kind == "Pod"),
        )


def _owner(body: Mapping[str, Any]) -> str:
    uid: str = body["metadata"]["ownerReferences"][0]["uid"]
    return uid


class PodTimes:
    """When the watch showed that all pods of one cluster existed, and that all were ready."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._existing: set[str] = set()
        self._ready: set[str] = set()
        self.ready = asyncio.Event()
        self.accepted_at = self.ready_at = 0.0

    def take(self, pod: Mapping[str, Any]) -> None:
        name, now = pod["metadata"]["name"], time.perf_counter()
        self._existing.add(name)
        conditions = pod["status"].get("conditions") or []
        if any(item["type"] == "Ready" and item["status"] == "True" for item in conditions):
            self._ready.add(name)
        if len(self._existing) == self._count and not self.accepted_at:
            self.accepted_at = now
        if len(self._ready) == self._count and not self.ready_at:
            self.ready_at = now
            self.ready.set()


class Pods:
    """The pods of one namespace and installation as they change, sorted by cluster."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._clusters: dict[str, PodTimes] = {}

    async def ready(self, cluster: str) -> PodTimes:
        """Wait until all pods of the cluster are ready. Raises TimeoutError."""
        times = self._of(cluster)
        await asyncio.wait_for(times.ready.wait(), READY_SECONDS)
        return times

    def _of(self, cluster: str) -> PodTimes:
        return self._clusters.setdefault(cluster, PodTimes(self._count))

    async def follow(self, server: Server, path: str, version: str) -> None:
        """Watch for ever. The API server ends a watch that is too slow; the next one continues from its version."""
        while True:
            async with server.lines(f"{path}&watch=1&resourceVersion={version}") as lines:
                async for line in lines:
                    version = self._take(orjson.loads(line))

    def _take(self, event: Mapping[str, Any]) -> str:
        """Returns the new resource version of the pod."""
        if event["type"] == "ERROR":
            raise RuntimeError(f"{event}")
        about = event["object"]["metadata"]
        self._of(about["labels"][CLUSTER]).take(event["object"])
        version: str = about["resourceVersion"]
        return version


@asynccontextmanager
async def watching(server: Server, namespace: str, installation: str, count: int) -> AsyncIterator[Pods]:
    """Watch the pods of an installation. count: pods of each cluster."""
    path = f"/api/v1/namespaces/{namespace}/pods?labelSelector={quote(f'{INSTALLATION}={installation}')}"
    version = (await server.call("GET", f"{path}&limit=1"))["metadata"]["resourceVersion"]
    pods = Pods(count)
    following = asyncio.create_task(pods.follow(server, path, version))
    try:
        yield pods
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following


@dataclass(frozen=True)
class Creation:
    """Seconds from the first request until the watch showed all pods, and until the cluster was ready.

    parts: the seconds of each part, where known.
    """

    accepted: float
    ready: float
    parts: Mapping[str, float] = field(default_factory=dict)


@dataclass
class Floor:
    server: Server
    pattern: Pattern
    pods: Pods

    async def create(self) -> Creation:
        """The cluster is ready when the watch shows all pods ready."""
        cluster, pattern, began = uuid.uuid4(), self.pattern, time.perf_counter()
        root = await self._post(pattern.roots[0], cluster, {})
        run = await self._post(pattern.roots[1], cluster, {"{root}": root})
        uids = {"{root}": root, "{run}": run}
        for wave in (pattern.needs, pattern.pods):
            await asyncio.gather(*(self._post(post, cluster, uids) for post in wave))
        times = await self.pods.ready(str(cluster))
        return Creation(times.accepted_at - began, times.ready_at - began)

    async def _post(self, post: Post, cluster: uuid.UUID, uids: Mapping[str, str]) -> str:
        answer = await self.server.send("POST", post.path, post.bytes_for(cluster, uids))
        uid: str = orjson.loads(answer)["metadata"]["uid"]
        return uid
