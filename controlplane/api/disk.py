"""Whether the disk of the data directory is full. The embedded database lives there too."""

import shutil
from typing import Final

from django.conf import settings

LEAST_BYTES: Final = 32 * 1024 * 1024
"""PostgreSQL writes its log in files of 16 MiB, and stops when it can make no new one."""
SENTENCE: Final = "The disk that holds the database is full: an administrator has to free some space there."


def is_full() -> bool:
    """False where there is no data directory: then the database is on another machine."""
    try:
        return shutil.disk_usage(settings.DATA_DIR).free < LEAST_BYTES
    except FileNotFoundError:
        return False
