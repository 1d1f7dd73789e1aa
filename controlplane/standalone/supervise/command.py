"""A program to be run as a child that must not outlive us."""

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
    """Have the kernel send us this signal when our parent dies from now on."""
    _libc.prctl(PR_SET_PDEATHSIG, int(number))


def die_with_parent(number: signal.Signals, *, niceness: int = 0) -> Callable[[], None]:
    """What a child does between fork and exec so that the kernel ends it when this process dies.

    It has to come after a change of user, which clears the setting.
    """
    parent = os.getpid()

    def enter() -> None:
        end_with_parent(number)
        if os.getppid() != parent:
            os._exit(1)
        os.nice(niceness)

    return enter


@dataclass(frozen=True, slots=True)
class Command:
    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: Path
    owner: Owner | None = None
    """The user to run as; None is our own."""
    death_signal: signal.Signals = signal.SIGTERM
    niceness: int = 0

    def start(self, *, output: int) -> subprocess.Popen[bytes]:
        """Start it in a session of its own, so that a terminal's Ctrl-C reaches us alone.

        `output` is the file descriptor that takes stdout and stderr.
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
            # Safe here: the processes that use it have one thread.
            preexec_fn=die_with_parent(self.death_signal, niceness=self.niceness),
        )
