"""The environment of subprocesses that use the tests' database."""

import json
import os
from pathlib import Path
from urllib.parse import quote

from django.conf import settings


def environment_of(data: Path) -> dict[str, str]:
    """data: their data directory."""
    database = settings.DATABASES["default"]
    host = quote(str(database["HOST"]), safe="")
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "controlplane.settings",
        "DATABASE_URL": f"postgresql://{database['USER']}@{host}/{database['NAME']}",
        "CELERY_BROKER_URL": settings.CELERY_BROKER_URL,
        "SLIPWAY_BROKER_OPTIONS": json.dumps(settings.CELERY_TRANSPORT_OPTIONS),
        "SLIPWAY_DATA_DIR": str(data),
        "SLIPWAY_FAKE_SITE": "1",
        # Celery warns about root.
        "PYTHONWARNINGS": "ignore",
    }
