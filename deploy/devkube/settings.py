"""Where a devkube keeps its things, and the names and networks by which several run side by side."""

import os
import re
import shlex
import subprocess
from dataclasses import dataclass, fields
from pathlib import Path

# The node has a /tmp, a /run and the like of its own and would not find itself there.
COVERED = ("/tmp/", "/run/", "/var/lib/", "/var/log/", "/sys/", "/proc/")
BYTES = r"\d{1,3}(\.\d{1,3}){2}"
SHAPES = {"root": r"/[\w./+-]{1,69}", "name": r"slipway[a-z]{0,2}\d{1,2}", "port": r"\d+", "fast": r"|yes"}
SHAPES |= dict.fromkeys(("link", "pods", "services"), BYTES)


class DevkubeError(Exception):
    """A failure whose text is a sentence for whoever runs it."""


@dataclass(frozen=True)
class Devkube:
    """One cluster. Every field can come from the environment: SLIPWAY_DEVKUBE_NAME and so on, DIR for `root`."""

    root: Path = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "slipway" / "devkube"
    name: str = "slipway0"
    """Of the node, its cgroup and the host's end of its link."""
    link: str = "172.31.251"
    """First three bytes of a /30: the host is .1, the node with its API server .2."""
    pods: str = "10.245.0"
    services: str = "10.97.0"
    port: str = "6444"
    fast: str = ""
    """When "yes", the controllers may ask 300 times a second instead of their default 20."""

    def __post_init__(self) -> None:
        for name, shape in SHAPES.items():
            if not re.fullmatch(shape, text := str(getattr(self, name))) or text.startswith(COVERED):
                raise DevkubeError(f"{text!r} does not do as a devkube's {name}: it has to match {shape}.")

    @classmethod
    def from_environment(cls) -> "Devkube":
        given = {field.name: os.environ.get(f"SLIPWAY_DEVKUBE_{field.name.upper()}") for field in fields(cls)}
        chosen = {name: text for name, text in given.items() if text}
        folder = os.environ.get("SLIPWAY_DEVKUBE_DIR")
        return cls(**chosen | ({"root": Path(folder).absolute()} if folder else {}))  # type: ignore[arg-type]

    @property
    def state(self) -> Path:
        """Everything that this cluster writes."""
        return self.root / self.name

    @property
    def kubeconfig(self) -> Path:
        return self.state / "config" / "admin.kubeconfig"

    @property
    def audit_log(self) -> Path:
        """What the API server was asked: JSON lines, one per answered request, with user and user agent."""
        return self.state / "log" / "audit.jsonl"

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        """What kubectl says, as the cluster's admin. Raises DevkubeError with its complaint."""
        return run(f"{self.state}/bin/kubectl --kubeconfig={self.kubeconfig}", *arguments, given=given)


def run(command: str, *arguments: str, given: str | None = None, cwd: Path | None = None) -> str:
    """The output of a command line and further arguments. Raises DevkubeError with the end of its complaint."""
    whole = [*shlex.split(command), *arguments]
    try:
        done = subprocess.run(whole, input=given, cwd=cwd, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise DevkubeError(f"{whole[0]} is not there.") from error
    if done.returncode != 0:
        raise DevkubeError(f"{Path(whole[0]).name} failed: {done.stderr.strip()[-500:]}")
    return done.stdout
