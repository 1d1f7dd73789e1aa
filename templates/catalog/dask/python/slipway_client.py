"""`client` in every notebook, connected to the cluster that the notebook belongs to.

It connects in the background while the kernel already answers; the first cell waits for it, whatever it says, because
without a client Dask would quietly compute in the notebook's own process. When the connection failed, every cell
that mentions Dask tries again.
"""

import os
import re
import threading
from concurrent.futures import Future
from typing import Any

MENTIONS = re.compile(r"\b(client|dask|da|dd|delayed|compute|persist)\b")
CONNECT_SECONDS = 30


class Connection:
    """The client of one kernel."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.future = self.start()

    def start(self) -> "Future[Any]":
        future: Future[Any] = Future()
        threading.Thread(target=self._open, args=(future,), name="dask-client", daemon=True).start()
        return future

    def before_cell(self, info: Any) -> None:
        failed = self.future.done() and self.future.exception() is not None
        if failed:
            if not MENTIONS.search(info.raw_cell or ""):
                return
            self.future = self.start()
        try:
            self.future.result()
        except Exception as error:
            print(f"No connection to the Dask cluster: {error}")

    def _open(self, future: "Future[Any]") -> None:
        try:
            client = open_client()
            self.shell.user_ns.setdefault("client", client)
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(client)


def open_client() -> Any:
    from distributed import Client

    return Client(os.environ["SLIPWAY_SCHEDULER"], timeout=CONNECT_SECONDS, name="notebook")


def load_ipython_extension(shell: Any) -> None:
    shell.events.register("pre_run_cell", Connection(shell).before_cell)
