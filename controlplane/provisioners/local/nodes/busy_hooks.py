"""Runs the busy hooks of nodes, in parallel and with a limit of a few seconds, to learn what the nodes work on."""

import os
import signal
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait

from controlplane.provisioners.base import Load
from controlplane.provisioners.hook_output import count_or_none, last_json_object
from controlplane.provisioners.local.launcher import file_locks
from controlplane.provisioners.local.layout import NodeFolder
from controlplane.system import files

HOOK_SECONDS = 3.0
MAX_PARALLEL = 16
# Exit codes of a busy hook.
BUSY, IDLE = 0, 1
UNKNOWN = Load(busy=None)


def read_loads(nodes: Sequence[NodeFolder]) -> dict[str, Load]:
    """Node name -> load; UNKNOWN where no answer came in time."""
    pool = ThreadPoolExecutor(max_workers=MAX_PARALLEL)
    try:
        futures = {pool.submit(_read_load, node): node.name for node in nodes}
        done, _ = wait(futures, timeout=HOOK_SECONDS + 0.5)
        return {name: future.result() if future in done else UNKNOWN for future, name in futures.items()}
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _read_load(node: NodeFolder) -> Load:
    try:
        spec = files.read_json(node.path / "spec.json")
        if not spec["hooks"]["busy"] or not file_locks.is_locked(node.lock):
            return UNKNOWN
        code, output = _run(spec["hooks"]["busy"], spec["env"], spec["cwd"])
    except (OSError, ValueError, KeyError):
        return UNKNOWN
    return Load({BUSY: True, IDLE: False}.get(code), count_or_none(last_json_object(output).get("tasks")))


def _run(hook: str, env: dict[str, str], cwd: str) -> tuple[int, bytes]:
    """Returns the exit code and stdout; -1 when the hook was killed because it took too long."""
    with subprocess.Popen(
        [hook],
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=HOOK_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            return -1, output
        return process.returncode, output
