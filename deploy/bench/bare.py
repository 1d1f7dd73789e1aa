"""The floor of a Kubernetes site: a bare asyncio script that posts what Slipway posts, and watches for readiness.

What a manifest refers to is posted before it, all else at once: the cluster's root, the run's root, what pods need,
the pods. It asks for nothing, remembers nothing and gives nothing back.
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
# What it makes must not be taken for Slipway's own.
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
    """The posts of one cluster with the places of its id and of its roots' uids left open."""

    namespace: str
    roots: tuple[Post, Post]
    needs: tuple[Post, ...]
    pods: tuple[Post, ...]

    @classmethod
    def read(cls, told: Mapping[str, Any], cluster: uuid.UUID) -> "Pattern":
        text = json.dumps(told["posts"]).replace(told["installation"], STRANGER)
        text = text.replace(str(cluster), "{cluster}").replace(cluster.hex, "{hex}")
        _, (_, run), (_, first), *_ = json.loads(text)
        text = text.replace(_owner(run), "{root}").replace(_owner(first), "{run}")
        posts = [(body["kind"], Post(path, _spelled(body))) for path, body in json.loads(text)]
        return cls(
            namespace=posts[0][1].path.split("/")[4],
            roots=(posts[0][1], posts[1][1]),
            needs=tuple(post for kind, post in posts[2:] if kind != "Pod"),
            pods=tuple(post for kind, post in posts if kind == "Pod"),
        )


def _owner(body: Mapping[str, Any]) -> str:
    uid: str = body["metadata"]["ownerReferences"][0]["uid"]
    return uid


def _spelled(body: Mapping[str, Any]) -> str:
    return json.dumps(body, separators=(",", ":"))


class Sight:
    """When the watch has seen all pods of one cluster there, and all of them ready."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._seen: set[str] = set()
        self._ready: set[str] = set()
        self.ready = asyncio.Event()
        self.accepted_at = self.ready_at = 0.0

    def take(self, pod: Mapping[str, Any]) -> None:
        name, now = pod["metadata"]["name"], time.perf_counter()
        self._seen.add(name)
        conditions = pod["status"].get("conditions") or []
        if any(item["type"] == "Ready" and item["status"] == "True" for item in conditions):
            self._ready.add(name)
        if len(self._seen) == self._count and not self.accepted_at:
            self.accepted_at = now
        if len(self._ready) == self._count and not self.ready_at:
            self.ready_at = now
            self.ready.set()


class Pods:
    """The pods of one namespace and installation as they change, sorted by cluster."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._sights: dict[str, Sight] = {}

    async def ready(self, cluster: str) -> Sight:
        """Once all of them are. Raises TimeoutError."""
        observation = self._of(cluster)
        await asyncio.wait_for(observation.ready.wait(), READY_SECONDS)
        return observation

    def _of(self, cluster: str) -> Sight:
        return self._sights.setdefault(cluster, Sight(self._count))

    async def follow(self, server: Server, path: str, version: str) -> None:
        """For ever: the API server ends the watch of whoever was too slow for it, and the next one goes on."""
        while True:
            async with server.lines(f"{path}&watch=1&resourceVersion={version}") as lines:
                async for line in lines:
                    version = self._take(orjson.loads(line))

    def _take(self, event: Mapping[str, Any]) -> str:
        """The version that the pod has now."""
        if event["type"] == "ERROR":
            raise RuntimeError(f"{event}")
        about = event["object"]["metadata"]
        self._of(about["labels"][CLUSTER]).take(event["object"])
        version: str = about["resourceVersion"]
        return version


@asynccontextmanager
async def watching(server: Server, namespace: str, installation: str, count: int) -> AsyncIterator[Pods]:
    """count: pods of a cluster."""
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
    """Seconds from the first request until all pods had been seen there, and until the cluster was ready.

    parts: where they went, as far as it is known.
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
        """Ready is what the watch has shown ready."""
        cluster, pattern, began = uuid.uuid4(), self.pattern, time.perf_counter()
        root = await self._post(pattern.roots[0], cluster, {})
        run = await self._post(pattern.roots[1], cluster, {"{root}": root})
        uids = {"{root}": root, "{run}": run}
        for wave in (pattern.needs, pattern.pods):
            await asyncio.gather(*(self._post(post, cluster, uids) for post in wave))
        observation = await self.pods.ready(str(cluster))
        return Creation(observation.accepted_at - began, observation.ready_at - began)

    async def _post(self, post: Post, cluster: uuid.UUID, uids: Mapping[str, str]) -> str:
        answer = await self.server.send("POST", post.path, post.bytes_for(cluster, uids))
        uid: str = orjson.loads(answer)["metadata"]["uid"]
        return uid
