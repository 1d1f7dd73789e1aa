"""An API server in memory, with the behaviour that the provisioner relies on. Tests can make any of its calls fail.

test_memory.py runs the same tests against it and against a real API server.
"""

import copy
import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from controlplane.provisioners.base import NotYet, Permanent
from controlplane.provisioners.kubernetes.client.client import Client, Listing
from controlplane.provisioners.kubernetes.client.errors import AlreadyExists
from controlplane.provisioners.kubernetes.client.exec import ExecResult
from controlplane.provisioners.kubernetes.objects.body import is_leaving

T = TypeVar("T")
Body = dict[str, Any]
Call = tuple[str, str]

READS = {"get", "list"}
NOW = "2026-01-01T00:00:00Z"


class Died(BaseException):
    """Stands for the death of the worker. A BaseException, so that `except Exception` does not catch it."""


class MemoryApi:
    """objects: path -> object. calls: (verb, path) of every call, in order. made, gone: paths created and deleted.
    ran: (pod, *command) of every command.

    before, after: hooks around each call, which receive it and may raise.
    """

    def __init__(self) -> None:
        self.objects: dict[str, Body] = {}
        self.calls: list[Call] = []
        self.made: list[str] = []
        self.gone: list[str] = []
        self.ran: list[tuple[str, ...]] = []
        self.before: Callable[[Call], None] = lambda call: None
        self.after: Callable[[Call], None] = lambda call: None
        self.versions = itertools.count(1)
        self.lock = threading.RLock()

    def collect(self) -> None:
        """Deletes objects whose owner is gone and released volumes, as the controllers of a real cluster do later."""
        with self.lock:
            for path in [path for path, body in self.objects.items() if is_leaving(body)]:
                if "/persistentvolumeclaims/" in path and not self.is_used(path):
                    del self.objects[path]
            while orphans := [path for path, body in self.objects.items() if self._is_orphan(body)]:
                for path in orphans:
                    del self.objects[path]

    def is_used(self, volume: str) -> bool:
        """Returns whether a pod mounts the volume; then the volume is deleted after that pod."""
        place, _, name = volume.partition("/persistentvolumeclaims/")
        pods = [body for path, body in self.objects.items() if path.startswith(f"{place}/pods/")]
        return any(
            (item.get("persistentVolumeClaim") or {}).get("claimName") == name
            for pod in pods
            for item in (pod.get("spec") or {}).get("volumes") or []
        )

    def _is_orphan(self, body: Body) -> bool:
        owners = body["metadata"].get("ownerReferences") or []
        uids = {other["metadata"]["uid"] for other in self.objects.values()}
        return bool(owners) and not any(owner["uid"] in uids for owner in owners)

    def of_kind(self, kind: str) -> list[Body]:
        return [body for path, body in self.objects.items() if path.split("/")[-2] == kind]

    def drop(self, path: str) -> None:
        """Deletes an object and all below its path without recording it, as a person would with kubectl."""
        with self.lock:
            self.objects = {at: body for at, body in self.objects.items() if not _is_at_or_below(at, path)}

    def __deepcopy__(self, memo: dict[int, Any]) -> "MemoryApi":
        """Copies the objects, and neither calls nor hooks."""
        copied = MemoryApi()
        copied.objects = copy.deepcopy(self.objects)
        copied.versions = itertools.count(next(self.versions) + 1)
        return copied


