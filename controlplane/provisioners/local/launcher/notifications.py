"""Notifications from launchers: one datagram with the path of the node's folder that changed.

Every listener has a socket in the site's events folder. A notification is lost when no socket exists. It says that
something changed, never what: the listener reads the node's record.
"""

import errno
import os
import socket
from contextlib import suppress

SUFFIX = ".sock"


def send(folder: str, text: str) -> bool:
    """Send `text` to every listener in `folder`. Never raises.

    Returns False when the queue of a listener is full, so that the caller sends it again later.
    """
    try:
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            names = [name for name in os.listdir(opened) if name.endswith(SUFFIX)]
            if not names:
                return True
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                delivered = [_send(sender, opened, name, text.encode()) for name in names]
                return all(delivered)
        finally:
            os.close(opened)
    except OSError:
        # A reconcile pass finds the change anyway; a node must not fail because a notification does.
        return True


def listen(folder: str) -> tuple[socket.socket, str]:
    """A non-blocking socket that receives the notifications from now on, and its path."""
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
        # The listener died and left its socket behind.
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)
    except OSError as error:
        return error.errno != errno.ENOBUFS
    return True


def _address(folder: int, name: str) -> str:
    # The path of a socket may have 107 bytes; this form is short wherever the site's folder is.
    return f"/proc/self/fd/{folder}/{name}"
