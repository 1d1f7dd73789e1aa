"""What a launcher last said about its node: one small file, written whole, its version ever growing.

Standard library only. States and stages are those of `provisioners.base`, as plain text.
"""

import os
import time
from typing import Any

from controlplane.provisioners.local import files, notices

FORMAT = 1
NAME = "status.json"
LONGEST_MESSAGE = 1900


class Status:
    """The record of one attempt. `change` keeps it in memory when the disk refuses; `flush` tries again."""

    def __init__(self, folder: str, record: dict[str, Any]) -> None:
        self.folder, self.record = folder, record
        self.unsaved = self.untold = False
        self.trouble: OSError | None = None

    @classmethod
    def new(cls, folder: str, *, address: str) -> "Status":
        """Of an attempt that was prepared and not begun."""
        status = cls(
            folder, {"format": FORMAT, "version": 0, "stages": {}, "incarnation": "", "address": address}
        )
        status.set(state="waiting", stage="applied")
        return status

    @classmethod
    def load(cls, folder: str) -> "Status":
        """Raises ValueError when the record is damaged, FileNotFoundError when there is none."""
        record = files.read_json(os.path.join(folder, NAME))
        if not (
            _is_whole(record.get("version")) and isinstance(record.get("stages"), dict) and "state" in record
        ):
            raise ValueError("not a status")
        return cls(folder, record)

    @property
    def begun(self) -> bool:
        return bool(self.record.get("incarnation"))

    @property
    def ended(self) -> bool:
        return bool(self.record["state"] == "ended")

    @property
    def launcher(self) -> tuple[int, int] | None:
        """(pid, start time) of the launcher, if one has begun since this machine was started."""
        told = self.record.get("launcher")
        return (told["pid"], told["start"]) if told else None

    def set(self, *, stage: str = "", **fields: Any) -> bool:
        """Change the record in memory. False: there was nothing to change."""
        if "message" in fields:
            fields["message"] = fields["message"][-LONGEST_MESSAGE:]
        stages = self.record["stages"]
        if not (stage and stage not in stages) and all(self.record.get(key) == fields[key] for key in fields):
            return False
        if stage and stage not in stages:
            stages[stage] = _now()
        self.record.update(fields)
        # By the clock as well: an attempt that is made again after it was cleared away is newer, too.
        self.record["version"] = max(self.record["version"] + 1, time.time_ns() // 1_000_000)
        return True

    def save(self) -> None:
        files.write_json(os.path.join(self.folder, NAME), self.record)

    def change(self, events: str, *, stage: str = "", **fields: Any) -> None:
        """Change, save, and tell the listeners in the folder `events`."""
        if self.set(stage=stage, **fields):
            self.unsaved = self.untold = True
            self.flush(events)

    def flush(self, events: str) -> None:
        if self.unsaved:
            try:
                self.save()
            except OSError as error:
                self.trouble = error
                return
            self.unsaved, self.trouble = False, None
        if self.untold:
            self.untold = not notices.send(events, self.folder)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _now() -> str:
    seconds, rest = divmod(time.time_ns(), 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest // 1000:06d}+00:00"