class MemoryClient(Client):
    """Implements the methods of `Client` that provisioning calls."""

    def __init__(self, api: MemoryApi) -> None:
        self.api = api

    def get(self, path: str) -> Body | None:
        with _Call(self.api, "get", path):
            return copy.deepcopy(self.api.objects.get(path))

    def create(self, path: str, body: Body) -> Body:
        with _Call(self.api, "create", path, name=body["metadata"]["name"]) as at:
            self._check_namespace(path)
            if at in self.api.objects:
                raise AlreadyExists(f"{at} already exists")
            made = copy.deepcopy(body)
            number = str(next(self.api.versions))
            generated = {"uid": f"uid-{number}", "resourceVersion": number, "creationTimestamp": NOW}
            made["metadata"] |= {**generated, **_place(path)}
            if body["kind"] == "Pod":
                made["status"] = _running(at)
            self.api.objects[at] = made
            self.api.made.append(at)
            return copy.deepcopy(made)

    def _check_namespace(self, path: str) -> None:
        place = _place(path).get("namespace")
        if place and f"/api/v1/namespaces/{place}" not in self.api.objects:
            raise NotYet("NAMESPACE_GOING", f"there is no namespace {place}")

    def patch(self, path: str, body: Body) -> Body | None:
        with _Call(self.api, "patch", path):
            found = self.api.objects.get(path)
            if found is None:
                return None
            about = {**found["metadata"], **(body.get("metadata") or {})}
            if about["resourceVersion"] != found["metadata"]["resourceVersion"]:
                raise NotYet("SITE_CONFLICT", f"{path} was changed meanwhile")
            if about["uid"] != found["metadata"]["uid"]:
                raise Permanent("SITE_REJECTS", "field is immutable")
            merged = _merged(found, body)
            if merged != found:
                merged["metadata"]["resourceVersion"] = str(next(self.api.versions))
            self.api.objects[path] = merged
            return copy.deepcopy(merged)

    def delete(self, path: str, *, uid: str = "", grace: int | None = None) -> bool:
        with _Call(self.api, "delete", path):
            found = self.api.objects.get(path)
            if found is None or (uid and found["metadata"]["uid"] != uid):
                return False
            self.api.gone.append(path)
            if "/persistentvolumeclaims/" in path and self.api.is_used(path):
                found["metadata"]["deletionTimestamp"] = NOW
            else:
                self.api.drop(path)
            return True

    def delete_collection(self, path: str, *, labels: Mapping[str, str], grace: int | None = None) -> None:
        with _Call(self.api, "deletecollection", path):
            for at, _ in self._select(path, labels):
                del self.api.objects[at]
                self.api.gone.append(at)

    def list(self, path: str, *, labels: Mapping[str, str] | None = None) -> Listing:
        with _Call(self.api, "list", path):
            return Listing([copy.deepcopy(body) for _, body in self._select(path, labels or {})], "1")

    def gather(
        self, path: str, *, labels: Mapping[str, str], keep: Callable[[Body], T | None], bare: bool = False
    ) -> Sequence[T]:
        bodies = (_bare(body) if bare else body for body in self.list(path, labels=labels).items)
        return [kept for kept in map(keep, bodies) if kept is not None]

    def _select(self, path: str, labels: Mapping[str, str]) -> Sequence[tuple[str, Body]]:
        everywhere = "/namespaces/" not in path and not path.endswith("/namespaces")
        return [
            (at, body)
            for at, body in self.api.objects.items()
            if (at.split("/")[-2] == path.split("/")[-1] if everywhere else at.rpartition("/")[0] == path)
            and all(_has(body, key, value) for key, value in labels.items())
        ]


def _bare(body: Body) -> Body:
    return {"metadata": body["metadata"]}


class MemoryAccounts:
    """Gives every account all permissions. A command in a pod is recorded and succeeds."""

    def __init__(self, api: MemoryApi) -> None:
        self.api = api

    def client(self, account: str) -> Client:
        return MemoryClient(self.api)

    def run(self, namespace: str, pod: str, command: Sequence[str], *, seconds: float) -> ExecResult:
        with _Call(self.api, "exec", f"{namespace}/{pod}"):
            self.api.ran.append((pod, *command))
            return ExecResult(0, b"", b"")


class _Call:
    """Records a call, runs the hooks before and after it, and holds the lock in between."""

    def __init__(self, api: MemoryApi, verb: str, path: str, name: str = "") -> None:
        self.api, self.at = api, f"{path}/{name}" if name else path
        self.call = (verb, self.at)

    def __enter__(self) -> str:
        self.api.calls.append(self.call)
        self.api.before(self.call)
        self.api.lock.acquire()
        return self.at

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.api.lock.release()
        self.api.after(self.call)


def _has(body: Body, key: str, value: str) -> bool:
    labels = body["metadata"].get("labels") or {}
    return key in labels and (not value or labels[key] == value)


def _is_at_or_below(at: str, path: str) -> bool:
    return at == path or at.startswith(f"{path}/") or f"/namespaces/{path.rpartition('/')[2]}/" in at


def _place(path: str) -> dict[str, str]:
    parts = path.split("/")
    return {"namespace": parts[parts.index("namespaces") + 1]} if parts[-1] != "namespaces" else {}


def _merged(found: Body, patch: Body) -> Body:
    merged = dict(found)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            merged[key] = _merged(merged.get(key) or {}, value)
        else:
            merged[key] = value
    return merged


def _running(at: str) -> Body:
    since = {"status": "True", "lastTransitionTime": NOW}
    container = {
        "name": "node",
        "containerID": f"memory://{at}",
        "ready": True,
        "started": True,
        "state": {"running": {"startedAt": NOW}},
    }
    return {
        "phase": "Running",
        "conditions": [{"type": "PodScheduled", **since}, {"type": "Ready", **since}],
        "containerStatuses": [container],
    }
