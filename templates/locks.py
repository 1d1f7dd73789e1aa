"""The lock files of the apps that ship: exact Python packages with hashes, the same on every kind of site.

`common.txt` has the packages of all apps, and one file per app has the rest. An app without a file gets the newest
packages that its requirements allow.
"""

from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).with_name("catalog") / "locks"
COMMON: Final = FOLDER / "common.txt"
# The packages of the Java that is used on a machine that has none, or only an older one.
JAVA: Final = FOLDER / "java.txt"


def own(app: str) -> Path | None:
    """The lock file of this app, beside COMMON; None without one."""
    found = FOLDER / f"{app}.txt"
    return found if found.exists() else None


def text(app: str) -> str:
    """All packages of the app as a requirements file for pip; "" for an app without a lock file."""
    found = own(app)
    return COMMON.read_text() + found.read_text() if found else ""


def entry(text: str, name: str) -> str:
    """The lines of a lock file that pin this package; "" when it is not in it."""
    lines = text.splitlines(keepends=True)
    starts = [number for number, line in enumerate(lines) if line.startswith(f"{name}==")]
    if not starts:
        return ""
    rest = lines[starts[0] + 1 :]
    ends = next((number for number, line in enumerate(rest) if not line.startswith(" ")), len(rest))
    return "".join(lines[starts[0] : starts[0] + 1 + ends])
