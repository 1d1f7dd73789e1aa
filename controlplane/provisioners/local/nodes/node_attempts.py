"""One attempt at a node: its folder is made whole, its launcher started, observed and signalled, then cleared away."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
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
from controlplane.provisioners.local.launcher import file_locks, node_log, notifications
from controlplane.provisioners.local.launcher import start as launcher_program
from controlplane.provisioners.local.launcher.children import kill_node
from controlplane.provisioners.local.launcher.launcher import KILL, REWRITE, STOP
from controlplane.provisioners.local.launcher.status import Status
from controlplane.provisioners.local.layout import Layout, NodeFolder
from controlplane.provisioners.local.nodes.trash import throw_away
from controlplane.provisioners.node_environment import Rendered
from controlplane.system import files, processes

START_SECONDS = 4.0
# A launcher that has not killed its node this long after the request is killed itself.
KILL_SECONDS = 2.0
KEPT_LOG_BYTES = 1024 * 1024
KEPT_LOGS = 40
# It is in the command line of every launcher, where `_current_status` looks for it.
_START = str(Path(launcher_program.__file__).resolve())


def prepare(folder: NodeFolder, spec: dict[str, Any], rendered: Rendered, shared: Path) -> None:
    """Make the folder with everything that a launcher needs. It gets its final name last, once it is complete."""
    draft = folder.path.with_name(f".{folder.path.name}.{os.urandom(4).hex()}")
    for path in (draft, draft / "conf", draft / "work", folder.home, folder.tmp):
        files.make_folder(path)
    # What exists is the link of an earlier attempt, or a file of the user's own with this name, which stays.
    with suppress(FileExistsError):
        (folder.home / "shared").symlink_to(shared)
    for name, content in rendered.files.items():
        write_conf(draft / "conf" / name, content)
    files.write_json(draft / "spec.json", spec)
    files.write(draft / "lock", b"")
    Status.new(str(draft), address=spec["address"]).save()
    _write_enter_script(folder, rendered)
    draft.rename(folder.path)


def write_conf(path: Path, content: str) -> None:
    files.make_folder(path.parent)
    files.write(path, content.encode())


def _write_enter_script(folder: NodeFolder, rendered: Rendered) -> None:
    """The script runs a command with the environment of the node's own processes, see `layout`."""
    lines = [f"export {name}={shlex.quote(value)}" for name, value in sorted(rendered.env.items())]
    script = ["#!/usr/bin/env -S -i /bin/sh", *lines, 'cd "$HOME" && exec "$@"', ""]
    files.make_folder(folder.enter.parent)
    files.write(folder.enter, "\n".join(script).encode(), mode=0o700)


def start(layout: Layout, folders: Sequence[NodeFolder]) -> None:
    """Start a launcher for each, and return when all run detached. Starting one twice does no harm.

    Raises NotYet LAUNCHER_SLOW or LAUNCHER_FAILED.
    """
    events = files.make_folder(layout.events)
    started = [(folder, _start_launcher(folder, events)) for folder in folders]
    deadline = time.monotonic() + START_SECONDS
    for folder, process in started:
        try:
            code = process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise NotYet("LAUNCHER_SLOW", f"{folder.name} takes long to start") from None
        if code not in (0, launcher_program.LOCKED, launcher_program.ALREADY_STARTED):
            output = node_log.last_lines(str(folder.path), name="launcher.log")
            raise NotYet("LAUNCHER_FAILED", f"{folder.name} could not be started: {output}")


def _start_launcher(folder: NodeFolder, events: str) -> "subprocess.Popen[bytes]":
    with open(folder.path / "launcher.log", "ab", opener=files.open_private) as output:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", _START, str(folder.path), events],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
            cwd="/",
            start_new_session=True,
        )


def observe(folder: NodeFolder) -> NodeObservation | None:
    """What is true of this attempt now; None when it does not exist. Raises SiteUnknown rather than guess.

    A prepared attempt without a launcher does not exist: the worker that prepared it may have been killed, and the
    reconciler asks again only for nodes that are missing.
    """
    status = _current_status(folder)
    if status is None or not (status.ended or status.started or file_locks.is_locked(folder.lock)):
        return None
    return to_observation(folder, status.record)


def is_over(folder: NodeFolder) -> bool:
    """Whether this attempt has written the last byte of its log."""
    try:
        status = Status.load(str(folder.path))
    except FileNotFoundError:
        return True
    except ValueError:
        return not file_locks.is_locked(folder.lock)
    return status.ended or (status.started and not file_locks.is_locked(folder.lock))


