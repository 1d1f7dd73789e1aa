"""Internal keys of one run: derived when needed, stored nowhere."""

import hmac
from typing import Protocol
from uuid import UUID

from django.conf import settings

from templates.schema import App


class Started(Protocol):
    """A cluster, as far as its keys go."""

    @property
    def id(self) -> UUID | str: ...

    @property
    def run(self) -> int: ...

    @property
    def link_version(self) -> int: ...


def run_secret(cluster: Started, name: str) -> str:
    """64 hexadecimal digits, different for every cluster, run and name. Nodes of a run share it until the run ends."""
    return _derived(f"run:{cluster.id}:{cluster.run}:{name}")


def page_secret(cluster: Started, name: str) -> str:
    """As `run_secret`, and different for every version of the cluster's links."""
    version = f":{cluster.link_version}" if cluster.link_version else ""
    return _derived(f"run:{cluster.id}:{cluster.run}:{name}{version}")


def keys_of(cluster: Started, app: App) -> dict[str, str]:
    """Every secret that the app asks for, by name."""
    pages = app.page_secrets
    return {name: (page_secret if name in pages else run_secret)(cluster, name) for name in app.secrets}


def _derived(text: str) -> str:
    return hmac.new(settings.INSTALLATION_KEY.encode(), text.encode(), "sha256").hexdigest()
