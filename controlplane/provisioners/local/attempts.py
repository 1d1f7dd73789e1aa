"""One attempt of a node on disk: made whole, started, observed, signalled, and cleared away once it has ended."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from controlplane.provisioners.base import (
    DrainOutcome,
    DrainReport,
    NodeObservation,
    NodeState,
    NotYet,
    SiteUnknown,
)
from controlplane.provisioners.local import files, locks, log, notices, processes
from controlplane.provisioners.local.launch import DONE, HELD
from controlplane.provisioners.local.launcher import KILL, REWRITE, STOP
from controlplane.provisioners.local.layout import Layout, NodeFolder
from controlplane.provisioners.local.status import Status
from controlplane.provisioners.local.trash import throw_away
from controlplane.provisioners.rendering import Rendered

START_SECONDS = 4.0
KEPT_LOG_BYTES = 1024 * 1024
KEPT_LOGS = 40
_LAUNCH = Path(__file__).with_name("launch.py")


def prepare(folder: NodeFolder, spec: dict[str, Any], given: Rendered, shared: Path) -> None:
    """Everything that its launcher needs, under its final name all at once."""
    draft = folder.path.with_name(f".{folder.path.name}.{os.urandom(4).hex()}")
    for path in (draft, draft / "conf", draft / "work", folder.home, folder.tmp):
        files.make_folder(str(path))
    _link_shared(folder.home / "shared", shared)
    for name, content in given.files.items():
        write_conf(draft / "conf" / name, content)
    files.write_json(str(draft / "spec.json"), spec)
    files.write(str(draft / "lock"), b"")
    Status.new(str(draft), address=spec["address"]).save()
    _write_enter(folder, given)
    draft.rename(folder.path)


def write_conf(path: Path, content: str) -> None:
    files.make_folder(str(path.parent))
    files.write(str(path), content.encode())


def _link_shared(link: Path, shared: Path) -> None:
    try:
        link.symlink_to(shared)
    except FileExistsError:
        # Made before, or something of the user's own that has the name: it is theirs.
        return


def _write_enter(folder: NodeFolder, given: Rendered) -> None:
    """A script that runs a command where the node's own processes run, see `layout`."""
    lines = [f"export {name}={shlex.quote(value)}" for name, value in sorted(given.env.items())]
    script = ["#!/usr/bin/env -S -i /bin/sh", *lines, 'cd "$HOME" && exec "$@"', ""]
    files.make_folder(str(folder.enter.parent))
    files.write(str(folder.enter), "\n".join(script).encode(), mode=0o700)


def start(layout: Layout, folders: Sequence[NodeFolder]) -> None:
    """A launcher for each; returns when each is on its own. Raises Temporary when one cannot be started."""
    events = files.make_folder(str(layout.events))
    started = [(folder, _launch(folder, events)) for folder in folders]
    deadline = time.monotonic() + START_SECONDS
    for folder, process in started:
        try:
            code = process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise NotYet("LAUNCHER_SLOW", f"{folder.name} takes long to start") from None
        if code not in (0, HELD, DONE):
            said = log.last_lines(str(folder.path), name="launcher.log")
            raise NotYet("LAUNCHER_FAILED", f"{folder.name} could not be started: {said}")


def _launch(folder: NodeFolder, events: str) -> "subprocess.Popen[bytes]":
    with open(folder.path / "launcher.log", "ab", opener=files.open_private) as said:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(_LAUNCH), str(folder.path), events],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
            cwd="/",
            start_new_session=True,
        )


def observe(folder: NodeFolder) -> NodeObservation | None:
    """What is true of it now; None when it is gone, or not made yet. Raises Temporary rather than guess.

    One that was prepared and has no launcher is not made yet: whoever was at it may have been killed, and only
    a node that is missing is asked for again.
    """
    status = _current(folder)
    if status is None or not (status.ended or status.begun or locks.held(folder.lock)):
        return None
    return seen(folder, status.record)


def is_over(folder: NodeFolder) -> bool:
    """Whether it will write no more."""
    try:
        status = Status.load(str(folder.path))
    except FileNotFoundError:
        return True
    except ValueError:
        return not locks.held(folder.lock)
    return status.ended or (status.begun and not locks.held(folder.lock))


def _current(folder: NodeFolder) -> Status | None:
    try:
        status = Status.load(str(folder.path))
    except FileNotFoundError:
        if not folder.path.exists():
            return None
        status = None
    except ValueError:
        status = None
    if status and (status.ended or not status.begun):
        return status
    if not locks.held(folder.lock):
        return _bury(folder)
    if status is None:
        if launcher := processes.called_with(str(_LAUNCH), str(folder.path)):
            processes.send(*launcher, REWRITE)
        raise SiteUnknown("NODE_UNREADABLE", f"the record of {folder.name} is damaged", delay=0.5)
    return status


