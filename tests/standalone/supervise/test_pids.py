import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from controlplane.standalone.installation.datadir import DataDir
from controlplane.standalone.installation.environment import MARK
from controlplane.standalone.supervise import pids
from controlplane.system.processes import identify
from tests.standalone.conftest import WAITS, eventually

STOP = signal.SIGTERM


@pytest.fixture
def process(data: DataDir) -> Iterator["subprocess.Popen[str]"]:
    environment = {**os.environ, MARK: data.id}
    command = [sys.executable, "-c", WAITS]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as started:
        assert started.stdout
        started.stdout.readline()
        yield started
        started.kill()


def test_a_leftover_is_ended(data: DataDir, process: "subprocess.Popen[str]") -> None:
    pids.record(data, "web", process.pid)
    assert pids.end_leftover(data, "web", stop=STOP, seconds=5)
    assert process.wait(5) == -STOP
    assert not (data.run / "web.pid").exists()


def test_a_foreign_process_with_an_old_pid_of_ours_is_not_ended(
    data: DataDir, process: "subprocess.Popen[str]"
) -> None:
    pids.record(data, "web", process.pid)
    ours = pids.recorded(data, "web")
    assert ours
    earlier = ours._replace(start_ticks=ours.start_ticks - 1)
    (data.run / "web.born").write_text(f"{earlier.pid} {earlier.boot_id} {earlier.start_ticks}")
    assert not pids.end_leftover(data, "web", stop=STOP, seconds=5)
    assert process.poll() is None


def test_a_pid_of_another_boot_is_no_leftover(data: DataDir, process: "subprocess.Popen[str]") -> None:
    ours = identify(process.pid)
    assert ours
    (data.run / "web.born").write_text(f"{ours.pid} another-boot {ours.start_ticks}")
    assert not pids.end_leftover(data, "web", stop=STOP, seconds=5)
    assert process.poll() is None


def test_members_of_a_dead_leaders_session_are_ended(data: DataDir) -> None:
    code = "import os, signal; pid = os.fork(); pid and print(pid, flush=True); signal.pause()"
    environment = {**os.environ, MARK: data.id}
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as leader:
        assert leader.stdout
        member = identify(int(leader.stdout.readline()))
        pids.record(data, "web", leader.pid)
        leader.kill()
    assert member
    assert member.is_alive
    assert pids.end_leftover(data, "web", stop=STOP, seconds=5)
    assert eventually(lambda: not member.is_alive)


def test_a_zombie_counts_as_ended(data: DataDir) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert identify(process.pid) is None
    process.wait()


def test_malformed_records_are_ignored(data: DataDir) -> None:
    (data.run / "web.born").write_text("12")
    assert not pids.end_leftover(data, "web", stop=STOP, seconds=1)
