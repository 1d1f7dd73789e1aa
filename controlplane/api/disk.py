"""Checks the disk of the data directory, where the embedded database is too."""

import shutil
from typing import Final

from django.conf import settings

LEAST_BYTES: Final = 32 * 1024 * 1024
"""PostgreSQL writes its log in files of 16 MiB, and stops when it cannot make one."""
SENTENCE: Final = "The disk that holds the database is full: an administrator has to free some space there."


def is_full() -> bool:
    """Whether the disk has less than LEAST_BYTES free. False without a data directory, as the database is elsewhere."""
    try:
        return shutil.disk_usage(settings.DATA_DIR).free < LEAST_BYTES
    except FileNotFoundError:
        return False
