"""The login to private registries that pods are given, from a file that the site's admin keeps where workers run."""

import base64
import hashlib
import json
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from controlplane.provisioners.base import Desired
from controlplane.provisioners.kubernetes import manifests, names
from controlplane.provisioners.kubernetes.errors import Body, unusable
from controlplane.provisioners.kubernetes.settings import SiteSettings

# Its name in a namespace that belongs to no tenant.
SECRET = "registry"  # noqa: S105 - a name
TYPE = "kubernetes.io/dockerconfigjson"


@dataclass(frozen=True, slots=True)
class Login:
    """One Secret of a run: it goes with the run, and a changed file makes another one."""

    name: str
    config: bytes = field(repr=False)

    @classmethod
    def of(cls, settings: SiteSettings, desired: Desired) -> "Login | None":
        """None: the site has none. Raises SiteUnknown SITE_SETTINGS: the file may be mended while we run."""
        config = _read(settings)
        run = names.run_root(desired.cluster.id, desired.run)
        return cls(f"{run}-registry-{_digest(config, run)}", config) if config else None

    def secret(self, settings: SiteSettings, desired: Desired, owner: Body) -> Body:
        body = manifests.secret(settings, desired, self.name, _data(self.config), owner)
        return {**body, "type": TYPE}


def secret(settings: SiteSettings) -> Body | None:
    """The Secret named SECRET, for a namespace that belongs to no tenant; None: the site has no login.

    Raises SiteUnknown SITE_SETTINGS when the file cannot be used.
    """
    config = _read(settings)
    if not config:
        return None
    about = {"name": SECRET, "labels": manifests.ours(settings)}
    return {"apiVersion": "v1", "kind": "Secret", "type": TYPE, "metadata": about, "data": _data(config)}


def pulls(settings: SiteSettings, login: str) -> Body:
    """The field imagePullSecrets of a pod; {} when there is none. login: the name of a Secret, or ""."""
    found = [{"name": name} for name in (*settings.pull_secrets, login) if name]
    return {"imagePullSecrets": found} if found else {}


def is_login(config: bytes) -> bool:
    try:
        found = json.loads(config)
    except ValueError:
        return False
    return isinstance(found, dict) and isinstance(found.get("auths"), dict) and bool(found["auths"])


def _read(settings: SiteSettings) -> bytes:
    """b"": the site has no login. Raises SiteUnknown SITE_SETTINGS."""
    if not settings.registry_auth:
        return b""
    try:
        config = Path(settings.registry_auth).read_bytes()
    except OSError as error:
        raise unusable(f"{settings.registry_auth}: {error.strerror}") from error
    if not is_login(config):
        raise unusable(
            f"{settings.registry_auth} is no login to a registry: it needs auths, as docker writes them"
        )
    return config


def _data(config: bytes) -> dict[str, str]:
    return {".dockerconfigjson": base64.b64encode(config).decode()}


@lru_cache(1024)
def _digest(config: bytes, salt: str) -> str:
    """Slow to compute: a name is seen by more people than a Secret, and must not help to guess a password."""
    return hashlib.scrypt(config, salt=salt.encode(), n=2**12, r=8, p=1, dklen=6).hex()
