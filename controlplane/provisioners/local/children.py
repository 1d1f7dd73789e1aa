"""Starting processes from the launcher, which has one thread and one rule: nothing it starts outlives it unseen.

Standard library only.
"""

import ctypes
import os
import signal
import time
from collections.abc import Mapping, Sequence

_SET_DEATH_SIGNAL = 1
_SET_CHILD_SUBREAPER = 36
_LIBC = ctypes.CDLL(None, use_errno=True)
_LONGEST_ANSWER = 64 * 1024


def adopt_orphans() -> None:
    """From now on whatever loses its parent below this process becomes its child, see prctl(2)."""
    _prctl(_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """This process is killed when the thread that started it ends, see prctl(2)."""
    _prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)


def spawn(argv: Sequence[str], env: Mapping[str, str], cwd: str, output: int) -> int:
    """The pid of a new process in a session of its own. Raises OSError when it cannot be executed."""
    seen, report = os.pipe()
    parent = os.getpid()
    try:
        pid = os.fork()
    except OSError:
        os.close(seen)
        os.close(report)
        raise
    if pid == 0:
        _become(argv, env, cwd, output, report, parent)
    os.close(report)
    with os.fdopen(seen, "rb") as pipe:
        trouble = pipe.read()
    if trouble:
        os.waitpid(pid, 0)
        raise OSError(int(trouble), os.strerror(int(trouble)), argv[0])
    return pid


def _become(
    argv: Sequence[str], env: Mapping[str, str], cwd: str, output: int, report: int, parent: int
) -> None:
    """In the forked child: turn into the command, or tell through `report` why not. Never returns."""
    try:
        os.setsid()
        die_with_parent()
        if os.getppid() != parent:
            os._exit(1)
        for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(ignored, signal.SIG_DFL)
        os.umask(0o077)
        os.chdir(cwd)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.execvpe(argv[0], list(argv), dict(env))  # noqa: S606 - there is no shell, on purpose
    except OSError as error:
        os.write(report, str(error.errno).encode())
    finally:
        os._exit(127)


def _prctl(option: int, value: int) -> None:
    if _LIBC.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class HookRun:
    """One run of a hook, cut off after `seconds`. `code` is None until it has ended, and if it was cut off."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], cwd: str, seconds: float) -> None:
        self.began = time.monotonic()
        self.deadline = self.began + seconds
        self.source, sink = os.pipe()
        os.set_blocking(self.source, False)
        self.answer = b""
        self.code: int | None = None
        self.over = False
        try:
            self.pid = spawn(argv, env, cwd, sink)
        except OSError as error:
            self.pid, self.over = 0, True
            self.answer, self.code = str(error).encode(), 126
            os.close(self.source)
        finally:
            os.close(sink)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def read(self) -> None:
        while True:
            try:
                chunk = os.read(self.source, 8192)
            except BlockingIOError:
                return
            if not chunk:
                return
            if len(self.answer) < _LONGEST_ANSWER:
                self.answer += chunk

    def reaped(self, wait_status: int) -> None:
        self.code = os.waitstatus_to_exitcode(wait_status)
        self._end()

    def cut_off(self) -> None:
        """Too late, or not wanted any more. Its remains are reaped like any orphan's."""
        if not self.over:
            os.killpg(self.pid, signal.SIGKILL)
            self._end()

    def _end(self) -> None:
        self.read()
        os.close(self.source)
        self.over = True
