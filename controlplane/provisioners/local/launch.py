"""python -I -S launch.py FOLDER EVENTS: become the launcher of the node prepared in FOLDER, heard in EVENTS.

Exits 0 once the launcher is on its own and can be signalled; HELD when another has the folder, DONE when this attempt
has begun before. Only the modules of the launcher are loaded, not the packages around them: it stays small, and
starts where nothing else is installed.
"""

import os
import sys
import time
import traceback
import types
from typing import Any

HELD, DONE = 3, 4
SAVE_SECONDS = 30.0


def _bare_packages() -> None:
    here = os.path.dirname(os.path.abspath(__file__))
    name = "controlplane.provisioners.local"
    while name:
        package = types.ModuleType(name)
        package.__path__ = [here]
        sys.modules[name] = package
        name, here = name.rpartition(".")[0], os.path.dirname(here)


def main(folder: str, events: str) -> int:
    from controlplane.provisioners.local import locks
    from controlplane.provisioners.local.status import Status

    lock = locks.take(os.path.join(folder, "lock"))
    if lock is None:
        return HELD
    status = Status.load(folder)
    if status.begun or status.ended:
        return DONE
    seen, report = os.pipe()
    if os.fork():
        os.close(report)
        # One byte says that the launcher can be signalled; nothing, that it has ended.
        return 0 if os.read(seen, 1) else 1
    os.close(seen)
    os.setsid()
    _launch(folder, events, lock, status, report)
    return 0


def _launch(folder: str, events: str, lock: int, status: Any, report: int) -> None:
    from controlplane.provisioners.local import files, processes
    from controlplane.provisioners.local.launcher import Launcher

    pid = os.getpid()
    me = {"pid": pid, "start": processes.start_time(pid), "boot": processes.boot_id()}
    status.set(incarnation=os.urandom(8).hex(), launcher=me, stage="scheduled")
    try:
        spec = files.read_json(os.path.join(folder, "spec.json"))
        launcher = Launcher(folder, events, spec, status)
    except (OSError, ValueError, KeyError) as error:
        last_word = {"state": "ended", "reason": "SPEC_UNREADABLE", "message": f"cannot be started: {error}"}
        os.write(report, b".")
    else:
        status.save()
        os.write(report, b".")
        os.close(report)
        last_word = _run(launcher)
    _end(status, lock, events, last_word)


def _run(launcher: Any) -> dict[str, Any]:
    try:
        launcher.run()
    except Exception as error:  # noqa: BLE001 - whatever it is, the node must not stay behind
        traceback.print_exc()
        launcher.abandon()
        return {"state": "ended", "reason": "LAUNCHER_FAILED", "message": f"{type(error).__name__}: {error}"}
    word: dict[str, Any] = launcher.last_word()
    return word


def _end(status: Any, lock: int, events: str, last_word: dict[str, Any]) -> None:
    """Record it, then let go of the folder, then tell: who hears of it finds the lock free."""
    status.set(**last_word)
    deadline = time.monotonic() + SAVE_SECONDS
    while True:
        try:
            status.save()
            break
        except FileNotFoundError:
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
    os.close(lock)
    status.unsaved, status.untold = False, True
    for _ in range(40):
        status.flush(events)
        if not status.untold:
            return
        time.sleep(0.25)


if __name__ == "__main__":
    _bare_packages()
    sys.exit(main(sys.argv[1], sys.argv[2]))
