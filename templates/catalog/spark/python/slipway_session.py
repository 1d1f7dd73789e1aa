"""`spark` and `sc` in every notebook, on the cluster that the notebook belongs to.

No session starts before it is used: until then both names hold an `Unopened`, whose first use opens the session and
turns the object into it. A cell that makes a session of its own finds none running, so all its settings apply.
"""

import functools
import inspect
import os
import shlex
import subprocess
from collections.abc import Callable
from typing import Any

from pyspark import SparkConf, SparkContext
from pyspark.sql import SparkSession
from slipway_executors import look_after

# Settings that the JVM of a driver is started with.
OF_THE_JVM = ("spark.driver.memory", "spark.driver.extra", "spark.driver.default", "spark.jars")
END_SECONDS = 10


class Unopened:
    """The first use of an attribute opens the session. The builder and special names, which tools ask for, do not."""

    names: "Names"

    def __getattribute__(self, name: str) -> Any:
        if name in ("builder", "Builder") or (name.startswith("__") and name.endswith("__")):
            return object.__getattribute__(self, name)
        return getattr(Unopened.names.open(self), name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__.removeprefix('Unopened')}: starts when it is first used>"

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Unopened.names.open(self).__reduce_ex__(protocol)


class UnopenedSparkSession(Unopened, SparkSession):
    pass


class UnopenedSparkContext(Unopened, SparkContext):
    pass


UNOPENED = {"spark": UnopenedSparkSession, "sc": UnopenedSparkContext}


class Names:
    """`spark` and `sc` among the names that cells see, unless the user has put something else there."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.offered: dict[str, Any] = {}

    def offer(self, *_: Any) -> None:
        """Put an `Unopened` where a name is missing, or holds what was offered before and is stopped now."""
        for name, kind in UNOPENED.items():
            held = self.shell.user_ns.get(name)
            if held is None or (held is self.offered.get(name) and _is_stopped(held)):
                self.offered[name] = object.__new__(kind)
                self.shell.push({name: self.offered[name]}, interactive=False)

    def open(self, unopened: Unopened) -> Any:
        """Open the session; every name that holds an `Unopened` then holds the session or its context."""
        session = open_session()
        for space in (self.shell.user_ns, self.offered):
            for name, value in list(space.items()):
                if isinstance(value, UnopenedSparkSession) or (
                    isinstance(value, UnopenedSparkContext) and isinstance(session, SparkSession)
                ):
                    space[name] = _original(value, session)
        return _become(unopened, session)


def open_session() -> Any:
    """The session that is active, also one through Spark Connect; else a new one with the cluster's defaults."""
    active = SparkSession.getActiveSession()
    if active is not None:
        return active
    builder = SparkSession.builder
    return (builder if SparkContext._active_spark_context else builder.appName("notebook")).getOrCreate()


def _original(unopened: Unopened, session: Any) -> Any:
    return session.sparkContext if isinstance(unopened, SparkContext) else session


def _become(unopened: Unopened, session: Any) -> Any:
    """Turn `unopened`, which something may still refer to, into an alias of the original. Returns the original."""
    original = _original(unopened, session)
    object.__setattr__(unopened, "__dict__", original.__dict__)
    object.__setattr__(unopened, "__class__", type(original))
    return original


def _is_stopped(held: Any) -> bool:
    if isinstance(held, Unopened):
        return False
    if isinstance(held, SparkSession):
        return held._sc._jsc is None
    if isinstance(held, SparkContext):
        return held._jsc is None
    return bool(held.is_stopped)


def starting_afresh(start: Callable[..., None]) -> Callable[..., None]:
    """SparkContext.__init__ that ends the JVM of a stopped session if the new options differ."""
    signature = inspect.signature(start)

    @functools.wraps(start)
    def init(*args: Any, **kwargs: Any) -> None:
        given = signature.bind(*args, **kwargs)
        gateway = SparkContext._gateway
        if gateway is not None and SparkContext._active_spark_context is None and gateway.proc is not None:
            requested = _differing(given.arguments.get("conf"))
            if any(name.startswith(OF_THE_JVM) for name in requested) or not _has_submit_arguments(
                gateway.proc
            ):
                _end_jvm(gateway)
                given.arguments["conf"] = SparkConf().setAll(list(requested.items()))
        start(*given.args, **given.kwargs)
        look_after(given.arguments["self"])

    return init


def _differing(conf: SparkConf | None) -> dict[str, str]:
    """The settings of `conf` that the running JVM does not have by itself."""
    known = dict(SparkConf().getAll())
    return {name: value for name, value in (conf.getAll() if conf else ()) if known.get(name) != value}


def _has_submit_arguments(jvm: "subprocess.Popen[bytes]") -> bool:
    wanted = shlex.split(os.environ.get("PYSPARK_SUBMIT_ARGS", "pyspark-shell"))
    return list(jvm.args)[-len(wanted) :] == wanted


def _end_jvm(gateway: Any) -> None:
    SparkContext._gateway = SparkContext._jvm = None
    gateway.shutdown()
    gateway.proc.stdin.close()
    try:
        gateway.proc.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        gateway.proc.kill()
        gateway.proc.wait()


def telling(get_or_create: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Builder.getOrCreate that names the settings which a running session no longer takes."""

    @functools.wraps(get_or_create)
    def tell(builder: Any) -> Any:
        was_running = SparkContext._active_spark_context is not None
        session = get_or_create(builder)
        if was_running and (ignored := _ignored(session, builder._options)):
            print(
                f"This session was already running and does not take {', '.join(ignored)}. "
                "To have them, call spark.stop() first and then run this cell again."
            )
        return session

    return tell


def _ignored(session: Any, options: dict[str, Any]) -> list[str]:
    conf = session.sparkContext.getConf()
    return [
        f"{name}={value}"
        for name, value in options.items()
        if name.startswith("spark.") and name != "spark.app.name"
        if conf.get(name) != str(value) and not session.conf.isModifiable(name)
    ]


def load_ipython_extension(shell: Any) -> None:
    SparkContext.__init__ = starting_afresh(SparkContext.__init__)
    SparkSession.Builder.getOrCreate = telling(SparkSession.Builder.getOrCreate)
    Unopened.names = Names(shell)
    Unopened.names.offer()
    shell.events.register("pre_run_cell", Unopened.names.offer)
