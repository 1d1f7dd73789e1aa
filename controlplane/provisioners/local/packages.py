"""What the users of one cluster install: an environment of the cluster's own, over a runtime that all clusters share.

It is a virtual environment whose packages come first and the runtime's after them. pip finds the runtime's packages
there, counts them as installed and never changes them, because they lie outside of the environment. All nodes of the
cluster use the same one, so that what a notebook installs is there for the workers too; it ends with the cluster.
"""

from pathlib import Path

from controlplane.provisioners.local import files
from controlplane.provisioners.local.runtimes import LocalRuntime

_PIP = """#!/bin/sh
exec "$(dirname "$0")/python" -m pip "$@"
"""
# Read by `site` at every start: also takes up the .pth files of the runtime.
_LINK = "import site; site.addsitedir({runtime!r})\n"


def provide(home: Path, runtime: LocalRuntime) -> None:
    """Make the environment, or bring an existing one up to this runtime. Idempotent."""
    base = Path(runtime.request["python"])
    version = runtime.request["python_version"]
    own, below = home / "lib" / f"python{version}" / "site-packages", f"lib/python{version}/site-packages"
    files.make_folder(str(own))
    files.make_folder(str(home / "bin"))
    _put(home / "pyvenv.cfg", f"home = {base.parent}\ninclude-system-site-packages = false\n")
    _put(own / "_runtime.pth", _LINK.format(runtime=str(runtime.home / below)))
    for name in ("pip", "pip3"):
        _put(home / "bin" / name, _PIP, mode=0o755)
    for name in ("python", "python3", f"python{version}"):
        _link(home / "bin" / name, base)


def python_of(home: Path) -> Path:
    return home / "bin" / "python"


def _put(path: Path, content: str, mode: int = 0o644) -> None:
    try:
        if path.read_text() == content:
            return
    except (FileNotFoundError, UnicodeDecodeError):
        pass
    files.write(str(path), content.encode(), mode=mode)


def _link(path: Path, target: Path) -> None:
    if path.is_symlink() and path.readlink() == target:
        return
    path.unlink(missing_ok=True)
    path.symlink_to(target)
