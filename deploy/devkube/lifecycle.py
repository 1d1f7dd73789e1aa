"""Starts and stops a devkube. Stopped, it leaves nothing on the machine but its state, until that is wiped."""

import fcntl
import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from string import Template
from urllib.request import urlopen

from deploy.devkube import kwok, node_images, pki, programs
from deploy.devkube.settings import Devkube, DevkubeError, run

HERE = Path(__file__).parent
CGROUPS = Path("/sys/fs/cgroup")
NAMESPACES = "--mount --net --pid --uts --ipc --fork --kill-child --propagation private --mount-proc"
SECONDS = 90.0


def up(kube: Devkube, say: programs.Say) -> None:
    """Start it unless it runs. Returns when pods, DNS and NetworkPolicies work. Raises DevkubeError."""
    programs.provide(kube, say)
    with _alone(kube):
        if is_up(kube):
            if (kube.state / "run" / "up").read_text() != kube.fast:
                raise DevkubeError("It runs with the controllers' other rate: take it down first.")
            return
        _stop(kube)
        try:
            _start(kube)
        except BaseException:
            _stop(kube)
            raise


def down(kube: Devkube, *, wipe: bool = False) -> None:
    """Stop it. wipe: delete its state too."""
    if kube.state.exists():
        with _alone(kube):
            _stop(kube)
            if wipe:
                shutil.rmtree(kube.state)


def is_up(kube: Devkube) -> bool:
    return bool(node_pid(kube)) and (kube.state / "run" / "up").exists()


def node_pid(kube: Devkube) -> int | None:
    """Returns the process id of the node's first process on this machine; None when it does not run."""
    with suppress(OSError, ValueError):
        parent = int((kube.state / "run" / "pid").read_text())
        # Process ids are used again: its command line must name this folder.
        if f"{kube.state}\0".encode() in Path(f"/proc/{parent}/cmdline").read_bytes():
            return int(Path(f"/proc/{parent}/task/{parent}/children").read_text())
    return None


def _start(kube: Devkube) -> None:
    _write_files(kube)
    _make_cgroups(kube)
    # The node inherits only PATH. Other variables, such as a proxy or a password, are not for it.
    fields = [f"{name}={value}" for name, value in {"PATH": os.environ["PATH"], **_fields(kube)}.items()]
    program = ["sh", f"{kube.state}/config/node.sh", str(kube.state)]
    node = shlex.join(["env", "-i", *fields, "unshare", *NAMESPACES.split(), *program])
    script = f"echo $$ > {kube.state}/run/pid; exec {node} >> {kube.state}/log/node.log 2>&1 < /dev/null"
    run("setsid --fork sh -c", script)
    _until("the node's first process", lambda: node_pid(kube))
    _connect(kube)
    _until("containerd", lambda: node_images.ctr(kube, "version"), kube)
    node_images.provide(kube)
    _until("the API server", lambda: kube.kubectl("get", "--raw", "/readyz"), kube)
    (kube.state / "run" / "api").touch()
    for manifest in (HERE / "manifests").iterdir():
        kube.kubectl("apply", "-f", "-", given=_filled(kube, manifest))
    _until("the node", lambda: kube.kubectl("get", "node", kube.name), kube)
    kube.kubectl("wait", "--for=condition=Ready", f"node/{kube.name}", "--timeout=60s")
    _until("the NetworkPolicy agent", (kube.state / "run" / "netpol").exists, kube)
    # After a restart the API shows old pods for a while, so this asks the DNS server itself.
    _until("DNS", lambda: urlopen(f"http://{kube.services}.10:8181/ready", timeout=1).close() or True, kube)
    (kube.state / "run" / "up").write_text(kube.fast)


def _write_files(kube: Devkube) -> None:
    for folder in ("bin", "config", "log", "run"):
        (kube.state / folder).mkdir(exist_ok=True)
    for name in programs.PROGRAMS:
        (kube.state / "bin" / name).unlink(missing_ok=True)
        (kube.state / "bin" / name).symlink_to(programs.built(kube, name))
    pki.provide(kube)
    kwok.provide(kube)
    # The node may not see this folder, but it sees its state.
    for program in ("node.sh", "netpol.py"):
        shutil.copyfile(HERE / program, kube.state / "config" / program)
    for template in (HERE / "config").iterdir():
        (kube.state / "config" / template.name).write_text(_filled(kube, template))


def _filled(kube: Devkube, template: Path) -> str:
    return Template(template.read_text()).substitute(_fields(kube))


def _fields(kube: Devkube) -> dict[str, object]:
    """Returns the variables of the node and of the templates of its files."""
    folders = {name: kube.state / name for name in ("bin", "config", "pki")}
    return {**vars(kube), **folders, "state": kube.state, "python": os.path.realpath(sys.executable)}


def _make_cgroups(kube: Devkube) -> None:
    """Kubelet's, below each controller of version 1 or in the one tree of version 2."""
    if (CGROUPS / "cgroup.subtree_control").exists():
        (CGROUPS / "cgroup.subtree_control").write_text("+cpu +cpuset +memory +pids")
        (CGROUPS / kube.name).mkdir(exist_ok=True)
    for tasks in CGROUPS.glob("*/tasks"):
        (tasks.parent / kube.name).mkdir(exist_ok=True)
    for inherited in CGROUPS.glob("cpuset/cpuset.[cm][pe]*s"):
        (CGROUPS / "cpuset" / kube.name / inherited.name).write_text(inherited.read_text())


def _connect(kube: Devkube) -> None:
    run(f"ip link add {kube.name} type veth peer name eth0 netns {node_pid(kube)}")
    run(f"ip addr add {kube.link}.1/30 dev {kube.name}")
    run(f"ip link set {kube.name} up")
    for network in (f"{kube.pods}.0/24", f"{kube.services}.0/20"):
        run(f"ip route add {network} via {kube.link}.2")


def _stop(kube: Devkube) -> None:
    """Also when it was killed halfway: its namespaces take processes, mounts, routes and rules with them."""
    if pid := node_pid(kube):
        os.kill(pid, signal.SIGKILL)
        _until("the end of the node", lambda: node_pid(kube) is None)
    with suppress(DevkubeError):
        run(f"ip link del {kube.name}")
    for top in (*CGROUPS.glob(f"*/{kube.name}"), *CGROUPS.glob(kube.name)):
        _until(f"the end of {top}", partial(_remove_cgroup, top))
    shutil.rmtree(kube.state / "run", ignore_errors=True)


def _remove_cgroup(top: Path) -> bool:
    """Raises OSError while the kernel is still ending the processes of the cgroup."""
    for folder, _, _ in os.walk(top, topdown=False):
        os.rmdir(folder)
    return True


def _until(what: str, condition: Callable[[], object], kube: Devkube | None = None) -> None:
    """Wait until the condition is true; errors count as false. Raises DevkubeError after SECONDS, or without a node."""
    deadline, missing = time.monotonic() + SECONDS, Exception("not yet")
    while time.monotonic() < deadline and (kube is None or node_pid(kube)):
        try:
            if condition():
                return
        except (DevkubeError, OSError) as error:
            missing = error
        time.sleep(0.1)
    logs = f", see {kube.state}/log" if kube else ""
    raise DevkubeError(f"Waiting for {what} was in vain{logs}: {missing}")


@contextmanager
def _alone(kube: Devkube) -> Iterator[None]:
    """Allow one `up` or `down` of this devkube at a time."""
    kube.state.mkdir(parents=True, exist_ok=True)
    with (kube.root / f"{kube.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kube.state.mkdir(exist_ok=True)
        yield
