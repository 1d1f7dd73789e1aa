"""Checks that the installation key is the one that this database was written with.

With another key the seal of the audit would be broken for good.
"""

import hashlib
import hmac

from django.conf import settings

from tenants.models import InstallationKey


class WrongKey(Exception):  # noqa: N818 - a refusal
    """The database was written with another key. The message says what to do."""

    def __init__(self) -> None:
        super().__init__(
            "This database was written with another installation key. Restore that key, for example from a backup, "
            "as keys/installation in the data directory or in SLIPWAY_INSTALLATION_KEY."
        )


def key_check() -> None:
    """Raises WrongKey when another key is recorded. Without a record every key passes."""
    recorded = InstallationKey.objects.first()
    if recorded and not hmac.compare_digest(recorded.fingerprint, _fingerprint()):
        raise WrongKey


def key_record() -> None:
    """Records the key if none is recorded yet. Raises WrongKey when another one is."""
    InstallationKey.objects.get_or_create(id=1, defaults={"fingerprint": _fingerprint()})
    key_check()


def _fingerprint() -> str:
    key = str(settings.INSTALLATION_KEY).encode()
    return hmac.new(key, b"slipway installation key fingerprint", hashlib.sha256).hexdigest()
