"""What `doctor` says of one part: its status, what was found, and what to do."""

import json
import shutil
from dataclasses import asdict, dataclass
from typing import Literal

from rich.console import Console
from rich.table import Table

Status = Literal["ok", "missing", "unsafe"]
COLOURS = {"ok": "green", "missing": "yellow", "unsafe": "red"}


@dataclass(frozen=True, slots=True)
class CheckResult:
    name: str
    status: Status
    detail: str
    advice: str = ""
    needed: bool = True
    """False when Slipway runs without it."""

    @property
    def hinders(self) -> bool:
        """Whether `doctor` ends with exit code 1 because of this part."""
        return self.status == "unsafe" or (self.status == "missing" and self.needed)


def as_json(parts: list[CheckResult]) -> str:
    """Returns {"ok": bool, "parts": [...]} as text."""
    ok = not any(part.hinders for part in parts)
    return json.dumps({"ok": ok, "parts": [asdict(part) for part in parts]}, indent=2)


def show(parts: list[CheckResult]) -> None:
    """Print a table with one row for each part."""
    table = Table(box=None, pad_edge=False)
    for heading in ("part", "", "found", "what to do"):
        table.add_column(heading, overflow="fold")
    for part in parts:
        status = f"[{COLOURS[part.status]}]{part.status}[/]"
        table.add_row(part.name, status, part.detail, part.advice)
    # Without a terminal the table is wide enough for one line per part.
    Console(width=shutil.get_terminal_size((200, 24)).columns).print(table)
