"""`spark` and `sc` in every notebook, on the cluster that the notebook belongs to.

The session starts in the background while the kernel already answers. A cell that mentions it waits for it, so the
very first cell may use it; one that does not, never waits. A session that failed or was stopped is made anew
for the next cell that asks.
"""

import re
import threading
from concurrent.futures import Future
from typing import Any

NAMES = re.compile(r"\b(spark|sc)\b")
# Whoever makes a session of their own must not be given ours first: its settings could not be changed any more.
MAKES_ONE = re.compile(r"^\s*spark\s*=", re.MULTILINE)


class Session:
    """The session of one kernel, started by the first that needs it."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.future: Future[Any] | None = None
        self.offered: dict[str, Any] = {}

    def start(self) -> "Future[Any]":
        future: Future[Any] = Future()
        self.future = future
        threading.Thread(target=self._open, args=(future,), name="spark-session", daemon=True).start()
        return future

    def before_cell(self, info: Any) -> None:
        cell = info.raw_cell or ""
        if not NAMES.search(cell):
            return
        future = self.future
        if future is None or (future.done() and not is_alive(future)):
            if MAKES_ONE.search(cell):
                return
            future = self.start()
        try:
            session = future.result()
        except Exception as error:
            print(f"No Spark session: {error}")
            return
        self._offer(make_active(session))

    def _open(self, future: "Future[Any]") -> None:
        try:
            session = open_session()
            self._offer(session)
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(session)

    def _offer(self, session: Any) -> None:
        """Put the session where cells see it, unless the person has put something else there."""
        for name, value in (("spark", session), ("sc", session.sparkContext)):
            there = self.shell.user_ns.get(name)
            if there is None or there is self.offered.get(name):
                self.shell.user_ns[name] = self.offered[name] = value


def is_alive(future: "Future[Any]") -> bool:
    return future.exception() is None and future.result().sparkContext._jsc is not None


def open_session() -> Any:
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    # Who has one already keeps it as it is; asking for another name would only be answered with a warning.
    builder = SparkSession.builder
    return (builder if SparkContext._active_spark_context else builder.appName("notebook")).getOrCreate()


def make_active(session: Any) -> Any:
    """Spark keeps the active session per thread, and this one was opened in another."""
    from pyspark.sql import SparkSession

    if SparkSession.getActiveSession() is None:
        known = SparkSession._get_j_spark_session_class(session._jvm)
        known.setActiveSession(session._jsparkSession)
    return session


def load_ipython_extension(shell: Any) -> None:
    session = Session(shell)
    session.start()
    shell.events.register("pre_run_cell", session.before_cell)
