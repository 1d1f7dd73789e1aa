"""The installation key and the database belong together: a wrong key would ruin the seal of the audit for good."""

import hashlib
import hmac

from django.conf import settings

from tenants.models import InstallationKey


class WrongKey(Exception):  # noqa: N818 - a refusal
    """The database was written with another key. The text is a sentence for people."""

    def __init__(self) -> None:
        super().__init__(
            "This database was written with another installation key: put that key back, as keys/installation of the "
            "data directory or by SLIPWAY_INSTALLATION_KEY, for example from a backup."
        )


def key_check() -> None:
    """Raises WrongKey when another key is on record. Without a record every key passes."""
    recorded = InstallationKey.objects.first()
    if recorded and not hmac.compare_digest(recorded.fingerprint, _fingerprint()):
        raise WrongKey


def key_record() -> None:
    """Put the key on record, unless one is. Raises WrongKey when that is another one."""
    InstallationKey.objects.get_or_create(id=1, defaults={"fingerprint": _fingerprint()})
    key_check()


def _fingerprint() -> str:
    key = str(settings.INSTALLATION_KEY).encode()
    return hmac.new(key, b"slipway installation key fingerprint", hashlib.sha256).hexdigest()
