"""The record of one attempt at a node, written by its launcher: status.json in the node's folder.

It is written whole, and its version grows with every change. States and stages are the values of `NodeState` and
`STAGES` in `provisioners.base`, as text.
"""

import os
import time
from typing import Any

from controlplane.provisioners.local.launcher import notifications
from controlplane.system import files
from controlplane.system.processes import ProcessIdentity

FORMAT = 1
NAME = "status.json"
MAX_MESSAGE_LENGTH = 1900


class Status:
    """unsaved: a change is not on disk yet. unsent: listeners were not notified of a change yet.

    `change` keeps both in mind when the disk or a listener refuses; `flush` tries again.
    """

    def __init__(self, folder: str, record: dict[str, Any]) -> None:
        self.folder, self.record = folder, record
        self.unsaved = self.unsent = False

    @classmethod
    def new(cls, folder: str, *, address: str) -> "Status":
        """The record of an attempt that is prepared and not started."""
        status = cls(
            folder, {"format": FORMAT, "version": 0, "stages": {}, "incarnation": "", "address": address}
        )
        status.set(state="waiting", stage="applied")
        return status

    @classmethod
    def load(cls, folder: str) -> "Status":
        """Raises ValueError when the record is damaged, FileNotFoundError when there is none."""
        record = files.read_json(os.path.join(folder, NAME))
        version = record.get("version")
        has_version = isinstance(version, int) and not isinstance(version, bool)
        if not (has_version and isinstance(record.get("stages"), dict) and "state" in record):
            raise ValueError("not a record of a node")
        return cls(folder, record)

    @property
    def started(self) -> bool:
        """Whether a launcher has taken over this attempt."""
        return bool(self.record.get("incarnation"))

    @property
    def ended(self) -> bool:
        return bool(self.record["state"] == "ended")

    @property
    def launcher(self) -> ProcessIdentity | None:
        """The launcher's process, dead or alive; None when none was started."""
        recorded = self.record.get("launcher")
        return ProcessIdentity(**recorded) if recorded else None

    def set(self, *, stage: str = "", **fields: Any) -> bool:
        """Change the record in memory, and stamp `stage` if it is new. Returns False when nothing changed."""
        if "message" in fields:
            fields["message"] = fields["message"][-MAX_MESSAGE_LENGTH:]
        stages = self.record["stages"]
        is_new_stage = bool(stage) and stage not in stages
        if not is_new_stage and all(self.record.get(key) == fields[key] for key in fields):
            return False
        if is_new_stage:
            stages[stage] = _now()
        self.record.update(fields)
        # Milliseconds since the epoch, so that an attempt that was cleared away and made again has a higher version.
        self.record["version"] = max(self.record["version"] + 1, time.time_ns() // 1_000_000)
        return True

    def save(self) -> None:
        files.write_json(os.path.join(self.folder, NAME), self.record)

    def change(self, events: str, *, stage: str = "", **fields: Any) -> None:
        """Change the record, save it, and notify the listeners in the folder `events`."""
        if self.set(stage=stage, **fields):
            self.unsaved = self.unsent = True
            self.flush(events)

    def flush(self, events: str) -> None:
        """Save and notify, as far as that is still to be done. Never raises OSError."""
        if self.unsaved:
            try:
                self.save()
            except OSError:
                return
            self.unsaved = False
        if self.unsent:
            self.unsent = not notifications.send(events, self.folder)


def _now() -> str:
    """UTC in ISO 8601, with microseconds."""
    seconds, rest = divmod(time.time_ns(), 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest // 1000:06d}+00:00"
