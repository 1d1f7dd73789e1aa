"""When any process is killed, none is left or runs twice, and an ended node is observed as ended."""

import multiprocessing
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from controlplane.provisioners.base import ClusterRef, Desired, NodeRef, Temporary
from controlplane.provisioners.local.launcher.children import kill_node
from controlplane.provisioners.local.launcher.status import Status
from controlplane.provisioners.local.nodes import node_attempts
from controlplane.provisioners.local.provisioner import LocalProvisioner
from controlplane.system import files
from tests.provisioners.launching import app, cluster, desired, make_ready, role, states, until, with_attempt
from tests.provisioners.machine import Machine, alive, kill

# Starts a daemon: a process with its own session that outlives its parent.
RUNAWAY = "setsid sh -c 'setsid sleep 1000 & ' & echo started; exec sleep 1000"
STUBBORN = "trap '' TERM; echo started; while true; do sleep 0.1; done"


def ended(here: Machine, of: ClusterRef) -> str:
    """Waits until worker-0 has ended, and returns the reason."""
    until(lambda: states(here.site, of) == {("worker-0", 1): "ended"})
    (node,) = here.site.look(of, ()).nodes
    return node.reason


def test_a_killed_command_ends_its_node(here: Machine):
    wish = desired(cluster(), body=app(role("exec sleep 1000")))
    make_ready(here.site, wish)
    (pid,) = here.processes(here.folder(wish.cluster))
    os.kill(pid, signal.SIGKILL)
    assert ended(here, wish.cluster) == "EXITED"
    (node,) = here.site.look(wish.cluster, ()).nodes
    assert (node.exit_code, node.message) == (137, "killed by SIGKILL")


def test_an_ended_node_has_its_exit_code_and_nothing_of_its_log_in_the_message(here: Machine):
    wish = desired(cluster(), body=app(role("echo no such file; exit 3")))
    here.site.apply(wish)
    assert ended(here, wish.cluster) == "EXITED"
    (node,) = here.site.look(wish.cluster, ()).nodes
    assert (node.exit_code, node.message) == (3, "exited with code 3")
    assert here.site.logs(wish.cluster, NodeRef(node.name, node.attempt), tail_bytes=100) == b"no such file\n"


def test_a_missing_program_is_named(here: Machine):
    wish = desired(cluster(), body=app(replace(role(), command=("/no/such/program",))))
    here.site.apply(wish)
    assert ended(here, wish.cluster) == "START_FAILED"
    (node,) = here.site.look(wish.cluster, ()).nodes
    assert "/no/such/program" in node.message


def test_daemons_of_a_node_end_with_it(here: Machine):
    wish = desired(cluster(), body=app(role(RUNAWAY)))
    make_ready(here.site, wish)
    folder = here.folder(wish.cluster)
    here.says(folder, "started")
    until(lambda: len(here.processes(folder)) >= 2)
    pids = here.processes(folder)
    here.site.end_run(wish.cluster, 1)
    until(lambda: not states(here.site, wish.cluster))
    assert not any(alive(pid) for pid in pids)


def test_processes_that_a_command_leaves_behind_end_too(here: Machine):
    wish = desired(cluster(), body=app(role("setsid sleep 1000 & exit 0")))
    here.site.apply(wish)
    assert ended(here, wish.cluster) == "EXITED"
    assert here.processes(here.folder(wish.cluster)) == []


def test_a_stubborn_command_is_killed_after_its_grace(here: Machine):
    wish = desired(cluster(), body=app(role(STUBBORN, stop_seconds=1)))
    make_ready(here.site, wish)
    here.says(here.folder(wish.cluster), "started")
    here.site.end_run(wish.cluster, 1)
    until(lambda: not states(here.site, wish.cluster))
    assert here.processes(here.folder(wish.cluster)) == []


def test_force_gives_no_grace(here: Machine):
    wish = desired(cluster(), body=app(role(STUBBORN, stop_seconds=1000)))
    make_ready(here.site, wish)
    here.says(here.folder(wish.cluster), "started")
    here.site.end_run(wish.cluster, 1)
    here.site.end_run(wish.cluster, 1, force=True)
    until(lambda: not states(here.site, wish.cluster))


def test_force_ends_a_node_whose_launcher_hangs(here: Machine):
    wish = desired(cluster())
    make_ready(here.site, wish)
    os.kill(here.launcher(here.folder(wish.cluster)), signal.SIGSTOP)
    until(lambda: forced(here, wish))
    assert here.processes(here.folder(wish.cluster)) == []


def forced(here: Machine, wish: Desired) -> bool:
    here.site.end_run(wish.cluster, 1, force=True)
    return not states(here.site, wish.cluster)


def test_nothing_outlives_a_killed_launcher(here: Machine):
    wish = desired(cluster(), body=app(role(RUNAWAY)))
    make_ready(here.site, wish)
    folder = here.folder(wish.cluster)
    here.says(folder, "started")
    until(lambda: len(here.processes(folder)) >= 2)
    kill(here.launcher(folder))
    assert ended(here, wish.cluster) == "LAUNCHER_LOST"
    assert here.processes(folder) == []


def test_the_death_of_a_launcher_is_an_event(here: Machine):
    wish = desired(cluster())
    make_ready(here.site, wish)
    events = here.site.events()
    until(lambda: next(events) is None)
    kill(here.launcher(here.folder(wish.cluster)))
    event = until(lambda: next(events))
    assert event
    assert (event.state, event.reason) == ("ended", "LAUNCHER_LOST")


