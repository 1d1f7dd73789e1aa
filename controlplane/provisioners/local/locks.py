"""Locks that end with their holder, however it ends. Standard library only: launchers use it.

They belong to the open file, so a fork shares them and an exec drops them, and asking who holds one disturbs nobody.
"""

import fcntl
import os
import struct

# struct flock of 64-bit Linux: type, whence, start, length, pid.
_LAYOUT = "hhqqi4x"


def take(path: str) -> int | None:
    """The open file that holds the lock from now on, or None when somebody else does."""
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


def held(path: str) -> bool:
    """Whether anybody holds the lock now."""
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
    return struct.pack(_LAYOUT, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
