"""The Secrets by which pods pull images from private registries."""

import base64
import hashlib
import json
from dataclasses import dataclass, field
from functools import lru_cache

from controlplane.provisioners.base import Desired
from controlplane.provisioners.kubernetes.objects import manifests, names
from controlplane.provisioners.kubernetes.objects.body import Body
from controlplane.provisioners.kubernetes.settings import SiteSettings

# The name of the Secret in a namespace that belongs to no tenant.
SECRET = "registry"  # noqa: S105 - a name
TYPE = "kubernetes.io/dockerconfigjson"


@dataclass(frozen=True, slots=True)
class RunLogin:
    """The Secret of one run. It is deleted with the run, and a changed login gets another name.

    config: the login as docker writes it.
    """

    name: str
    config: bytes = field(repr=False)

    @classmethod
    def of(cls, desired: Desired, config: bytes) -> "RunLogin | None":
        """config: see `registry_login.read`. None when it is empty: the site has no login."""
        run = names.run_root(desired.cluster.id, desired.run)
        return cls(f"{run}-registry-{_digest(config, run)}", config) if config else None

    def secret(self, settings: SiteSettings, desired: Desired, owner: Body) -> Body:
        body = manifests.secret(settings, desired, self.name, _data(self.config), owner)
        return {**body, "type": TYPE}


def site_secret(settings: SiteSettings, config: bytes) -> Body | None:
    """The Secret named SECRET, for a namespace that belongs to no tenant. None when `config` is empty."""
    if not config:
        return None
    about = {"name": SECRET, "labels": manifests.ours(settings)}
    return {"apiVersion": "v1", "kind": "Secret", "type": TYPE, "metadata": about, "data": _data(config)}


def image_pull_secrets(settings: SiteSettings, login: str) -> Body:
    """The field imagePullSecrets of a pod; {} when the pod has none. login: the name of a Secret, or ""."""
    found = [{"name": name} for name in (*settings.pull_secrets, login) if name]
    return {"imagePullSecrets": found} if found else {}


def is_login(config: bytes) -> bool:
    """Whether this is a file as `docker login` writes it, with at least one registry."""
    try:
        found = json.loads(config)
    except ValueError:
        return False
    return isinstance(found, dict) and isinstance(found.get("auths"), dict) and bool(found["auths"])


def _data(config: bytes) -> dict[str, str]:
    return {".dockerconfigjson": base64.b64encode(config).decode()}


@lru_cache(1024)
def _digest(config: bytes, salt: str) -> str:
    """Slow to compute on purpose: more people can read a name than a Secret, and it must not help guess a password."""
    return hashlib.scrypt(config, salt=salt.encode(), n=2**12, r=8, p=1, dklen=6).hex()
