"""The calls that clients made to the API server during a test, from its audit log."""

import os
from typing import Any

import pytest

from controlplane.provisioners.kubernetes.settings import ACCOUNTS
from deploy.devkube import audit
from deploy.devkube.settings import Devkube
from deploy.tooling.providers import KUBECONFIG

# The user agents of Slipway's own clients; clients of tests use other ones.
OURS = tuple(f"slipway-{purpose}/" for purpose in (*ACCOUNTS, "check", "identity"))
DELETIONS = {"delete", "deletecollection"}


class Audit(audit.Audit):
    def ours(self) -> list[str]:
        """The calls of Slipway. Watches are excluded, because they are logged only when they end."""
        return [_line(call) for call in self.calls() if _is_ours(call) and call["verb"] != "watch"]

    def writes(self) -> list[str]:
        """The writes of Slipway, including refused ones."""
        return [_line(call) for call in self.calls() if _is_ours(call) and audit.is_write(call)]

    def deletions(self, namespace: str) -> list[str]:
        """The deletions in a namespace, by any client."""
        deleted = (call for call in self.calls() if call["verb"] in DELETIONS)
        return [_line(call) for call in deleted if call.get("objectRef", {}).get("namespace") == namespace]


def _is_ours(call: dict[str, Any]) -> bool:
    return str(call.get("userAgent", "")).startswith(OURS)


def _line(call: dict[str, Any]) -> str:
    return f"{call.get('userAgent')} {call['verb']} {call['requestURI']} {call['responseStatus'].get('code')}"


def devkube_for(what: str) -> Devkube:
    """The devkube that the tests use. Skips the test when they use a Kubernetes of somebody else."""
    if named := os.environ.get(KUBECONFIG):
        pytest.skip(f"{what} needs a devkube; {KUBECONFIG} names {named}")
    return Devkube.from_environment()
