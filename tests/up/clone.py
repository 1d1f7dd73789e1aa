"""A clean clone of this checkout, and the Python that a user has: nothing of ours is installed in either."""

import subprocess
import sys
from pathlib import Path

from tests.journeys.service import ROOT

PYTHON = str(Path(sys.base_prefix) / "bin" / "python3")


def clone_into(folder: Path) -> Path:
    """Clone HEAD, and apply the changes to tracked files that are not committed yet."""
    _git(ROOT, "clone", "--quiet", str(ROOT), str(folder))
    if changes := _git(ROOT, "diff", "--binary", "HEAD"):
        _git(folder, "apply", "-", given=changes)
    return folder


def _git(where: Path, *words: str, given: bytes = b"") -> bytes:
    done = subprocess.run(["git", "-C", str(where), *words], input=given, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout
