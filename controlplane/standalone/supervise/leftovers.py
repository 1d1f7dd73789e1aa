"""Ends the processes that a killed supervisor left behind.

The kernel has sent each of them its signal already; some need more time, or ignore it.
"""

import signal
from collections.abc import Callable

from controlplane.standalone.installation.datadir import DataDir
from controlplane.standalone.supervise import pids

# In the order in which they are stopped. The database, below, is the last.
STOPS = {"web": signal.SIGTERM, "worker": signal.SIGTERM, "runtimes": signal.SIGTERM, "setup": signal.SIGTERM}
STOP_SECONDS = 10.0
DATABASE_STOP = signal.SIGINT
DATABASE_STOP_SECONDS = 30.0


def end_leftovers(data: DataDir, say: Callable[[str], None]) -> None:
    """End them. The caller holds the lock of the data directory."""
    for name, number in STOPS.items():
        if pids.end_leftover(data, name, stop=number, seconds=STOP_SECONDS):
            say(f"ended {name}, left over from a run that was killed")
    pids.end_leftover(data, "postgres", stop=DATABASE_STOP, seconds=DATABASE_STOP_SECONDS)
    pids.forget(data, "supervisor")
