"""The secrets of a run. They are derived when needed and stored nowhere."""

import hmac
from typing import Protocol
from uuid import UUID

from django.conf import settings

from templates.schema import App


class HasSecrets(Protocol):
    """What the secrets of a cluster are derived from."""

    @property
    def id(self) -> UUID | str: ...

    @property
    def run(self) -> int: ...

    @property
    def link_version(self) -> int: ...


def run_secret(cluster: HasSecrets, name: str) -> str:
    """64 hexadecimal digits that differ for every cluster, run and name."""
    return _derived(f"run:{cluster.id}:{cluster.run}:{name}")


def page_secret(cluster: HasSecrets, name: str) -> str:
    """As `run_secret`, but they also differ for every version of the cluster's links."""
    version = f":{cluster.link_version}" if cluster.link_version else ""
    return _derived(f"run:{cluster.id}:{cluster.run}:{name}{version}")


def keys_of(cluster: HasSecrets, app: App) -> dict[str, str]:
    """Every secret that the app asks for, by name."""
    pages = app.page_secrets
    return {name: (page_secret if name in pages else run_secret)(cluster, name) for name in app.secrets}


def _derived(text: str) -> str:
    return hmac.new(settings.INSTALLATION_KEY.encode(), text.encode(), "sha256").hexdigest()
