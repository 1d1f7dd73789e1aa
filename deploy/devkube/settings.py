"""The folder, name and networks of a devkube. Several run at the same time if all of these differ."""

import os
import re
import shlex
import subprocess
from dataclasses import dataclass, fields
from pathlib import Path

# The node mounts its own folders over these, so the state cannot be in them.
COVERED = ("/tmp/", "/run/", "/var/lib/", "/var/log/", "/sys/", "/proc/")
BYTES = r"\d{1,3}(\.\d{1,3}){2}"
SHAPES = {"root": r"/[\w./+-]{1,69}", "name": r"slipway[a-z]{0,2}\d{1,2}", "port": r"\d+", "fast": r"|yes"}
SHAPES |= dict.fromkeys(("link", "pods", "services"), BYTES)


class DevkubeError(Exception):
    """A failure whose message is for the user."""


@dataclass(frozen=True)
class Devkube:
    """One cluster. Every field can come from the environment: SLIPWAY_DEVKUBE_NAME and so on, DIR for `root`."""

    root: Path = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "slipway" / "devkube"
    name: str = "slipway0"
    """The name of the node, its cgroup and the host's end of its link."""
    link: str = "172.31.251"
    """First three bytes of a /30: the host is .1, the node with its API server .2."""
    pods: str = "10.245.0"
    services: str = "10.97.0"
    port: str = "6444"
    fast: str = ""
    """If "yes", the controllers may send 300 requests a second instead of their default 20."""

    def __post_init__(self) -> None:
        for name, shape in SHAPES.items():
            if not re.fullmatch(shape, text := str(getattr(self, name))) or text.startswith(COVERED):
                raise DevkubeError(f"{text!r} is not a valid {name} of a devkube: it has to match {shape}.")

    @classmethod
    def from_environment(cls) -> "Devkube":
        given = {field.name: os.environ.get(f"SLIPWAY_DEVKUBE_{field.name.upper()}") for field in fields(cls)}
        chosen = {name: text for name, text in given.items() if text}
        folder = os.environ.get("SLIPWAY_DEVKUBE_DIR")
        return cls(**chosen | ({"root": Path(folder).absolute()} if folder else {}))  # type: ignore[arg-type]

    @property
    def state(self) -> Path:
        """The folder of all files that this cluster writes."""
        return self.root / self.name

    @property
    def kubeconfig(self) -> Path:
        return self.state / "config" / "admin.kubeconfig"

    @property
    def audit_log(self) -> Path:
        """The audit log of the API server: one JSON line per answered request, with user and user agent."""
        return self.state / "log" / "audit.jsonl"

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        """Run kubectl as the admin and return its output. Raises DevkubeError with the end of its error output."""
        return run(f"{self.state}/bin/kubectl --kubeconfig={self.kubeconfig}", *arguments, given=given)


def run(command: str, *arguments: str, given: str | None = None, cwd: Path | None = None) -> str:
    """Run a command line with further arguments and return its output.

    Raises DevkubeError with the end of its error output.
    """
    whole = [*shlex.split(command), *arguments]
    try:
        done = subprocess.run(whole, input=given, cwd=cwd, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise DevkubeError(f"{whole[0]} does not exist.") from error
    if done.returncode != 0:
        raise DevkubeError(f"{Path(whole[0]).name} failed: {done.stderr.strip()[-500:]}")
    return done.stdout
