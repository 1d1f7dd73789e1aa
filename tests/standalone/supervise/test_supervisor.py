import os
import signal
import subprocess
import sys
from pathlib import Path

from controlplane.standalone.installation.datadir import DataDir
from controlplane.standalone.supervise.child import LONGEST_PAUSE_SECONDS, Child
from controlplane.standalone.supervise.supervisor import StoppedError, Supervisor
from controlplane.system.processes import identify
from tests.standalone.conftest import SECONDS, WAITS, eventually, has_said, program

# Runs a supervisor with one child, which has a child itself. Prints the ids of both.
SUPERVISING = """
import sys
from pathlib import Path
from controlplane.standalone.installation.datadir import open_data_dir
from controlplane.standalone.supervise.supervisor import Supervisor
from tests.standalone.conftest import WAITS, program

data = open_data_dir(Path(sys.argv[1]))
supervisor = Supervisor(data, say=print)
with supervisor.signals():
    child = supervisor.start(program(data, WAITS))
    supervisor.wait(lambda: "there" in child.log.last_lines(9), seconds=20)
    print(child.pid, flush=True)
    supervisor.run()
    supervisor.stop(["one"])
"""


def test_a_killed_child_is_started_again(supervisor: Supervisor, data: DataDir, said: list[str]) -> None:
    child = supervisor.start(program(data, WAITS))
    first = child.pid
    os.kill(first, signal.SIGKILL)
    assert supervisor.wait(lambda: child.alive and child.pid != first, seconds=SECONDS)
    assert (data.run / "one.pid").read_text() == f"{child.pid}\n"
    assert said == ["one ended (killed by SIGKILL); starting it again"]


def test_a_child_that_does_not_answer_is_started_again(data: DataDir, said: list[str]) -> None:
    lives: list[int] = []

    def answers() -> bool:
        if not lives or child.pid != lives[-1]:
            lives.append(child.pid)
        if len(lives) > 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return len(lives) > 1

    supervisor = Supervisor(data, say=said.append, probe_seconds=0.01)
    with supervisor.signals():
        child = supervisor.start(program(data, WAITS, probe=answers, patience=0.05))
        supervisor.run()
        supervisor.stop(["one"])
    assert said == [
        "one has not answered for 0 s and is killed",
        "one ended (killed by SIGKILL); starting it again",
    ]


def test_the_restart_delay_doubles_with_each_failure_in_a_row(data: DataDir) -> None:
    child = Child(program(data, WAITS, probe=lambda: False, patience=60.0), data)
    child.kill()
    child.kill()
    assert child.patience == 240.0


def test_the_end_of_a_child_ends_its_whole_session(supervisor: Supervisor, data: DataDir) -> None:
    grandchild = "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'input()'], "
    grandchild += "stdin=subprocess.PIPE); print(p.pid, flush=True); import signal; signal.pause()"
    child = supervisor.start(program(data, grandchild, restarts=False))
    assert supervisor.wait(lambda: bool(child.log.last_lines(1).strip()), seconds=SECONDS)
    orphan = identify(int(child.log.last_lines(1)))
    os.kill(child.pid, signal.SIGKILL)
    assert supervisor.wait(lambda: not child.alive, seconds=SECONDS)
    assert orphan
    assert eventually(lambda: not orphan.is_alive)


def test_failures_in_a_row_make_the_pause_longer_and_are_explained(
    supervisor: Supervisor, data: DataDir, said: list[str]
) -> None:
    child = supervisor.start(program(data, "raise SystemExit('no such table')"))
    assert supervisor.wait(lambda: child.failures == 4, seconds=SECONDS)
    assert any("no such table" in line for line in said)
    assert [child.plan_restart() for _ in range(20)][-1] == LONGEST_PAUSE_SECONDS


def test_a_failed_one_time_service_is_reported_and_not_repeated(
    supervisor: Supervisor, data: DataDir, said: list[str]
) -> None:
    child = supervisor.start(program(data, "raise SystemExit(3)", restarts=False, failure="it failed"))
    assert supervisor.wait(lambda: not child.alive, seconds=SECONDS)
    assert said == [f"it failed (exit code 3): see {child.log.path}"]
    assert child.next_start is None


def test_a_child_that_ignores_the_stop_signal_is_killed(
    supervisor: Supervisor, data: DataDir, said: list[str]
) -> None:
    deaf = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WAITS}"
    child = supervisor.start(program(data, deaf, stop_seconds=0.2))
    assert supervisor.wait(has_said(child, "there"), seconds=SECONDS)
    supervisor.stop(["one"])
    assert not child.alive
    assert said == ["one does not stop and is killed"]


def test_a_request_to_stop_interrupts_waiting(supervisor: Supervisor, data: DataDir) -> None:
    supervisor.start(program(data, WAITS))
    os.kill(os.getpid(), signal.SIGTERM)
    try:
        supervisor.wait(lambda: False, seconds=SECONDS)
    except StoppedError:
        return
    raise AssertionError("it waited on")


def test_a_child_that_closes_its_output_costs_nothing(supervisor: Supervisor, data: DataDir) -> None:
    child = supervisor.start(
        program(data, "import os; os.close(1); os.close(2); import signal; signal.pause()")
    )
    assert supervisor.wait(lambda: child.output_ended, seconds=SECONDS)
    looks = 0

    def look() -> bool:
        nonlocal looks
        looks += 1
        return False

    assert not supervisor.wait(look, seconds=0.2)
    assert looks < 5


def _supervising(folder: Path) -> tuple[subprocess.Popen[str], int]:
    root = Path(__file__).resolve().parents[3]
    command = [sys.executable, "-c", SUPERVISING, str(folder / "data")]
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    return process, int(process.stdout.readline())


def test_killing_the_supervisor_ends_its_children(folder: Path) -> None:
    process, child = _supervising(folder)
    identity = identify(child)
    with process:
        process.kill()
    assert identity
    assert eventually(lambda: not identity.is_alive)


def test_stopping_the_supervisor_leaves_no_child_and_no_pid_file(folder: Path) -> None:
    process, child = _supervising(folder)
    with process:
        process.terminate()
    assert process.returncode == 0
    assert identify(child) is None
    assert list((folder / "data" / "run").iterdir()) == []


def test_the_output_of_a_child_is_its_log(supervisor: Supervisor, data: DataDir) -> None:
    supervisor.start(program(data, WAITS))
    log = data.logs / "one.log"
    assert supervisor.wait(lambda: log.exists() and log.read_text() == "there\n", seconds=SECONDS)
    assert log.stat().st_mode & 0o777 == 0o600
