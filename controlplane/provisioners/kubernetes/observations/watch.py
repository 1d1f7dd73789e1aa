"""The pods of a whole site as they change: one watch, made anew when it ends or falls silent."""

import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

from controlplane.provisioners.base import DrainReport, NodeObservation
from controlplane.provisioners.kubernetes.client.client import Client
from controlplane.provisioners.kubernetes.client.streams import Silence
from controlplane.provisioners.kubernetes.objects import manifests, paths
from controlplane.provisioners.kubernetes.objects.body import Body
from controlplane.provisioners.kubernetes.observations import observation
from controlplane.provisioners.kubernetes.observations.heartbeat import heard

QUIET_SECONDS = 3.0
# The API server ends a watch after this long; the next one goes on from where it was.
WATCH_SECONDS = 600
SHORTEST_SECONDS = 1.0
DELETED, BOOKMARK = "DELETED", "BOOKMARK"
# Drained pods that are asked at once, and how soon their answers are looked for.
READERS, READING_SECONDS = 8, 0.05

Report = Callable[[Body], DrainReport | None]


def events(
    client: Client, installation: str, report: Report, *, domain: str = "cluster.local"
) -> Generator[NodeObservation | None, None, None]:
    """Nodes as they change, GONE ones too; None once it listens, and every few seconds.

    report: reads what a drained pod says about its drain; None when it could not be read now. Raises Temporary when
    news may have been missed: whoever listens again then lists as well.
    """
    with closing(_Drained(report)) as drained:
        for change in transitions(client, installation, drained.pause):
            for pod, drain in drained.answers():
                if seen := observation.sight(pod, drain=drain, domain=domain):
                    yield seen
            if change is None:
                yield None
            elif seen := _node(*change, drained, domain):
                yield seen


def _node(kind: str, pod: Body, drained: "_Drained", domain: str) -> NodeObservation | None:
    if not observation.is_in_place(pod):
        return None
    if kind != DELETED and observation.may_be_drained(pod):
        drained.ask(pod)
        return None
    drained.forget(pod)
    return (observation.gone if kind == DELETED else observation.sight)(pod, domain=domain)


class _Drained:
    """Pods that are told once they were asked how their drain went. The news of all others does not wait for them."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="drained")
        self._asked: dict[str, tuple[Body, Future[DrainReport | None]]] = {}

    def ask(self, pod: Body) -> None:
        """Of one that is being asked the last news counts."""
        _, asked = self._asked.get(_uid(pod)) or (pod, self._pool.submit(self._report, pod))
        self._asked[_uid(pod)] = pod, asked

    def forget(self, pod: Body) -> None:
        """There is newer news of it."""
        self._asked.pop(_uid(pod), None)

    def answers(self) -> Iterator[tuple[Body, DrainReport | None]]:
        """Each once; None for one that could not be read now."""
        for uid in [uid for uid, (_, asked) in self._asked.items() if asked.done()]:
            pod, asked = self._asked.pop(uid)
            yield pod, asked.result(timeout=0)

    def pause(self) -> float:
        return READING_SECONDS if self._asked else QUIET_SECONDS

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def _uid(pod: Body) -> str:
    return str(pod["metadata"]["uid"])


def transitions(
    client: Client, installation: str, pause: Callable[[], float]
) -> Iterator[tuple[str, Body] | None]:
    """(ADDED | MODIFIED | DELETED, pod) from now on; None like `events`. What was there before is not told."""
    at = client.version(paths.pods())
    told_at = 0.0
    while True:
        began = time.monotonic()
        for change in _one_watch(client, installation, at, pause):
            if change is not None:
                at = change[1]["metadata"]["resourceVersion"]
                if change[0] != BOOKMARK:
                    yield change
            if change is None or time.monotonic() - told_at >= QUIET_SECONDS:
                told_at = time.monotonic()
                yield None
        # Whatever ends each watch at once is not asked again and again.
        time.sleep(max(0.0, SHORTEST_SECONDS - (time.monotonic() - began)))


def _one_watch(
    client: Client, installation: str, at: str, pause: Callable[[], float]
) -> Iterator[tuple[str, Body] | None]:
    """Until its time is over, or it is silent where it should at least say that nothing happened."""
    watch = client.watch(
        paths.pods(),
        labels=manifests.of_installation(installation),
        resource_version=at,
        seconds=WATCH_SECONDS,
    )
    with closing(watch):
        yield None
        try:
            with closing(heard(watch, pause)) as news:
                yield from news
        except Silence:
            return