def _bury(folder: NodeFolder) -> Status | None:
    """Record the end of an attempt whose launcher was killed, once nothing of it is left."""
    try:
        held = locks.take(folder.lock)
    except FileNotFoundError:
        return None
    if held is None:
        raise SiteUnknown("NODE_BUSY", f"{folder.name} is just being looked after", delay=0.5)
    try:
        status = _last_known(folder)
        if status.ended or not status.begun:
            return status
        if not processes.kill_node(folder.id):
            raise NotYet("NODE_LINGERS", f"processes of {folder.name} do not end")
        reason, message = _why_lost(status)
        status.set(state="ended", reason=reason, message=message)
        status.save()
        return status
    finally:
        os.close(held)


def _last_known(folder: NodeFolder) -> Status:
    try:
        return Status.load(str(folder.path))
    except (FileNotFoundError, ValueError):
        record = {"version": 0, "stages": {}, "state": "unready", "incarnation": "unknown", "address": ""}
        return Status(str(folder.path), record)


def _why_lost(status: Status) -> tuple[str, str]:
    if status.record.get("launcher", {}).get("boot", processes.boot_id()) != processes.boot_id():
        return "MACHINE_RESTARTED", "the machine was restarted"
    return "LAUNCHER_LOST", "its launcher was killed, and it with it"


def seen(folder: NodeFolder, record: dict[str, Any]) -> NodeObservation:
    """The record in the words of the contract. Raises Temporary when it makes no sense."""
    try:
        return NodeObservation(
            cluster_id=folder.cluster.id,
            run=folder.run,
            name=folder.name,
            attempt=folder.attempt,
            version=record["version"],
            state=NodeState(record["state"]),
            incarnation=record["incarnation"],
            address=record["address"],
            reason=record.get("reason", ""),
            message=record.get("message", ""),
            exit_code=record.get("exit_code"),
            stages={name: datetime.fromisoformat(at) for name, at in record["stages"].items()},
            drain=_report(record.get("drain")),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise SiteUnknown("NODE_UNREADABLE", f"the record of {folder.name} is damaged: {error}") from error


def gone(folder: NodeFolder) -> NodeObservation:
    version = time.time_ns() // 1_000_000
    return NodeObservation(
        folder.cluster.id, folder.run, folder.name, folder.attempt, version, NodeState.GONE
    )


def _report(told: dict[str, Any] | None) -> DrainReport | None:
    return DrainReport(**{**told, "outcome": DrainOutcome(told["outcome"])}) if told else None


def tell(folder: NodeFolder, signum: int) -> bool:
    """Signal its launcher. False: there is none any more."""
    try:
        status = Status.load(str(folder.path))
    except (FileNotFoundError, ValueError):
        return False
    return status.launcher is not None and processes.send(*status.launcher, signum)


def end(layout: Layout, folder: NodeFolder, *, force: bool = False) -> bool:
    """Ask it to end, and clear it away if it has. True: nothing is left of it. The cluster is locked."""
    status = _current(folder)
    if status is None:
        return True
    if not status.ended and status.begun:
        _ask_to_end(folder, status, force=force)
        return False
    held = locks.take(folder.lock)
    if held is None:
        return False
    try:
        _clear(layout, folder)
    finally:
        os.close(held)
    notices.send(str(layout.events), str(folder.path))
    return True


def _ask_to_end(folder: NodeFolder, status: Status, *, force: bool) -> None:
    if status.launcher is None:
        return
    asked = folder.path / "killed"
    if force and asked.exists() and time.time() - asked.stat().st_mtime > 2:
        # Its launcher does not obey; what it leaves is found by its id.
        processes.send(*status.launcher, signal.SIGKILL)
        return
    if force and not asked.exists():
        files.write(str(asked), b"")
    processes.send(*status.launcher, KILL if force else STOP)


def _clear(layout: Layout, folder: NodeFolder) -> None:
    """Keep the end of its log, and nothing else but its home. Its lock is held."""
    files.make_folder(str(folder.spent.parent))
    files.write(str(folder.spent), b"")
    if kept := log.tail(str(folder.path), KEPT_LOG_BYTES):
        files.make_folder(str(folder.kept_log.parent))
        files.write(str(folder.kept_log), kept)
        _forget_old_logs(folder.kept_log.parent)
    folder.enter.unlink(missing_ok=True)
    throw_away(layout, folder.tmp)
    throw_away(layout, folder.path)


def _forget_old_logs(where: Path) -> None:
    logs = sorted(where.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in logs[KEPT_LOGS:]:
        old.unlink(missing_ok=True)
