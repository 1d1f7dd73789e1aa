"""How the report of a drain is read from a pod."""

import json
import threading
from collections.abc import Sequence

import pytest

from controlplane.provisioners.base import DrainOutcome, DrainReport
from controlplane.provisioners.kubernetes.client.exec import ExecResult
from controlplane.provisioners.kubernetes.objects import names
from controlplane.provisioners.kubernetes.runs.draining import Reports, parsed
from tests.provisioners.kubernetes.memory import NOW, MemoryAccounts, MemoryApi
from tests.provisioners.kubernetes.rendered import Body


def test_a_report_has_the_outcome_the_seconds_and_the_numbers_of_the_hook():
    answer = {"tasks_start": 4, "tasks_end": 0, "executors_start": 2, "executors_end": 0, "blocks_moved": 17}
    text = b"deadline 1234\n" + json.dumps(answer).encode() + b"\n"
    assert parsed(text) == DrainReport(DrainOutcome.DEADLINE, 12.34, 4, 0, 2, 0, 17)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"no JSON\n",
        b'{"tasks_start": "4", "blocks_moved": -1, "tasks_end": true}\n',
        b"[1, 2]\n",
        b"[" * 60_000,
        b'{"tasks_start": 1' + b"0" * 400 + b"}\n",
    ],
)
def test_a_number_that_cannot_be_read_is_none(answer: bytes):
    assert parsed(b"drained 5\n" + answer) == DrainReport(DrainOutcome.DRAINED, 0.05)


@pytest.mark.parametrize(
    "text",
    [b"", b"drained\n", b"vanished 5\n", b"drained five\n", b"\xff\xff 5\n", b"drained " + b"9" * 5000],
)
def test_an_incomplete_report_is_none(text: bytes):
    assert parsed(text) is None


class Saying(MemoryAccounts):
    def __init__(self, *texts: bytes) -> None:
        super().__init__(MemoryApi())
        self.texts = list(texts)

    def run(self, namespace: str, pod: str, command: Sequence[str], *, seconds: float) -> ExecResult:
        text = self.texts.pop(0)
        return ExecResult(0 if text else 1, text, b"")


def pod(uid: str = "1", /, **conditions: str) -> Body:
    about = {"uid": uid, "name": "p", "namespace": "n", "annotations": {names.DRAINING: "10"}}
    listed = [
        {"type": kind, "status": status, "lastTransitionTime": NOW} for kind, status in conditions.items()
    ]
    container = {"name": "node", "state": {"running": {}}}
    return {"metadata": about, "status": {"conditions": listed, "containerStatuses": [container]}}


def test_a_report_is_read_once():
    reports = Reports(Saying(b"", b"drained 5\n"))
    assert reports.of(pod(Ready="False")) is None
    assert (
        reports.of(pod(Ready="False"))
        == reports.of(pod(Ready="False"))
        == DrainReport(DrainOutcome.DRAINED, 0.05)
    )


class Slow(MemoryAccounts):
    """Answers once `at_once` calls wait at the same time."""

    def __init__(self, at_once: int) -> None:
        super().__init__(MemoryApi())
        self.all = threading.Barrier(at_once, timeout=5)

    def run(self, namespace: str, pod: str, command: Sequence[str], *, seconds: float) -> ExecResult:
        self.all.wait()
        return ExecResult(0, b"drained 5\n", b"")


def test_reports_of_drained_pods_are_read_in_parallel():
    drained = [pod(str(number), Ready="False") for number in range(4)]
    reports = Reports(Slow(4)).of_all([pod("busy", Ready="True"), *drained])
    assert reports == [None, *[DrainReport(DrainOutcome.DRAINED, 0.05)] * 4]


def test_no_report_is_read_from_a_pod_that_is_ready():
    assert Reports(Saying()).of(pod(Ready="True")) is None
