"""The exact Python packages of the apps that ship, with their hashes: the same on every kind of site.

`common.txt` has what all apps have, a file for each app the rest. An app that is not listed gets what it asks for.
"""

from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).with_name("catalog") / "locks"
COMMON: Final = FOLDER / "common.txt"
# Whose Java is used where the machine has none that is new enough.
JAVA: Final = FOLDER / "java.txt"


def own(app: str) -> Path | None:
    """The list of this app, beside COMMON."""
    found = FOLDER / f"{app}.txt"
    return found if found.exists() else None


def text(app: str) -> str:
    """All packages of the app as pip takes them; "" where they are not chosen."""
    found = own(app)
    return COMMON.read_text() + found.read_text() if found else ""


def entry(text: str, name: str) -> str:
    """The part of a list that pins this package; "" when it is not there."""
    lines = text.splitlines(keepends=True)
    starts = [number for number, line in enumerate(lines) if line.startswith(f"{name}==")]
    if not starts:
        return ""
    rest = lines[starts[0] + 1 :]
    ends = next((number for number, line in enumerate(rest) if not line.startswith(" ")), len(rest))
    return "".join(lines[starts[0] : starts[0] + 1 + ends])
