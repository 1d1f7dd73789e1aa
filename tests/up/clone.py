"""Makes a clean clone of this checkout, and names the system's Python, without any of our packages."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.journeys.service import ROOT

PYTHON = str(Path(sys.base_prefix) / "bin" / "python3")


def clone_into(folder: Path) -> Path:
    """Clone HEAD and copy changed and new files that are not committed."""
    _git(ROOT, "clone", "--quiet", str(ROOT), str(folder))
    if changes := _git(ROOT, "diff", "--binary", "HEAD"):
        _git(folder, "apply", "-", given=changes)
    new = _git(ROOT, "ls-files", "-z", "--others", "--exclude-standard").decode().split("\0")
    for name in filter(None, new):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


def _git(where: Path, *words: str, given: bytes = b"") -> bytes:
    done = subprocess.run(["git", "-C", str(where), *words], input=given, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout
