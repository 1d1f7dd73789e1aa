"""Hearing of what comes by itself, without being deaf to everything else in between."""

import queue
import threading
from collections.abc import Callable, Generator
from typing import Protocol, TypeVar

T = TypeVar("T", covariant=True)
S = TypeVar("S")

WAITING_PIECES = 256


class Source(Protocol[T]):
    """An iterator whose `close`, called from another thread, ends a `next` that waits."""

    def __next__(self) -> T: ...

    def close(self) -> None: ...


def heard(source: Source[S], pause: Callable[[], float]) -> Generator[S | None, None, None]:
    """What the source gives, and None whenever it gave none for `pause` seconds; ends, and fails, with it.

    Who stops listening closes the source, and the thread that reads it ends.
    """
    box: queue.Queue[S | BaseException] = queue.Queue(WAITING_PIECES)
    left = threading.Event()
    reader = threading.Thread(target=_read, args=(source, box, left), name="hearing", daemon=True)
    reader.start()
    try:
        while True:
            try:
                piece = box.get(timeout=pause())
            except queue.Empty:
                yield None
                continue
            if isinstance(piece, StopIteration):
                return
            if isinstance(piece, BaseException):
                raise piece
            yield piece
    finally:
        left.set()
        source.close()


def _read(source: Source[S], box: "queue.Queue[S | BaseException]", left: threading.Event) -> None:
    piece: S | BaseException
    while not left.is_set():
        try:
            piece = next(source)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the one who listens gets it
            piece = error
        while not left.is_set():
            try:
                box.put(piece, timeout=0.5)
                break
            except queue.Full:
                continue
        if isinstance(piece, BaseException):
            return
