"""Reads the audit log of the API server: which requests came, and from which user."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Call = dict[str, Any]

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
# A review of permissions is a POST that writes nothing.
REVIEWS = "authorization.k8s.io"


class Audit:
    """The requests that were answered since `begin`."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.begin()

    def begin(self) -> None:
        self._from = self.log.stat().st_size

    def calls(self) -> Iterator[Call]:
        """Raises RuntimeError when the log was rotated meanwhile."""
        if self.log.stat().st_size < self._from:
            raise RuntimeError(f"{self.log} was rotated")
        with self.log.open("rb") as log:
            log.seek(self._from)
            for line in log:
                # The last line may be incomplete.
                if line.endswith(b"\n") and (call := json.loads(line))["stage"] == "ResponseComplete":
                    yield call


def is_write(call: Call) -> bool:
    return call["verb"] in WRITES and call["objectRef"].get("apiGroup") != REVIEWS