def test_a_later_attempt_waits_for_the_processes_of_a_killed_launcher(here: Machine):
    wish = desired(cluster(), body=app(role(RUNAWAY)))
    make_ready(here.site, wish)
    kill(here.launcher(here.folder(wish.cluster)))
    here.site.apply(with_attempt(wish, 2))
    assert here.processes(here.folder(wish.cluster)) == []
    until(lambda: states(here.site, wish.cluster) == {("worker-0", 2): "ready"})


def test_a_restart_of_the_machine_ends_every_node(here: Machine):
    wish = desired(cluster())
    make_ready(here.site, wish)
    folder = here.folder(wish.cluster)
    kill(here.launcher(folder))
    status = here.status(folder)
    status.record["launcher"]["boot_id"] = "another"
    status.save()
    assert ended(here, wish.cluster) == "MACHINE_RESTARTED"


def test_a_pid_of_another_process_is_never_signalled(here: Machine):
    wish = desired(cluster())
    make_ready(here.site, wish)
    folder = here.folder(wish.cluster)
    kill(here.launcher(folder))
    status = here.status(folder)
    status.record["launcher"]["pid"] = os.getpid()
    status.save()
    here.site.end_run(wish.cluster, 1)
    until(lambda: not states(here.site, wish.cluster))


def test_a_damaged_record_is_unknown_while_its_node_lives(here: Machine):
    wish = desired(cluster())
    make_ready(here.site, wish)
    (here.folder(wish.cluster).path / "status.json").write_text('{"format": 1, "sta')
    with pytest.raises(Temporary, match="NODE_UNREADABLE"):
        here.site.look(wish.cluster, ())
    until(lambda: looks(here, wish.cluster))
    assert states(here.site, wish.cluster) == {("worker-0", 1): "ready"}


def looks(here: Machine, of: ClusterRef) -> bool:
    try:
        return here.site.look(of, ()).exists
    except Temporary:
        return False


def test_a_dead_node_with_a_damaged_record_has_ended(here: Machine):
    wish = desired(cluster())
    make_ready(here.site, wish)
    folder = here.folder(wish.cluster)
    kill(here.launcher(folder))
    (folder.path / "status.json").write_text("")
    assert ended(here, wish.cluster) == "LAUNCHER_LOST"


def test_a_damaged_spec_ends_its_node(here: Machine):
    wish = desired(cluster())
    made_but_not_started(here, wish)
    (here.folder(wish.cluster).path / "spec.json").write_text("")
    here.site.apply(wish)
    assert ended(here, wish.cluster) == "SPEC_UNREADABLE"


def test_a_node_that_was_prepared_before_a_crash_does_not_exist(here: Machine):
    wish = desired(cluster())
    made_but_not_started(here, wish)
    assert states(here.site, wish.cluster) == {}


def test_a_node_that_was_prepared_before_a_crash_is_started_after_it(here: Machine):
    wish = desired(cluster())
    made_but_not_started(here, wish)
    make_ready(here.site, wish)


def test_a_node_that_was_prepared_before_a_crash_is_removed(here: Machine):
    wish = desired(cluster())
    made_but_not_started(here, wish)
    here.site.end_run(wish.cluster, 1)
    assert states(here.site, wish.cluster) == {}


def made_but_not_started(here: Machine, wish: Desired) -> None:
    """Leaves a node as a worker does that is killed between preparing its folder and starting its launcher."""
    make_ready(here.site, wish)
    folder = here.folder(wish.cluster)
    kill(here.launcher(folder))
    assert kill_node(folder.id)
    Status.new(str(folder.path), address=here.status(folder).record["address"]).save()


def test_two_parallel_workers_start_each_node_once(here: Machine):
    wish = desired(cluster(), 3)
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=apply_elsewhere, args=(here.root, wish)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    until(lambda: set(states(here.site, wish.cluster).values()) == {"ready"})
    assert [commands(here, wish, index) for index in range(3)] == [1, 1, 1]


def apply_elsewhere(root: Path, wish: Desired) -> None:
    LocalProvisioner(root).apply(wish)


def commands(here: Machine, wish: Desired, index: int) -> int:
    """Returns the number of shells that run the node's command, without the programs that a shell has started."""
    pids = here.processes(here.folder(wish.cluster, f"worker-{index}"))
    return sum(b"while" in Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids if alive(pid))


def test_a_second_launcher_exits_at_once(here: Machine):
    wish = desired(cluster())
    make_ready(here.site, wish)
    folder = here.folder(wish.cluster)
    before = here.launcher(folder)
    node_attempts.start(here.site.layout, [folder])
    assert here.launcher(folder) == before


def test_look_continues_an_interrupted_end(here: Machine):
    wish = desired(cluster())
    make_ready(here.site, wish)
    fence = here.site.layout.cluster(wish.cluster.id).fence
    with fence.open("ab") as file:
        file.write(b"\n1\n")
    until(lambda: not states(here.site, wish.cluster))


def test_an_incomplete_line_in_the_run_fence_ends_no_run(here: Machine):
    wish = desired(cluster(), run=3)
    fence = here.site.layout.cluster(wish.cluster.id).fence
    files.make_folder(str(fence.parent))
    fence.write_bytes(b"\n2\n\n4")
    make_ready(here.site, wish)


def test_an_error_of_the_disk_is_temporary(here: Machine):
    here.site.layout.assets.symlink_to("/proc/nowhere")
    with pytest.raises(Temporary, match="DISK_REFUSED"):
        here.site.apply(desired(cluster()))


def test_a_node_whose_folder_is_deleted_ends(here: Machine):
    wish = desired(cluster())
    make_ready(here.site, wish)
    folder = here.folder(wish.cluster)
    launcher = here.launcher(folder)
    shutil.rmtree(here.site.layout.cluster(wish.cluster.id).path)
    until(lambda: not alive(launcher))
    assert here.processes(folder) == []
