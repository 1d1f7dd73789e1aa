"""Kills and the end of a devkube. The last test takes the devkube down, so this file's name must sort last."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.devkube import lifecycle, pki
from deploy.devkube.settings import Devkube
from tests.kube.devkube.calls import exec_in_pod, page, refused, until
from tests.kube.devkube.traces import command, processes, traces

pytestmark = [pytest.mark.kube, pytest.mark.timeout(120)]


def test_a_program_that_ends_starts_again(kube: Devkube) -> None:
    before = scheduler(kube)
    os.kill(before, signal.SIGKILL)
    assert until(lambda: scheduler(kube) != before)


def scheduler(kube: Devkube) -> int:
    """The pid of the scheduler. Raises ProcessLookupError while none runs."""
    for folder in Path("/proc").glob("[0-9]*"):
        if command(folder).startswith(f"kube-scheduler\0--kubeconfig={kube.state}/"):
            return int(folder.name)
    raise ProcessLookupError("no scheduler runs")


def test_a_killed_node_restarts_with_its_state(kube: Devkube) -> None:
    exec_in_pod(kube, "two/cli", "sh", "-c", "echo before > /d/kept")
    pid = lifecycle.node_pid(kube)
    assert pid
    os.kill(pid, signal.SIGKILL)
    until(lambda: lifecycle.node_pid(kube) is None)
    lifecycle.up(kube, print)
    assert until(lambda: exec_in_pod(kube, "two/cli", "cat", "/d/kept")) == "before\n"
    until(lambda: page(kube, "two/cli", "http://web.one/").startswith("web-"))


def test_other_networks_need_a_new_state(kube: Devkube) -> None:
    assert "--wipe" in refused(lambda: pki.provide(replace(kube, link="172.31.239")))


def test_down_leaves_nothing_on_the_machine(kube: Devkube, before: set[str]) -> None:
    assert traces(kube) - before
    assert processes(kube)
    lifecycle.down(kube, wipe=True)
    assert traces(kube) <= before
    assert not kube.state.exists()
    assert not processes(kube)
