"""Finds what a devkube could leave behind on this machine."""

import subprocess
from pathlib import Path

from deploy.devkube import lifecycle
from deploy.devkube.settings import Devkube

SHOWN_BY = (("ip", "-brief", "link"), ("ip", "route"), ("nft", "list", "ruleset"), ("cat", "/proc/mounts"))
SETTINGS = (
    *("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops"),
    *("kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes"),
    *("net/ipv4/ip_forward", "net/ipv4/conf/all/forwarding"),
)
FOLDERS = ("/run", "/tmp", "/var/lib", "/var/log")


def traces(kube: Devkube) -> set[str]:
    """Links, routes, rules, mounts, files and settings that name this devkube or that only a node makes.

    Other programs start and end meanwhile, so everything else is ignored.
    """
    found = {line for command in SHOWN_BY for line in _output(*command).splitlines()}
    found |= {str(path) for path in lifecycle.CGROUPS.glob("*/*")}
    found |= {str(path) for top in FOLDERS for path in Path(top).iterdir()}
    own = (kube.name, kube.link, kube.pods, kube.services)
    marks = (*own, "kube", "cni", "containerd", "hostpath_pv", "/proc/sys")
    settings = {f"{name}={Path('/proc/sys', name).read_text()}" for name in SETTINGS}
    return settings | {line for line in found if any(mark in line for mark in marks)}


def processes(kube: Devkube) -> list[str]:
    """The command lines of the processes that run from this devkube's folder."""
    return [line for folder in Path("/proc").glob("[0-9]*") if str(kube.state) in (line := command(folder))]


def command(folder: Path) -> str:
    """The command line of a process by its folder in /proc: NUL-separated, empty once it has ended."""
    try:
        return (folder / "cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
