"""Starts processes from the launcher, which has one thread. No process that it starts outlives it unnoticed."""

import ctypes
import os
import signal
import time
from collections.abc import Mapping, Sequence

from controlplane.system.processes import kill_with_variable

# In the environment of every process of a node: the node's id, see `NodeFolder.id`.
NODE_VARIABLE = "SLIPWAY_NODE"
# Options of prctl(2).
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LIBC = ctypes.CDLL(None, use_errno=True)
_MAX_HOOK_OUTPUT_BYTES = 64 * 1024


def kill_node(node_id: str) -> bool:
    """Kill every process of this node. Returns False while some are left."""
    return kill_with_variable(NODE_VARIABLE, node_id)


def adopt_orphans() -> None:
    """Make this process the parent of every descendant that loses its own parent, see prctl(2)."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it ends, see prctl(2)."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def spawn(argv: Sequence[str], env: Mapping[str, str], cwd: str, output: int) -> int:
    """Start a process in a session of its own; `output` is its stdout and stderr. Returns its pid.

    Raises OSError when the program cannot be executed.
    """
    source, report = os.pipe()
    parent = os.getpid()
    try:
        pid = os.fork()
    except OSError:
        os.close(source)
        os.close(report)
        raise
    if pid == 0:
        _execute(argv, env, cwd, output, report, parent)
    os.close(report)
    with os.fdopen(source, "rb") as pipe:
        error_number = pipe.read()
    if error_number:
        os.waitpid(pid, 0)
        raise OSError(int(error_number), os.strerror(int(error_number)), argv[0])
    return pid


def _execute(
    argv: Sequence[str], env: Mapping[str, str], cwd: str, output: int, report: int, parent: int
) -> None:
    """Replace the forked child by the program, or write the error number to `report`. Never returns."""
    try:
        os.setsid()
        die_with_parent()
        if os.getppid() != parent:
            os._exit(1)
        # Python ignores these two; programs expect the default.
        for signum in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(signum, signal.SIG_DFL)
        os.umask(0o077)
        os.chdir(cwd)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.execvpe(argv[0], list(argv), dict(env))  # noqa: S606 - without a shell on purpose
    except OSError as error:
        os.write(report, str(error.errno).encode())
    finally:
        os._exit(127)


def _prctl(option: int, value: int) -> None:
    if _LIBC.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class HookRun:
    """One run of a hook with a deadline, `seconds` from now. exit_code: None while it runs, and after `cut_off`."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], cwd: str, seconds: float) -> None:
        self.started_at = time.monotonic()
        self.deadline = self.started_at + seconds
        self.source, sink = os.pipe()
        os.set_blocking(self.source, False)
        self.output = b""
        self.exit_code: int | None = None
        self.over = False
        try:
            self.pid = spawn(argv, env, cwd, sink)
        except OSError as error:
            self.pid, self.over = 0, True
            self.output, self.exit_code = str(error).encode(), 126
            os.close(self.source)
        finally:
            os.close(sink)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started_at

    def read(self) -> None:
        """Take what the hook has written so far, up to 64 KiB in all."""
        while True:
            try:
                chunk = os.read(self.source, 8192)
            except BlockingIOError:
                return
            if not chunk:
                return
            if len(self.output) < _MAX_HOOK_OUTPUT_BYTES:
                self.output += chunk

    def reaped(self, wait_status: int) -> None:
        self.exit_code = os.waitstatus_to_exitcode(wait_status)
        self._close()

    def cut_off(self) -> None:
        """Kill the hook if it still runs. The launcher reaps its processes as it reaps orphans."""
        if not self.over:
            os.killpg(self.pid, signal.SIGKILL)
            self._close()

    def _close(self) -> None:
        self.read()
        os.close(self.source)
        self.over = True
