"""The environment of the processes that the supervisor starts."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from controlplane.standalone.datadir import DataDir
from controlplane.standalone.keys import ENVIRONMENT
from controlplane.standalone.pids import MARK

ROOT = Path(__file__).resolve().parents[2]


def service_environment(data: DataDir, *, keys: Mapping[str, Path], database_url: str) -> dict[str, str]:
    """Ours, with what belongs to this data directory. What the user has set stays as it is."""
    ours = {
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")])),
        # Threads would each keep a heap of their own.
        "MALLOC_ARENA_MAX": "2",
        "DJANGO_SETTINGS_MODULE": "controlplane.settings",
    }
    for name, variable in ENVIRONMENT.items():
        if variable not in os.environ and f"{variable}_FILE" not in os.environ:
            ours[f"{variable}_FILE"] = str(keys[name])
    fixed = {"SLIPWAY_DATA_DIR": str(data.root), MARK: data.id}
    if database_url:
        fixed["DATABASE_URL"] = database_url
    return {**ours, **os.environ, **fixed, "PYTHONPATH": ours["PYTHONPATH"]}


def own_database_named() -> bool:
    """Whether the user names a PostgreSQL; then none is embedded."""
    return bool(os.environ.get("DATABASE_URL") or os.environ.get("DATABASE_URL_FILE"))


def python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]
