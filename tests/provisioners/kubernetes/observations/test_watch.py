"""The watch of a site: which observations it yields, how it resumes, and which failures end it."""

import threading
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest

from controlplane.provisioners.base import DrainOutcome, DrainReport, NodeObservation, NodeState, Temporary
from controlplane.provisioners.kubernetes.client import client as client_module
from controlplane.provisioners.kubernetes.client.client import Client
from controlplane.provisioners.kubernetes.client.errors import Expired
from controlplane.provisioners.kubernetes.objects import paths
from controlplane.provisioners.kubernetes.objects.body import Body
from controlplane.provisioners.kubernetes.observations import watch
from tests.provisioners.kubernetes import api_server as fails
from tests.provisioners.kubernetes.api_server import ApiServer
from tests.provisioners.kubernetes.observations.test_observation import REPORT, pod
from tests.provisioners.kubernetes.real import pod_namespace
from tests.provisioners.launching import until

INSTALLATION = "0123456789abcdef"
News = Iterator[NodeObservation | None]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "QUIET_SECONDS", 0.02)
    monkeypatch.setattr(client_module, "WATCH_SILENCE", 0.2)


@pytest.fixture
def news(client: Client) -> Iterator[News]:
    listening = watch.events(client, INSTALLATION, lambda pod: None)
    with closing(listening):
        yield listening


def line(kind: str, item: Body) -> Body:
    return {"type": kind, "object": item}


def bookmark(version: str) -> Body:
    return line("BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": version}})


def next_observations(news: News, count: int) -> list[NodeObservation]:
    """Returns the next `count` observations and skips heartbeats."""
    return list(islice((event for event in news if event), count))


def watches(api: ApiServer) -> list[str]:
    return [call for call in api.calls if "watch=1" in call]


def test_it_yields_a_heartbeat_once_it_is_connected(api: ApiServer, news: News):
    api.silent = True
    assert next(news) is None
    assert len(watches(api)) == 1


def test_it_watches_new_events_of_this_installation(api: ApiServer, news: News):
    api.silent = True
    next(news)
    [first, second] = api.calls
    assert first == "GET /api/v1/pods?limit=1"
    assert f"resourceVersion={api.version}" in second
    assert f"slipway%2Finstallation%3D{INSTALLATION}" in second


def test_it_yields_heartbeats_while_nothing_happens(api: ApiServer, news: News):
    api.silent = True
    assert list(islice(news, 4)) == [None] * 4


def test_pods_become_nodes(api: ApiServer, news: News):
    api.news.append(
        [line("ADDED", pod("new")), line("MODIFIED", pod("ready")), line("DELETED", pod("deleted"))]
    )
    states = [event.state for event in next_observations(news, 3)]
    assert states == [NodeState.WAITING, NodeState.READY, NodeState.GONE]


def test_pods_that_are_no_nodes_are_ignored(api: ApiServer, news: News):
    strange = pod("ready")
    strange["metadata"]["labels"] = {}
    api.news.append([line("ADDED", strange), line("ADDED", pod("ready"))])
    assert [event.name for event in next_observations(news, 1)] == ["ready-0"]


def test_the_next_watch_resumes_at_the_last_version(api: ApiServer, news: News):
    api.news.append([line("MODIFIED", pod("ready"))])
    api.news.append([bookmark("4711")])
    api.news.append([line("MODIFIED", pod("ready"))])
    next_observations(news, 2)
    versions = [call.split("resourceVersion=")[1].split("&")[0] for call in watches(api)[:3]]
    assert versions == [str(api.version), pod("ready")["metadata"]["resourceVersion"], "4711"]


def test_a_silent_watch_is_replaced(api: ApiServer, news: News):
    api.silent = True
    until(lambda: next(news) is None and len(watches(api)) == 3)


def test_a_watch_that_is_cut_raises(api: ApiServer, news: News):
    api.fail(lambda handler, do: do(), fails.half_a_reply)
    with pytest.raises(Temporary, match="SITE_UNREACHABLE"):
        next_observations(news, 1)


@pytest.mark.parametrize("failure", [fails.away, fails.broken, fails.busy, fails.stranger, fails.expired])
def test_a_watch_that_cannot_be_replaced_raises(api: ApiServer, news: News, failure: fails.Failure):
    api.news.append([line("ADDED", pod("ready"))])
    next_observations(news, 1)
    api.fail(*[failure] * 2)
    with pytest.raises(Temporary):
        next_observations(news, 1)


