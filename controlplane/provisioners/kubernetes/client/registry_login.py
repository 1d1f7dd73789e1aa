"""Reads the login to private registries from the file that the site's admin keeps where workers run."""

from pathlib import Path

from controlplane.provisioners.kubernetes.client.errors import unusable
from controlplane.provisioners.kubernetes.objects.registry_secret import is_login
from controlplane.provisioners.kubernetes.settings import SiteSettings


def read(settings: SiteSettings) -> bytes:
    """The content of the file, b"" when the site has no login.

    Raises SiteUnknown SITE_SETTINGS when the file cannot be used. Its admin may repair it at any time.
    """
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
