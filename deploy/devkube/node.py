"""The node: PID 1 of mount, network and process namespaces of its own. A program of its own: node.py STATE-FOLDER"""

import os
import shlex
import subprocess
import sys
import time
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

# Kubelet sets these for the whole machine; here it writes to files that lie over them.
TUNABLES = (
    *("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops"),
    *("kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes"),
)
COVERED = ("/var/lib", "/var/log", "/tmp")
TICK_SECONDS, PAUSE_SECONDS = 0.1, 2.0


def run(command: str) -> None:
    subprocess.run(shlex.split(command), check=True)


def cover(state: Path) -> None:
    """Give the node its own places to write to. Nothing of it is seen, or left, outside its mount namespace."""
    cgroups = state / "run" / "cgroups"
    cgroups.mkdir()
    # A fresh sysfs shows this network namespace's devices; the cgroups have to be carried over.
    run(f"mount --rbind /sys/fs/cgroup {cgroups}")
    run("mount -t sysfs sysfs /sys")
    run(f"mount --rbind {cgroups} /sys/fs/cgroup")
    run(f"umount -R {cgroups}")
    run("mount --make-rshared /")
    run("mount -t tmpfs -o mode=755 tmpfs /run")
    Path("/run/netns").mkdir()
    for covered in COVERED:
        Path(f"{state}{covered}").mkdir(parents=True, exist_ok=True)
        run(f"mount --bind {state}{covered} {covered}")
    Path("/tmp").chmod(0o1777)
    for tunable in TUNABLES:
        here, there = state / "run" / tunable.replace("/", "."), Path("/proc/sys", tunable)
        here.write_text(there.read_text())
        run(f"mount --bind {here} {there}")


def connect(node: dict[str, Any]) -> None:
    run(f"hostname {node['name']}")
    run("ip link set lo up")
    while not Path("/sys/class/net/eth0").exists():  # The host moves it here.
        time.sleep(0.02)
    run(f"ip addr add {node['address']}/30 dev eth0")
    run("ip link set eth0 up")
    # Service addresses need some route before they are translated; there is no other: pods have no way out.
    run(f"ip route add {node['services']} dev eth0")
    if not Path("/proc/sys/net/bridge").exists():
        run("modprobe br_netfilter")
    for setting in ("ipv4/ip_forward", "bridge/bridge-nf-call-iptables"):
        Path("/proc/sys/net", setting).write_text("1")


class Programs:
    """The node's processes: started in order, again when they end."""

    def __init__(self, node: dict[str, Any], logs: Path) -> None:
        self.wanted, self.later = dict(node["first"]), node["once_the_api_answers"]
        self.ready, self.logs = shlex.split(node["ready"]), logs
        self.running: dict[int, str] = {}
        self.started: dict[str, float] = {}

    def tick(self) -> None:
        """Bury the dead and start what is missing."""
        with suppress(ChildProcessError):
            while pid := os.waitpid(-1, os.WNOHANG)[0]:
                if name := self.running.pop(pid, None):
                    print(f"{name} ended", flush=True)
        if (
            self.later
            and self.running
            and subprocess.run(self.ready, capture_output=True, check=False).returncode == 0
        ):
            self.wanted, self.later = {**self.wanted, **self.later}, {}
        for name, command in self.wanted.items():
            rested = time.monotonic() > self.started.get(name, -PAUSE_SECONDS) + PAUSE_SECONDS
            if rested and name not in self.running.values():
                self._start(name, shlex.split(command))

    def _start(self, name: str, command: list[str]) -> None:
        self.started[name] = time.monotonic()
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        log = (os.POSIX_SPAWN_OPEN, 1, self.logs / f"{name}.log", flags, 0o644)
        files = [log, (os.POSIX_SPAWN_DUP2, 1, 2)]
        self.running[os.posix_spawnp(command[0], command, os.environ, file_actions=files)] = name


def main(state: Path) -> None:
    os.umask(0o022)
    node = tomllib.loads((state / "config" / "node.toml").read_text())
    cover(state)
    connect(node)
    programs = Programs(node, state / "log")
    # SIGKILL ends it, and the kernel ends all that runs here with it; etcd and containerd can take that.
    while True:
        programs.tick()
        # The host-path provisioner makes volumes for root alone, and fsGroup does not apply to them.
        for volume in Path("/tmp/hostpath_pv").glob("*"):
            with suppress(FileNotFoundError):
                volume.chmod(0o777)
        time.sleep(TICK_SECONDS)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
