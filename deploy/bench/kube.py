"""A devkube for a measurement, and the site `k8s` of an installation that creates its clusters there."""

import asyncio
import json
import subprocess
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from installation import HOST, TENANT, RunningInstallation
from service import await_true
from wire import Server

from controlplane.provisioners.kubernetes.client.client import Client
from controlplane.provisioners.kubernetes.settings import Reach
from controlplane.standalone.attach import environment_of_installation
from controlplane.standalone.installation.environment import ROOT, python
from deploy.devkube import kwok, lifecycle
from deploy.devkube.settings import Devkube

SITE = "k8s"
IN_FLIGHT = 64
OURS = "app.kubernetes.io/managed-by=slipway"
FAKE = ("--node-selector", "type=kwok", "--toleration", "type")
# Far more than the measurement uses: the quota is enforced, and refuses nothing.
LIMITS = {"cpu": "100000", "memory": "400Ti", "clusters": 100000}


@contextmanager
def devkube(*, fast: bool = False) -> Iterator[Devkube]:
    """Start the devkube of the environment, and leave it afterwards as it was: running, stopped or absent.

    All objects of installations in it are deleted. fast: its controllers may send 300 requests a second. Raises
    DevkubeError when it runs with the other rate.
    """
    kube = replace(Devkube.from_environment(), fast="yes" if fast else "")
    was_there, was_up = kube.state.exists(), lifecycle.is_up(kube)
    lifecycle.up(kube, print)
    try:
        yield kube
    finally:
        if was_there:
            _clear(kube)
        if not was_up:
            lifecycle.down(kube, wipe=not was_there)


def _clear(kube: Devkube) -> None:
    """Delete the objects of all installations, which have ended by now."""
    kwok_nodes = kube.kubectl("get", "nodes", "-l", "type=kwok", "-o", "name")
    kube.kubectl("delete", "namespaces", "-l", OURS, "--timeout=300s")
    if kwok_nodes:
        kwok.scale(kube, 0)


def register(running: RunningInstallation, kube: Devkube, *options: str) -> None:
    """Register it as `k8s` and set the tenant's limits. Returns when a worker has found the site ready."""
    command = python("manage.py", "site", "add", SITE, "--data-dir", str(running.data), *options)
    subprocess.run([*command, "--kubeconfig", str(kube.kubeconfig)], cwd=ROOT, check=True)
    running.call("PUT", "/api/v1/tenants/demo/limits", LIMITS)
    try:
        await_true(lambda: _ready(running), "the Kubernetes site does not get ready", seconds=60)
    except RuntimeError as error:
        said = [
            site["message"] for site in running.call("GET", "/api/v1/sites")["items"] if site["name"] == SITE
        ]
        raise RuntimeError(f"{error}: {' '.join(said)}") from error


def _ready(running: RunningInstallation) -> bool:
    sites = running.call("GET", "/api/v1/sites")["items"]
    return any(site["name"] == SITE and site["ready"] for site in sites)


def posts_of(running: RunningInstallation, groups: dict[str, Any]) -> tuple[dict[str, Any], uuid.UUID]:
    """Returns the output of pattern.py for one cluster with these groups, and the id of the cluster."""
    body = {"name": "pattern", "template": "spark", "site": SITE, "groups": groups}
    cluster = running.call("POST", f"{TENANT}/clusters", body)
    running.finish(cluster["operation"])
    command = python(str(Path(__file__).parent / "pattern.py"), cluster["id"])
    environment = environment_of_installation(running.data)
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout), uuid.UUID(cluster["id"])


def api_of(running: RunningInstallation) -> Server:
    return Server(HOST, running.port, headers={"Authorization": f"Bearer {running.token}"})


@dataclass(frozen=True)
class Made:
    """A cluster that is ready. answered, ready: seconds since the request. operation: its final state."""

    id: str
    answered: float
    ready: float
    operation: dict[str, Any]


async def create(server: Server, groups: dict[str, Any]) -> Made:
    """Create a cluster by the API, and wait until the API says that it is ready."""
    body = {"name": f"c-{uuid.uuid4().hex[:12]}", "template": "spark", "site": SITE, "groups": groups}
    began = time.perf_counter()
    cluster = await server.call("POST", f"{TENANT}/clusters", body)
    answered = time.perf_counter() - began
    operation = cluster["operation"]
    while operation["state"] in {"pending", "running"}:
        operation = await server.call("GET", f"{TENANT}/operations/{operation['id']}?wait=30")
    if operation["state"] != "succeeded":
        raise RuntimeError(f"{operation}")
    return Made(cluster["id"], answered, time.perf_counter() - began, operation)


async def in_flight(make: Callable[[], Awaitable[object]], count: int) -> float:
    """Call `make` `count` times, IN_FLIGHT at a time. Returns the calls per second."""
    left, began = iter(range(count)), time.perf_counter()

    async def client() -> None:
        for _ in left:
            await make()

    await asyncio.gather(*(client() for _ in range(IN_FLIGHT)))
    return count / (time.perf_counter() - began)


def client(kube: Devkube) -> Client:
    """Returns a client with the account of its admin."""
    return Client(Reach(kubeconfig=str(kube.kubeconfig)), purpose="bench")


def api_server(kube: Devkube) -> Server:
    """Returns a server for bare requests with the account of its admin."""
    access = client(kube).access()
    return Server(access.host, access.port, access.tls, access.headers())