def test_a_forgotten_version_raises(api: ApiServer, news: News):
    status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
    api.news.append([line("ERROR", status)])
    with pytest.raises(Expired):
        next_observations(news, 1)


def test_a_malformed_event_raises(api: ApiServer, news: News):
    api.news.append([{"kind": "Pod"}])
    with pytest.raises(Temporary, match="no event"):
        next_observations(news, 1)


def test_a_report_is_read_from_drained_nodes_only(api: ApiServer, client: Client):
    read = []

    def report(item: Body) -> DrainReport:
        read.append(item["metadata"]["name"])
        return REPORT

    api.news.append([line("MODIFIED", pod(name)) for name in ("ready", "draining", "drained")])
    with closing(watch.events(client, INSTALLATION, report)) as listening:
        events = next_observations(listening, 3)
    assert [event.state for event in events] == [NodeState.READY, NodeState.DRAINING, NodeState.DRAINED]
    assert len(read) == 1
    assert events[-1].drain == DrainReport(DrainOutcome.DRAINED, 1.5, tasks_start=2, tasks_end=0)


def test_news_of_others_does_not_wait_for_a_report(api: ApiServer, client: Client):
    """Twenty reports are pending here; each is yielded when its pod answers."""
    answer = threading.Event()

    def report(item: Body) -> DrainReport:
        assert answer.wait(10)
        return REPORT

    drained = [pod("drained") for _ in range(20)]
    for number, item in enumerate(drained):
        item["metadata"]["uid"] = str(number)
    api.news.append([line("MODIFIED", item) for item in (*drained, pod("ready"))])
    with closing(watch.events(client, INSTALLATION, report)) as listening:
        [first] = next_observations(listening, 1)
        answer.set()
        others = next_observations(listening, 20)
    assert first.state is NodeState.READY
    assert {event.drain for event in others} == {REPORT}


def test_the_last_event_of_a_pod_is_yielded_while_its_report_is_read(api: ApiServer, client: Client):
    answer = threading.Event()
    later = pod("drained")
    later["metadata"]["resourceVersion"] = str(int(later["metadata"]["resourceVersion"]) + 1)
    api.news.append([line("MODIFIED", item) for item in (pod("drained"), later, pod("ready"))])
    with closing(
        watch.events(client, INSTALLATION, lambda item: REPORT if answer.wait(10) else None)
    ) as listening:
        next_observations(listening, 1)
        answer.set()
        [event] = next_observations(listening, 1)
    assert (event.drain, event.version // 4) == (REPORT, int(later["metadata"]["resourceVersion"]))


def test_a_pod_that_is_gone_is_not_yielded_again(api: ApiServer, client: Client):
    answer = threading.Event()
    lines = [line("MODIFIED", pod("drained")), line("DELETED", pod("drained")), line("ADDED", pod("ready"))]
    api.news.append(lines)
    with closing(
        watch.events(client, INSTALLATION, lambda item: REPORT if answer.wait(10) else None)
    ) as listening:
        events = next_observations(listening, 2)
        answer.set()
        api.news.append([line("ADDED", pod("new"))])
        events += next_observations(listening, 1)
    assert [event.state for event in events] == [NodeState.GONE, NodeState.READY, NodeState.WAITING]


def test_a_report_that_cannot_be_read_leaves_the_node_draining(api: ApiServer, news: News):
    api.news.append([line("MODIFIED", pod("drained"))])
    assert [event.state for event in next_observations(news, 1)] == [NodeState.DRAINING]


def test_no_thread_remains_after_the_watch_is_closed(api: ApiServer, client: Client):
    api.silent = True
    events = watch.events(client, INSTALLATION, lambda pod: None)
    next(events)
    next(events)
    events.close()
    until(lambda: all(thread.name != "heartbeat" for thread in threading.enumerate()))


@pytest.mark.kube
def test_a_real_pod_is_watched_from_creation_to_deletion(kubeconfig: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(client_module, "WATCH_SILENCE", 60.0)
    with pod_namespace(kubeconfig) as here:
        events = watch.events(here.client, here.installation, lambda pod: None)
        assert next(events) is None
        name = here.running("worker-0")
        here.client.delete(paths.pods(here.namespace, name))
        states = []
        while NodeState.GONE not in states:
            states += [event.state for event in next_observations(events, 1)]
        assert {NodeState.WAITING, NodeState.READY} < set(states)
        events.close()
