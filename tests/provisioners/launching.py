"""Small clusters for tests of provisioners: roles whose command is a line of shell, ready at once."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar
from uuid import uuid4

from controlplane.provisioners.base import ClusterRef, Desired, DesiredNode, NodeRef, Provisioner
from templates.schema import App, Asset, Group, Hooks, Launch, Role, Runtime
from tenants.amounts import Amounts

T = TypeVar("T")
EACH = Amounts(cpu=1000, memory=2**30)
# Ends by itself, with 1, when a test leaves a file named stop in its folder.
RUN = "echo {node} is here; while [ ! -e stop ]; do sleep 0.05; done; exit 1"
DRAIN = '#!/bin/sh\necho \'{"tasks_start": 2, "tasks_end": 0, "blocks_moved": null}\'\n'


def until(condition: Callable[[], T | None], seconds: float = 15.0) -> T:
    """What `condition` answers, as soon as that is true."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.02)
    return answer


def script(text: str) -> tuple[str, ...]:
    """A command that runs `text` in a shell; braces in it are placeholders."""
    return ("sh", "-c", text)


def role(text: str = RUN, **fields: Any) -> Role:
    return Role(name="worker", title="Worker", runtime="plain", command=script(text), max_count=9, **fields)


def app(*roles: Role, assets: Sequence[Asset] = (), **fields: Any) -> App:
    drain = Asset("hooks/drain", DRAIN, executable=True)
    used = roles or (role(hooks=Hooks(drain="hooks/drain")),)
    return App("tiny", "1", "Tiny", "", used, (Runtime("plain"),), assets=(drain, *assets), **fields)


def hook(path: str, text: str) -> Asset:
    return Asset(path, f"#!/bin/sh\n{text}\n", executable=True)


def cluster() -> ClusterRef:
    return ClusterRef(uuid4(), "etl-1", uuid4(), "acme")


def desired(
    of: ClusterRef, count: int = 1, *, run: int = 1, body: App | None = None, **fields: Any
) -> Desired:
    """`count` workers, each in its first birth."""
    body = body or app()
    nodes = tuple(
        DesiredNode(f"worker-{index}", 1, "worker", "worker", index, EACH) for index in range(count)
    )
    launch = Launch(body, (Group("worker", "worker", count, EACH),))
    return Desired(of, run, fields.pop("generation", 1), launch, nodes, **fields)


def reborn(wish: Desired, birth: int) -> Desired:
    return replace(wish, nodes=tuple(replace(node, birth=birth) for node in wish.nodes))


def first(of: Desired) -> NodeRef:
    return NodeRef(of.nodes[0].name, of.nodes[0].birth)


def states(site: Provisioner, of: ClusterRef) -> dict[tuple[str, int], str]:
    """(name, birth) -> state, as it is seen now."""
    return {(node.name, node.birth): node.state.value for node in site.look(of, ()).nodes}


def make_ready(site: Provisioner, wish: Desired) -> None:
    site.apply(wish)
    until(lambda: set(states(site, wish.cluster).values()) == {"ready"})


def applied(site: Provisioner, wish: Desired) -> dict[tuple[str, int], str]:
    """What is seen after asking for `wish` once more."""
    site.apply(wish)
    return states(site, wish.cluster)


def removed(site: Provisioner, of: ClusterRef) -> bool:
    """Whether nothing is left after asking once more."""
    site.remove(of)
    return not site.look(of, ()).exists