def _current_status(folder: NodeFolder) -> Status | None:
    """The record, after the end of a killed launcher was recorded in it. None when the attempt does not exist."""
    try:
        status = Status.load(str(folder.path))
    except FileNotFoundError:
        if not folder.path.exists():
            return None
        status = None
    except ValueError:
        status = None
    if status and (status.ended or not status.started):
        return status
    if not file_locks.is_locked(folder.lock):
        return _record_lost_launcher(folder)
    if status is None:
        if launcher := processes.with_arguments(_START, str(folder.path)):
            processes.send_signal(launcher, REWRITE)
        raise SiteUnknown("NODE_UNREADABLE", f"the record of {folder.name} is damaged", delay=0.5)
    return status


def _record_lost_launcher(folder: NodeFolder) -> Status | None:
    """Record the end of an attempt whose launcher was killed, after all its processes are dead."""
    try:
        lock = file_locks.acquire(folder.lock)
    except FileNotFoundError:
        return None
    if lock is None:
        raise SiteUnknown("NODE_BUSY", f"another process is recording the end of {folder.name}", delay=0.5)
    try:
        try:
            status = Status.load(str(folder.path))
        except (FileNotFoundError, ValueError):
            record = {"version": 0, "stages": {}, "state": "unready", "incarnation": "unknown", "address": ""}
            status = Status(str(folder.path), record)
        if status.ended or not status.started:
            return status
        if not kill_node(folder.id):
            raise NotYet("NODE_LINGERS", f"processes of {folder.name} do not end")
        if status.launcher and status.launcher.boot_id != processes.boot_id():
            reason, message = "MACHINE_RESTARTED", "the machine was restarted"
        else:
            reason, message = "LAUNCHER_LOST", "its launcher was killed, and the node with it"
        status.set(state="ended", reason=reason, message=message)
        status.save()
        return status
    finally:
        os.close(lock)


def to_observation(folder: NodeFolder, record: dict[str, Any]) -> NodeObservation:
    """The content of status.json as an observation. Raises SiteUnknown NODE_UNREADABLE when it is damaged."""
    try:
        drain = record.get("drain")
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
            drain=DrainReport(**{**drain, "outcome": DrainOutcome(drain["outcome"])}) if drain else None,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise SiteUnknown("NODE_UNREADABLE", f"the record of {folder.name} is damaged: {error}") from error


def gone(folder: NodeFolder) -> NodeObservation:
    """An observation of an attempt whose folder no longer exists."""
    version = time.time_ns() // 1_000_000
    return NodeObservation(
        folder.cluster.id, folder.run, folder.name, folder.attempt, version, NodeState.GONE
    )


def signal_launcher(folder: NodeFolder, signum: int) -> bool:
    """Returns False when the launcher is dead."""
    try:
        status = Status.load(str(folder.path))
    except (FileNotFoundError, ValueError):
        return False
    return status.launcher is not None and processes.send_signal(status.launcher, signum)


def end(layout: Layout, folder: NodeFolder, *, force: bool = False) -> bool:
    """Ask the attempt to end, or clear it away if it has ended. The caller holds the cluster's lock.

    force: without grace. Returns True when nothing of it is left.
    """
    status = _current_status(folder)
    if status is None:
        return True
    if status.started and not status.ended:
        _request_end(folder, status, force=force)
        return False
    lock = file_locks.acquire(folder.lock)
    if lock is None:
        return False
    try:
        _clear_away(layout, folder)
    finally:
        os.close(lock)
    notifications.send(str(layout.events), str(folder.path))
    return True


def _request_end(folder: NodeFolder, status: Status, *, force: bool) -> None:
    if status.launcher is None:
        return
    kill_requested = folder.path / "killed"
    if force and kill_requested.exists() and time.time() - kill_requested.stat().st_mtime > KILL_SECONDS:
        # The launcher does not react. Once it is dead, its processes are found by the node's id and killed.
        processes.send_signal(status.launcher, signal.SIGKILL)
        return
    if force and not kill_requested.exists():
        files.write(kill_requested, b"")
    processes.send_signal(status.launcher, KILL if force else STOP)


def _clear_away(layout: Layout, folder: NodeFolder) -> None:
    """Remove everything but the node's home and the end of its log. The caller holds the attempt's lock."""
    files.make_folder(folder.cleared_marker.parent)
    files.write(folder.cleared_marker, b"")
    if kept := node_log.tail(str(folder.path), KEPT_LOG_BYTES):
        files.make_folder(folder.kept_log.parent)
        files.write(folder.kept_log, kept)
        logs = sorted(folder.kept_log.parent.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        for old in logs[KEPT_LOGS:]:
            old.unlink(missing_ok=True)
    folder.enter.unlink(missing_ok=True)
    throw_away(layout, folder.tmp)
    throw_away(layout, folder.path)
