"""Asks again for the executors of a session whose job has none.

A master that was killed and started again still knows the applications, but no longer how many executors they want,
and Spark repeats a request only when the number changes. So a session that was waiting would wait for ever.
"""

import threading
import time
from typing import Any

from py4j.protocol import Py4JError

ASK_SECONDS = 10


def look_after(context: Any) -> None:
    """Look after the executors of `context` until it is stopped."""
    conf = context.getConf()
    if conf.get("spark.dynamicAllocation.enabled") == "true" and context.master.startswith("spark://"):
        threading.Thread(target=_ask_again, args=(context,), name="spark-executors", daemon=True).start()


def _ask_again(context: Any) -> None:
    while (java_context := context._jsc) is not None:
        try:
            # The driver itself is one of those that have memory.
            waits = java_context.sc().getExecutorMemoryStatus().size() <= 1
            if waits and context.statusTracker().getActiveJobsIds():
                java_context.sc().requestExecutors(0)
        except (Py4JError, OSError):
            # The session was stopped meanwhile, or its JVM has ended.
            return
        time.sleep(ASK_SECONDS)
