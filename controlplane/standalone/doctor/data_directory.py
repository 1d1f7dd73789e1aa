"""Checks the data directory: whether it is private, and whether an installation runs in it."""

import stat
from pathlib import Path

from controlplane.standalone.doctor.check_result import CheckResult
from controlplane.standalone.supervise.lock import LockOwner

PRIVATE = (
    "keys",
    "keys/secret",
    "keys/installation",
    "keys/metrics",
    "admin-token",
    "admin-password",
    "logs",
    "run",
)


def check_data_directory(data_dir: Path) -> CheckResult:
    if not data_dir.exists():
        return CheckResult("data directory", "ok", f"{data_dir} will be made, private")
    exposed = [path for path in _private_paths(data_dir) if stat.S_IMODE(path.stat().st_mode) & 0o077]
    if exposed:
        advice = f"chmod go= {' '.join(str(path) for path in exposed)}"
        return CheckResult("data directory", "unsafe", "other users may open secret files", advice)
    if data_dir.stat().st_mode & 0o022:
        return CheckResult(
            "data directory", "unsafe", f"other users may write in {data_dir}", f"chmod go-w {data_dir}"
        )
    return CheckResult("data directory", "ok", str(data_dir))


def _private_paths(data_dir: Path) -> list[Path]:
    try:
        return [path for path in map(data_dir.joinpath, PRIVATE) if path.exists()]
    except PermissionError:
        # The data directory belongs to another user, whose own `doctor` checks it.
        return []


def check_installation(data_dir: Path, running: LockOwner | None) -> CheckResult:
    if running:
        return CheckResult("installation", "ok", f"{data_dir} runs at {running.url} since {running.since}")
    try:
        exists = (data_dir / ".slipway").exists()
    except PermissionError:
        exists = False
    if exists:
        return CheckResult("installation", "ok", f"{data_dir} is stopped")
    return CheckResult("installation", "ok", f"none in {data_dir} yet; `up` makes it")
