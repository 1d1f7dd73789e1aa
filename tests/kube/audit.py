"""What the API server was asked by whom while a test looked on."""

import os
from typing import Any

import pytest

from controlplane.provisioners.kubernetes.settings import ACCOUNTS
from deploy.devkube import audit
from deploy.devkube.settings import Devkube
from deploy.tooling.providers import KUBECONFIG

# The user agents of Slipway's own clients; those of tests are called otherwise.
OURS = tuple(f"slipway-{purpose}/" for purpose in (*ACCOUNTS, "check", "identity"))
DELETIONS = {"delete", "deletecollection"}


class Audit(audit.Audit):
    def ours(self) -> list[str]:
        """What Slipway asked, watches left out: they are told of when they end."""
        return [_told(call) for call in self.calls() if _is_ours(call) and call["verb"] != "watch"]

    def writes(self) -> list[str]:
        """What Slipway wrote, or tried to."""
        return [_told(call) for call in self.calls() if _is_ours(call) and audit.is_write(call)]

    def deletions(self, namespace: str) -> list[str]:
        """The accounts that asked for them."""
        deleted = (call for call in self.calls() if call["verb"] in DELETIONS)
        return [_told(call) for call in deleted if call.get("objectRef", {}).get("namespace") == namespace]


def _is_ours(call: dict[str, Any]) -> bool:
    return str(call.get("userAgent", "")).startswith(OURS)


def _told(call: dict[str, Any]) -> str:
    return f"{call.get('userAgent')} {call['verb']} {call['requestURI']} {call['responseStatus'].get('code')}"


def devkube_for(what: str) -> Devkube:
    """The one that the tests use, for what cannot be asked of a Kubernetes of somebody else's."""
    if named := os.environ.get(KUBECONFIG):
        pytest.skip(f"{what} needs a devkube; {KUBECONFIG} names {named}")
    return Devkube.from_environment()
