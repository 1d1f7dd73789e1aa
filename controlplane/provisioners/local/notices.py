"""News from launchers to whoever listens: one datagram, the folder that changed. Standard library only.

Every listener has a socket in one folder of the site. News is lost when nobody listens; what is told is only that
something changed, never what.
"""

import errno
import os
import socket

SUFFIX = ".sock"


def send(folder: str, text: str) -> bool:
    """Tell all listeners in `folder`. False: one of them is too busy now and should be told again. Never raises."""
    try:
        return _send_to_all(folder, text)
    except OSError:
        # Whoever needs to know looks for itself; no node may suffer from news that cannot be told.
        return True


def _send_to_all(folder: str, text: str) -> bool:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        names = [name for name in os.listdir(opened) if name.endswith(SUFFIX)]
        if not names:
            return True
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            taken = [_send(sender, opened, name, text.encode()) for name in names]
            return all(taken)
    finally:
        os.close(opened)


def listen(folder: str) -> tuple[socket.socket, str]:
    """A socket that hears the news from now on, and its path."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        name = f"{os.getpid()}-{os.urandom(4).hex()}{SUFFIX}"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024 * 1024)
        listener.setblocking(False)
        listener.bind(_address(opened, name))
    finally:
        os.close(opened)
    return listener, os.path.join(folder, name)


def _send(sender: socket.socket, folder: int, name: str, data: bytes) -> bool:
    try:
        sender.sendto(data, _address(folder, name))
    except BlockingIOError:
        return False
    except ConnectionRefusedError:
        # Its listener is gone without a word.
        _forget(folder, name)
    except OSError as error:
        return error.errno != errno.ENOBUFS
    return True


def _forget(folder: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return


def _address(folder: int, name: str) -> str:
    # The path of a socket has room for 107 bytes; this one is short wherever the site lies.
    return f"/proc/self/fd/{folder}/{name}"
