"""A command beside a running `up` works on that installation: its database, its keys."""

import os
import sys
from pathlib import Path

from controlplane.standalone.datadir import open_data_dir
from controlplane.standalone.environment import ROOT, own_database_named, python, service_environment
from controlplane.standalone.errors import ExpectedError
from controlplane.standalone.keys import key_files
from controlplane.standalone.owner import database_owner
from controlplane.standalone.pids import MARK
from controlplane.standalone.postgres import Postgres, _socket_folder


def attach(root: Path) -> None:
    """Start this command again in the environment of the installation in `root`; returns where the environment
    names a database already, and at the second time.

    Raises ExpectedError where nothing is installed, or its database does not run.
    """
    if own_database_named():
        return
    environment = environment_of_installation(root)
    os.chdir(ROOT)
    os.execve(sys.executable, python(*sys.argv), environment)  # noqa: S606


def environment_of_installation(root: Path) -> dict[str, str]:
    if not (root / ".slipway").exists():
        raise ExpectedError(
            f"There is no installation in {root}: start one with `up`, or name yours with --data-dir or DATABASE_URL."
        )
    data = open_data_dir(root)
    owner = database_owner()
    home = data.database_home(owner)
    if not (home / "data" / "postmaster.pid").exists():
        raise ExpectedError(f"The database of {root} does not run: start `up` first.")
    server = Postgres(home, owner, home, _socket_folder(home, owner), {})
    environment = service_environment(data, keys=key_files(data), database_url=server.url)
    # By this the supervisor knows its own children.
    environment.pop(MARK)
    return environment
