"""Locks on files. The kernel releases a lock when its process ends, however it ends.

They are "open file description" locks, see fcntl_locking(2): a forked child shares them, a program that is executed
loses them, and asking whether a file is locked does not disturb its owner.
"""

import fcntl
import os
import struct

# struct flock of 64-bit Linux: type, whence, start, length, pid.
_FLOCK = "hhqqi4x"


def acquire(path: str) -> int | None:
    """Lock the file, and create it if need be. Returns the open file that owns the lock; None when it is locked."""
    opened = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.fcntl(opened, fcntl.F_OFD_SETLK, _whole_file())
    except BlockingIOError:
        os.close(opened)
        return None
    except BaseException:
        os.close(opened)
        raise
    return opened


def is_locked(path: str) -> bool:
    """Whether some process, this one included, holds the lock. False when there is no such file."""
    try:
        opened = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        answer = fcntl.fcntl(opened, fcntl.F_OFD_GETLK, _whole_file())
        return bool(struct.unpack_from("h", answer)[0] != fcntl.F_UNLCK)
    finally:
        os.close(opened)


def _whole_file() -> bytes:
    return struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
