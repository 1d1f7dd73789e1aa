"""What the API server was asked, and by whom, as its own log tells it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Call = dict[str, Any]

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
# Asked by POST, and nothing is written: what an account may do.
REVIEWS = "authorization.k8s.io"


class Audit:
    """The calls that were answered since `begin`."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.begin()

    def begin(self) -> None:
        self._from = self.log.stat().st_size

    def calls(self) -> Iterator[Call]:
        """Raises RuntimeError when the log was begun anew meanwhile."""
        if self.log.stat().st_size < self._from:
            raise RuntimeError(f"{self.log} was begun anew")
        with self.log.open("rb") as log:
            log.seek(self._from)
            for line in log:
                # The last one may be just being written.
                if line.endswith(b"\n") and (call := json.loads(line))["stage"] == "ResponseComplete":
                    yield call


def is_write(call: Call) -> bool:
    return call["verb"] in WRITES and call["objectRef"].get("apiGroup") != REVIEWS
