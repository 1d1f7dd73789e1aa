"""Starts a program as a child process that ends when this process ends."""

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from controlplane.standalone.installation.owner import Owner

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def end_with_parent(number: signal.Signals) -> None:
    """Make the kernel send this process the signal when its parent dies."""
    _libc.prctl(PR_SET_PDEATHSIG, int(number))


def die_with_parent(number: signal.Signals, *, niceness: int = 0) -> Callable[[], None]:
    """Returns a preexec_fn: the kernel sends the child this signal when the current process dies.

    It has to run after a change of the user, which clears the setting; subprocess does it in this order.
    """
    parent = os.getpid()

    def enter() -> None:
        end_with_parent(number)
        if os.getppid() != parent:
            os._exit(1)
        os.nice(niceness)

    return enter


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: Path
    owner: Owner | None = None
    """The user to run as; None is the current one."""
    death_signal: signal.Signals = signal.SIGTERM
    niceness: int = 0

    def start(self, *, output: int) -> subprocess.Popen[bytes]:
        """Start it in a session of its own, so that Ctrl-C of a terminal reaches only the supervisor.

        output: the file descriptor for stdout and stderr.
        """
        return subprocess.Popen(
            list(self.argv),
            env=dict(self.env),
            cwd=self.cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            user=self.owner.uid if self.owner else None,
            group=self.owner.gid if self.owner else None,
            extra_groups=[] if self.owner else None,
            # preexec_fn is unsafe beside other threads; the processes that call this have one.
            preexec_fn=die_with_parent(self.death_signal, niceness=self.niceness),
        )
