"""What the API server was asked, and by whom, as its own log tells it."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controlplane.provisioners.kubernetes.settings import ACCOUNTS
from controlplane.standalone.testing import KUBECONFIG
from deploy.devkube.settings import Devkube

# The user agents of Slipway's own clients; those of tests are called otherwise.
OURS = tuple(f"slipway-{purpose}/" for purpose in (*ACCOUNTS, "check", "identity"))
WRITES = {"create", "update", "patch", "delete", "deletecollection"}
DELETIONS = {"delete", "deletecollection"}
# Asked by POST, and nothing is written: what an account may do.
REVIEWS = "authorization.k8s.io"


class Audit:
    """The calls that were answered since `begin`."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self.begin()

    def begin(self) -> None:
        self._from = self._log.stat().st_size

    def ours(self) -> list[str]:
        """What Slipway asked, watches left out: they are told of when they end."""
        return [_told(call) for call in self._calls() if _is_ours(call) and call["verb"] != "watch"]

    def writes(self) -> list[str]:
        """What Slipway wrote, or tried to."""
        written = (call for call in self._calls() if _is_ours(call) and call["verb"] in WRITES)
        return [_told(call) for call in written if call["objectRef"].get("apiGroup") != REVIEWS]

    def deletions(self, namespace: str) -> list[str]:
        """Whoever asked for them."""
        deleted = (call for call in self._calls() if call["verb"] in DELETIONS)
        return [_told(call) for call in deleted if call.get("objectRef", {}).get("namespace") == namespace]

    def _calls(self) -> Iterator[dict[str, Any]]:
        assert self._log.stat().st_size >= self._from, "the log was begun anew meanwhile"
        with self._log.open("rb") as log:
            log.seek(self._from)
            for line in log:
                # The last one may be just being written.
                if line.endswith(b"\n") and (call := json.loads(line))["stage"] == "ResponseComplete":
                    yield call


def _is_ours(call: dict[str, Any]) -> bool:
    return str(call.get("userAgent", "")).startswith(OURS)


def _told(call: dict[str, Any]) -> str:
    return f"{call.get('userAgent')} {call['verb']} {call['requestURI']} {call['responseStatus'].get('code')}"


def devkube_for(what: str) -> Devkube:
    """The one that the tests use, for what cannot be asked of a Kubernetes of somebody else's."""
    if named := os.environ.get(KUBECONFIG):
        pytest.skip(f"{what} needs a devkube; {KUBECONFIG} names {named}")
    return Devkube.from_environment()
