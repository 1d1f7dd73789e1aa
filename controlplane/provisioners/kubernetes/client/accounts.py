"""The accounts of a site, each with a client of its own, so that no part of Slipway has more rights than it needs."""

import threading
from collections.abc import Mapping, Sequence
from typing import Protocol

from controlplane.provisioners.kubernetes.client import exec as executing
from controlplane.provisioners.kubernetes.client.client import Client, VerifyIdentity
from controlplane.provisioners.kubernetes.client.exec import ExecResult
from controlplane.provisioners.kubernetes.settings import SiteSettings


class Accounts(Protocol):
    def client(self, account: str) -> Client:
        """account: one of settings.ACCOUNTS."""

    def run(self, namespace: str, pod: str, command: Sequence[str], *, seconds: float) -> ExecResult:
        """Run a command in the node container of a pod. Raises Temporary."""


class Clients:
    """Creates each client when it is first needed. verify_identity: account -> check of its connections, see Client."""

    def __init__(
        self, settings: SiteSettings, verify_identity: Mapping[str, VerifyIdentity] | None = None
    ) -> None:
        self._settings, self._verify_identity = settings, verify_identity or {}
        self._made: dict[str, Client] = {}
        self._lock = threading.Lock()

    def client(self, account: str) -> Client:
        with self._lock:
            if account not in self._made:
                reach, verify = self._settings.reach(account), self._verify_identity.get(account)
                self._made[account] = Client(reach, purpose=account, verify_identity=verify)
            return self._made[account]

    def run(self, namespace: str, pod: str, command: Sequence[str], *, seconds: float) -> ExecResult:
        return executing.run(self.client("exec"), namespace, pod, command, seconds=seconds)
