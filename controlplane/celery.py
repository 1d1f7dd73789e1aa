"""Where a broker is configured, a worker is a Celery worker too: its one task is a hint to look into the table."""

import os
import threading
from collections.abc import Callable

from controlplane.work.announce import TASK, broker


def listen(nudge: Callable[[], None]) -> threading.Thread:
    """Take hints from the broker in a thread of this process, and call `nudge` for each."""
    app = broker()
    app.task(name=TASK)(nudge)

    def consume() -> None:
        app.Worker(pool="solo", concurrency=1, hostname=f"slipway-{os.getpid()}@%h", quiet=True).start()

    thread = threading.Thread(target=consume, name="celery", daemon=True)
    thread.start()
    return thread
