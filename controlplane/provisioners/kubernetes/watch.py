"""The pods of a whole site as they change: one watch, made anew when it ends or falls silent."""

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing

from controlplane.provisioners.base import DrainReport, ObservedNode
from controlplane.provisioners.kubernetes import names, paths, sights
from controlplane.provisioners.kubernetes.client import Client
from controlplane.provisioners.kubernetes.errors import Body
from controlplane.provisioners.kubernetes.hearing import heard
from controlplane.provisioners.kubernetes.streams import Silence

QUIET_SECONDS = 3.0
# The API server ends a watch after this long; the next one goes on from where it was.
WATCH_SECONDS = 600
SHORTEST_SECONDS = 1.0
DELETED, BOOKMARK = "DELETED", "BOOKMARK"

Report = Callable[[Body], DrainReport | None]


def events(
    client: Client, installation: str, report: Report, *, domain: str = "cluster.local"
) -> Generator[ObservedNode | None, None, None]:
    """Nodes as they change, GONE ones too; None once it listens, and every few seconds.

    report: reads what a drained pod says about its drain; None when it could not be read now. Raises Temporary when
    news may have been missed: whoever listens again then lists as well.
    """
    for change in transitions(client, installation):
        if change is None:
            yield None
        elif seen := _node(*change, report, domain):
            yield seen


def _node(kind: str, pod: Body, report: Report, domain: str) -> ObservedNode | None:
    if not sights.is_in_place(pod):
        return None
    if kind == DELETED:
        return sights.gone(pod, domain=domain)
    drain = report(pod) if sights.may_be_drained(pod) else None
    return sights.sight(pod, drain=drain, domain=domain)


def transitions(client: Client, installation: str) -> Iterator[tuple[str, Body] | None]:
    """(ADDED | MODIFIED | DELETED, pod) from now on; None like `events`. What was there before is not told."""
    at = client.version(paths.pods())
    told_at = 0.0
    while True:
        began = time.monotonic()
        for change in _one_watch(client, installation, at):
            if change is not None:
                at = change[1]["metadata"]["resourceVersion"]
                if change[0] != BOOKMARK:
                    yield change
            if time.monotonic() - told_at >= QUIET_SECONDS:
                told_at = time.monotonic()
                yield None
        # Whatever ends each watch at once is not asked again and again.
        time.sleep(max(0.0, SHORTEST_SECONDS - (time.monotonic() - began)))


def _one_watch(client: Client, installation: str, at: str) -> Iterator[tuple[str, Body] | None]:
    """Until its time is over, or it is silent where it should at least say that nothing happened."""
    watch = client.watch(paths.pods(), labels=ours(installation), resource_version=at, seconds=WATCH_SECONDS)
    with closing(watch):
        yield None
        try:
            with closing(heard(watch, QUIET_SECONDS)) as news:
                yield from news
        except Silence:
            return


def ours(installation: str) -> dict[str, str]:
    """What everything that this installation made is labelled with."""
    return {"app.kubernetes.io/managed-by": names.MANAGED_BY, names.INSTALLATION: installation}
