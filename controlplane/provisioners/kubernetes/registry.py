"""The login to a private registry that pods are given, from a file that the site's admin keeps where workers run."""

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


@dataclass(frozen=True, slots=True)
class Login:
    """One Secret of a run: it goes with the run, and a changed file makes another one."""

    name: str
    config: bytes = field(repr=False)

    @classmethod
    def of(cls, settings: SiteSettings, desired: Desired) -> "Login | None":
        """None: the site has none. Raises SiteUnknown SITE_SETTINGS: the file may be mended while we run."""
        if not settings.registry_auth:
            return None
        try:
            config = Path(settings.registry_auth).read_bytes()
        except OSError as error:
            raise unusable(f"{settings.registry_auth}: {error.strerror}") from error
        if not is_login(config):
            raise unusable(
                f"{settings.registry_auth} is no login to a registry: it needs auths, as docker writes them"
            )
        run = names.run_root(desired.cluster.id, desired.run)
        return cls(f"{run}-registry-{_digest(config, run)}", config)

    def secret(self, settings: SiteSettings, desired: Desired, owner: Body) -> Body:
        data = {".dockerconfigjson": base64.b64encode(self.config).decode()}
        body = manifests.secret(settings, desired, self.name, data, owner)
        return {**body, "type": "kubernetes.io/dockerconfigjson"}


def is_login(config: bytes) -> bool:
    try:
        found = json.loads(config)
    except ValueError:
        return False
    return isinstance(found, dict) and isinstance(found.get("auths"), dict) and bool(found["auths"])


@lru_cache(1024)
def _digest(config: bytes, salt: str) -> str:
    """Slow to compute: a name is seen by more people than a Secret, and must not help to guess a password."""
    return hashlib.scrypt(config, salt=salt.encode(), n=2**12, r=8, p=1, dklen=6).hex()
