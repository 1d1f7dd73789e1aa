"""The accounts of a site, each with a client of its own: no part of ours can do more than its account may."""

import threading
from collections.abc import Mapping, Sequence
from typing import Protocol

from controlplane.provisioners.kubernetes.client import exec as executing
from controlplane.provisioners.kubernetes.client.client import Client, Vouch
from controlplane.provisioners.kubernetes.client.exec import Ran
from controlplane.provisioners.kubernetes.settings import SiteSettings


class Accounts(Protocol):
    def client(self, account: str) -> Client:
        """account: one of settings.ACCOUNTS."""

    def run(self, namespace: str, pod: str, command: Sequence[str], *, seconds: float) -> Ran:
        """Run a command in a pod's node. Raises Temporary."""


class Clients:
    """Made when they are first needed. vouch: by account, see Client."""

    def __init__(self, settings: SiteSettings, vouch: Mapping[str, Vouch] | None = None) -> None:
        self._settings, self._vouch = settings, vouch or {}
        self._made: dict[str, Client] = {}
        self._lock = threading.Lock()

    def client(self, account: str) -> Client:
        with self._lock:
            if account not in self._made:
                self._made[account] = self._client(account)
            return self._made[account]

    def _client(self, account: str) -> Client:
        return Client(self._settings.reach(account), purpose=account, vouch=self._vouch.get(account))

    def run(self, namespace: str, pod: str, command: Sequence[str], *, seconds: float) -> Ran:
        return executing.run(self.client("exec"), namespace, pod, command, seconds=seconds)
