"""Internal keys of one run: derived when needed, stored nowhere."""

import hmac
from typing import Protocol
from uuid import UUID

from django.conf import settings


class Started(Protocol):
    """A cluster, as far as its keys go."""

    @property
    def id(self) -> UUID | str: ...

    @property
    def run(self) -> int: ...


def run_secret(cluster: Started, name: str) -> str:
    """64 hexadecimal digits, another for every cluster, run and name."""
    key = settings.INSTALLATION_KEY.encode()
    return hmac.new(key, f"run:{cluster.id}:{cluster.run}:{name}".encode(), "sha256").hexdigest()
