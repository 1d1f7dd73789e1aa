"""Reads a blocking source in a thread of its own, so that its consumer gets regular control in between."""

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


def with_heartbeat(source: Source[S], pause: Callable[[], float]) -> Generator[S | None, None, None]:
    """The items of the source, and None whenever there was no item for `pause` seconds.

    Ends with the source and raises its errors. When the consumer stops, the source is closed and its thread ends.
    """
    items: queue.Queue[S | BaseException] = queue.Queue(WAITING_PIECES)
    stopped = threading.Event()
    reader = threading.Thread(target=_read, args=(source, items, stopped), name="heartbeat", daemon=True)
    reader.start()
    try:
        while True:
            try:
                item = items.get(timeout=pause())
            except queue.Empty:
                yield None
                continue
            if isinstance(item, StopIteration):
                return
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        source.close()


def _read(source: Source[S], items: "queue.Queue[S | BaseException]", stopped: threading.Event) -> None:
    item: S | BaseException
    while not stopped.is_set():
        try:
            item = next(source)
        except BaseException as error:  # noqa: BLE001 - raised again in the consumer's thread
            item = error
        while not stopped.is_set():
            try:
                items.put(item, timeout=0.5)
                break
            except queue.Full:
                continue
        if isinstance(item, BaseException):
            return
