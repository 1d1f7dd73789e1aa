"""The keys of an installation. Each is made once, in its own file; children receive only the path."""

import secrets
from pathlib import Path

from controlplane.standalone.installation.datadir import DataDir
from controlplane.standalone.installation.errors import ExpectedError, plain_file_errors
from controlplane.standalone.installation.files import write_private

SHORTEST_KEY = 32
ENVIRONMENT = {
    "secret": "SLIPWAY_SECRET_KEY",
    "installation": "SLIPWAY_INSTALLATION_KEY",
    "metrics": "SLIPWAY_METRICS_TOKEN",
}


def key_files(data: DataDir) -> dict[str, Path]:
    """Returns the file of each key by name, and makes those that are missing.

    Raises ExpectedError when the database exists but the key that its rows are sealed with does not.
    """
    paths = {name: data.keys / name for name in ENVIRONMENT}
    with plain_file_errors(data.keys):
        if data.has_database() and not paths["installation"].exists():
            raise ExpectedError(
                f"{paths['installation']} is missing, and the database was written with it: "
                "restore it from a backup of the data directory."
            )
        for path in paths.values():
            if not path.exists():
                write_private(path, secrets.token_hex(32))
            if len(path.read_text().strip()) < SHORTEST_KEY:
                raise ExpectedError(f"{path} is damaged: restore it from a backup of the data directory.")
    return paths
