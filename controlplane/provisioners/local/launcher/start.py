"""python -I -S start.py FOLDER EVENTS: become the launcher of the node that was prepared in FOLDER.

EVENTS is the folder with the sockets of those who want to know of changes, see `notifications`.

Exit codes: 0 once the launcher runs detached and handles signals; LOCKED when another process holds the node's lock;
ALREADY_STARTED when this attempt was started before; anything else is a failure, explained on stderr.
"""

import os
import sys
import time
import traceback
from typing import Any

LOCKED, ALREADY_STARTED = 3, 4
# How long the launcher tries to save its last record on a disk that refuses writes.
SAVE_SECONDS = 30.0
NOTIFY_TRIES, NOTIFY_PAUSE_SECONDS = 40, 0.25


def main(folder: str, events: str) -> int:
    from controlplane.provisioners.local.launcher import file_locks
    from controlplane.provisioners.local.launcher.status import Status

    lock = file_locks.acquire(os.path.join(folder, "lock"))
    if lock is None:
        return LOCKED
    status = Status.load(folder)
    if status.started or status.ended:
        return ALREADY_STARTED
    source, report = os.pipe()
    if os.fork():
        os.close(report)
        # The launcher writes one byte once it handles signals; the pipe closes without one if it dies before.
        return 0 if os.read(source, 1) else 1
    os.close(source)
    os.setsid()
    _launch(folder, events, lock, status, report)
    return 0


def _launch(folder: str, events: str, lock: int, status: Any, report: int) -> None:
    from controlplane.provisioners.local.launcher.launcher import Launcher
    from controlplane.system import files, processes

    identity = processes.identify(os.getpid())
    status.set(incarnation=os.urandom(8).hex(), launcher=identity and identity._asdict(), stage="scheduled")
    try:
        spec = files.read_json(os.path.join(folder, "spec.json"))
        launcher = Launcher(folder, events, spec, status)
    except (OSError, ValueError, KeyError) as error:
        end = {"state": "ended", "reason": "SPEC_UNREADABLE", "message": f"cannot be started: {error}"}
        os.write(report, b".")
    else:
        status.save()
        os.write(report, b".")
        os.close(report)
        try:
            launcher.run()
            end = launcher.end_fields()
        except Exception as error:  # noqa: BLE001 - whatever went wrong, no process of the node may stay behind
            traceback.print_exc()
            launcher.kill_everything()
            message = f"{type(error).__name__}: {error}"
            end = {"state": "ended", "reason": "LAUNCHER_FAILED", "message": message}
    _record_end(status, lock, events, end)


def _record_end(status: Any, lock: int, events: str, end: dict[str, Any]) -> None:
    """Save the end, then release the lock, then notify: a listener that reacts finds the lock free."""
    status.set(**end)
    deadline = time.monotonic() + SAVE_SECONDS
    while True:
        try:
            status.save()
            break
        except FileNotFoundError:
            # The node's folder is gone.
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
    os.close(lock)
    status.unsaved, status.unsent = False, True
    for _ in range(NOTIFY_TRIES):
        status.flush(events)
        if not status.unsent:
            return
        time.sleep(NOTIFY_PAUSE_SECONDS)


if __name__ == "__main__":
    # -I and -S leave neither the project nor installed packages on the path.
    sys.path.append(os.path.abspath(__file__).rsplit("/controlplane/", 1)[0])
    sys.exit(main(sys.argv[1], sys.argv[2]))
