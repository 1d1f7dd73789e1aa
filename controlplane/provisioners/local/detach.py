"""Becoming a process of its own, that outlives whoever started it and belongs to nobody's children."""

import os


def detach() -> None:
    """Return in a process that init adopts; the one that called has ended with code 0."""
    if os.fork():
        os._exit(0)
    os.setsid()
