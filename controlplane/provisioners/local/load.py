"""What nodes are working on, asked of their busy hooks: all at once, within a bound."""

import os
import signal
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait

from controlplane.provisioners.answers import count, facts
from controlplane.provisioners.base import Load
from controlplane.provisioners.local import files, locks
from controlplane.provisioners.local.layout import NodeFolder

SECONDS = 3.0
AT_ONCE = 16
BUSY, IDLE = 0, 1
UNKNOWN = Load(busy=None)


def ask(nodes: Sequence[NodeFolder]) -> dict[str, Load]:
    """By name; UNKNOWN for whom no answer came in time."""
    pool = ThreadPoolExecutor(max_workers=AT_ONCE)
    try:
        asked = {pool.submit(_ask, node): node.name for node in nodes}
        done, _ = wait(asked, timeout=SECONDS + 0.5)
        return {name: future.result() if future in done else UNKNOWN for future, name in asked.items()}
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _ask(node: NodeFolder) -> Load:
    try:
        spec = files.read_json(str(node.path / "spec.json"))
        if not spec["hooks"]["busy"] or not locks.held(node.lock):
            return UNKNOWN
        code, answer = _run(spec["hooks"]["busy"], spec["env"], spec["cwd"])
    except (OSError, ValueError, KeyError):
        return UNKNOWN
    return Load({BUSY: True, IDLE: False}.get(code), count(facts(answer).get("tasks")))


def _run(hook: str, env: dict[str, str], cwd: str) -> tuple[int, bytes]:
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
            answer, _ = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            answer, _ = process.communicate()
            return -1, answer
        return process.returncode, answer
