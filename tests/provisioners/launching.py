"""Small clusters for tests of provisioners. The command of their roles is a line of shell; nodes are ready at once."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar
from uuid import UUID, uuid4

from controlplane.provisioners.base import (
    ClusterRef,
    Desired,
    DesiredNode,
    FoundCluster,
    NodeRef,
    Provisioner,
    Temporary,
)
from templates.schema import App, Asset, Group, Hooks, Launch, Role, Runtime
from tenants.amounts import Amounts

T = TypeVar("T")
# Small enough that many nodes fit on one machine. It has a volume, so that tests can lose it.
EACH = Amounts(cpu=50, memory=2**30, storage=2**24)
# An image with a shell, for sites whose nodes run in images.
IMAGE = os.environ.get("SLIPWAY_TEST_IMAGE", "localhost/busybox:1")
# Ends with exit code 1 when a test creates a file named stop in the working folder.
RUN = "echo {node} is here; while [ ! -e stop ]; do sleep 0.05; done; exit 1"
DRAIN = '#!/bin/sh\necho \'{"tasks_start": 2, "tasks_end": 0, "blocks_moved": null}\'\n'


def until(condition: Callable[[], T | None], seconds: float = 60.0) -> T:
    """Call `condition` until its result is true, and return that. Fails after `seconds`."""
    deadline = time.monotonic() + seconds
    pause = 0.02
    while not (answer := condition()):
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(pause)
        pause = min(0.2, pause * 1.2)
    return answer


def script(text: str) -> tuple[str, ...]:
    """A command that runs `text` in a shell; braces in it are placeholders."""
    return ("sh", "-c", text)


def role(text: str = RUN, **fields: Any) -> Role:
    return Role(name="worker", title="Worker", runtime="plain", command=script(text), max_count=9, **fields)


def app(*roles: Role, assets: Sequence[Asset] = (), **fields: Any) -> App:
    drain = Asset("hooks/drain", DRAIN, executable=True)
    # A shell that is the first process of its pod ignores SIGTERM, so its grace period is short.
    used = roles or (role(hooks=Hooks(drain="hooks/drain"), stop_seconds=1),)
    return App(
        "tiny", "1", "Tiny", "", used, (Runtime("plain", image=IMAGE),), assets=(drain, *assets), **fields
    )


def hook(path: str, text: str) -> Asset:
    return Asset(path, f"#!/bin/sh\n{text}\n", executable=True)


def cluster(site: Provisioner | None = None) -> ClusterRef:
    """A new cluster of a new tenant, for which `site` is prepared."""
    made = ClusterRef(uuid4(), "etl-1", uuid4(), "acme")
    if site:
        site.ensure_tenant(made.tenant_id, made.tenant, {})
    return made


def desired(
    of: ClusterRef, count: int = 1, *, run: int = 1, body: App | None = None, **fields: Any
) -> Desired:
    """A run with `count` workers, each in its first attempt."""
    body = body or app()
    nodes = tuple(
        DesiredNode(f"worker-{index}", 1, "worker", "worker", index, EACH) for index in range(count)
    )
    launch = Launch(body, (Group("worker", "worker", count, EACH),))
    kept = fields.pop("keeps", frozenset(node.name for node in nodes))
    return Desired(of, run, fields.pop("generation", 1), launch, nodes, keeps=kept, **fields)


def with_attempt(wish: Desired, attempt: int) -> Desired:
    return replace(wish, nodes=tuple(replace(node, attempt=attempt) for node in wish.nodes))


def first(of: Desired) -> NodeRef:
    return NodeRef(of.nodes[0].name, of.nodes[0].attempt)


def states(site: Provisioner, of: ClusterRef) -> dict[tuple[str, int], str]:
    """Returns the current states by (node name, attempt)."""
    return {(node.name, node.attempt): node.state.value for node in site.look(of, ()).nodes}


def make_ready(site: Provisioner, wish: Desired) -> None:
    site.apply(wish)
    until(lambda: set(states(site, wish.cluster).values()) == {"ready"})


def applied(site: Provisioner, wish: Desired) -> dict[tuple[str, int], str]:
    """Apply `wish` once more, and return the states after that."""
    site.apply(wish)
    return states(site, wish.cluster)


def listed(site: Provisioner) -> list[FoundCluster]:
    """The clusters of `list_all`."""
    return [found for found in site.list_all() if isinstance(found, FoundCluster)]


def removed(site: Provisioner, of: ClusterRef) -> bool:
    """Remove the cluster once more, and return whether nothing is left."""
    site.remove(of)
    return not site.look(of, ()).exists


def tenant_removed(site: Provisioner, tenant_id: UUID) -> None:
    """Repeat the call until it returns; it raises NAMESPACE_GOING while something of the tenant is left."""

    def done() -> bool:
        try:
            site.remove_tenant(tenant_id)
        except Temporary as error:
            if error.reason != "NAMESPACE_GOING":
                raise
            return False
        return True

    until(done)
