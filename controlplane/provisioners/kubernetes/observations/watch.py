"""Watches all pods of a site. The watch is started anew when it ends or when the API server falls silent."""

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
from controlplane.provisioners.kubernetes.observations.heartbeat import with_heartbeat

QUIET_SECONDS = 3.0
# The API server ends a watch after this long. The next watch continues at the same resource version.
WATCH_SECONDS = 600
SHORTEST_SECONDS = 1.0
DELETED, BOOKMARK = "DELETED", "BOOKMARK"
# How many drain reports are read in parallel, and how soon the watch looks for the results.
READERS, READING_SECONDS = 8, 0.05

Report = Callable[[Body], DrainReport | None]


def events(
    client: Client, installation: str, report: Report, *, domain: str = "cluster.local"
) -> Generator[NodeObservation | None, None, None]:
    """Observations of nodes as they change, GONE ones too. None when the watch has started, and every few seconds.

    report: reads the drain report of a pod; it returns None when it cannot be read now. Raises Temporary when changes
    may have been missed: the caller must then list all pods before it watches again.
    """
    with closing(_DrainReports(report)) as reports:
        for change in transitions(client, installation, reports.pause):
            for pod, drain in reports.results():
                if observed := observation.node_observation(pod, drain=drain, domain=domain):
                    yield observed
            if change is None:
                yield None
            elif observed := _node(*change, reports, domain):
                yield observed


def _node(kind: str, pod: Body, reports: "_DrainReports", domain: str) -> NodeObservation | None:
    """None when the pod is none of ours, or when its drain report is read first."""
    if not observation.is_in_place(pod):
        return None
    if kind != DELETED and observation.may_be_drained(pod):
        reports.read(pod)
        return None
    reports.forget(pod)
    return (observation.deleted_observation if kind == DELETED else observation.node_observation)(
        pod, domain=domain
    )


class _DrainReports:
    """Reads drain reports in threads, so that changes of other pods do not wait for them."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="drained")
        # uid -> the newest state of the pod, and its report.
        self._reading: dict[str, tuple[Body, Future[DrainReport | None]]] = {}

    def read(self, pod: Body) -> None:
        """Start to read the report, unless that is being done already."""
        _, report = self._reading.get(_uid(pod)) or (pod, self._pool.submit(self._report, pod))
        self._reading[_uid(pod)] = pod, report

    def forget(self, pod: Body) -> None:
        """The pod changed again, so that its report is no longer of interest."""
        self._reading.pop(_uid(pod), None)

    def results(self) -> Iterator[tuple[Body, DrainReport | None]]:
        """The reports that have been read, each once. None: it could not be read now."""
        for uid in [uid for uid, (_, report) in self._reading.items() if report.done()]:
            pod, report = self._reading.pop(uid)
            yield pod, report.result(timeout=0)

    def pause(self) -> float:
        """Seconds until the watch should look for results."""
        return READING_SECONDS if self._reading else QUIET_SECONDS

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def _uid(pod: Body) -> str:
    return str(pod["metadata"]["uid"])


def transitions(
    client: Client, installation: str, pause: Callable[[], float]
) -> Iterator[tuple[str, Body] | None]:
    """(ADDED | MODIFIED | DELETED, pod) of changes from now on; None as in `events`. Existing pods are not listed."""
    at = client.version(paths.pods())
    last_pause = 0.0
    while True:
        began = time.monotonic()
        for change in _one_watch(client, installation, at, pause):
            if change is not None:
                at = change[1]["metadata"]["resourceVersion"]
                if change[0] != BOOKMARK:
                    yield change
            if change is None or time.monotonic() - last_pause >= QUIET_SECONDS:
                last_pause = time.monotonic()
                yield None
        # An API server that ends each watch at once must not be called again and again.
        time.sleep(max(0.0, SHORTEST_SECONDS - (time.monotonic() - began)))


def _one_watch(
    client: Client, installation: str, at: str, pause: Callable[[], float]
) -> Iterator[tuple[str, Body] | None]:
    """The changes of one watch, until its time is over or not even bookmarks are received."""
    watch = client.watch(
        paths.pods(),
        labels=manifests.of_installation(installation),
        resource_version=at,
        seconds=WATCH_SECONDS,
    )
    with closing(watch):
        yield None
        try:
            with closing(with_heartbeat(watch, pause)) as news:
                yield from news
        except Silence:
            return
