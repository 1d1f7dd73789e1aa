"""Packages that users of one cluster install: a Python environment of the cluster on top of a shared runtime.

It is a virtual environment whose packages come first and the runtime's after them. pip finds the runtime's packages
there and counts them as installed, but never changes them, because they are outside of the environment. All nodes of
the cluster use the same environment, so workers have what a notebook installs. It is deleted with the cluster.
"""

from pathlib import Path

from controlplane.provisioners.local.runtimes.runtime import LocalRuntime
from controlplane.system import files

_PIP = """#!/bin/sh
exec "$(dirname "$0")/python" -m pip "$@"
"""
# A .pth file, which Python reads at every start. addsitedir also reads the .pth files of the runtime.
_LINK = "import site; site.addsitedir({runtime!r})\n"


def provide(home: Path, runtime: LocalRuntime) -> None:
    """Make the environment at `home`, or adapt an existing one to this runtime. Idempotent."""
    base = Path(runtime.request["python"])
    version = runtime.request["python_version"]
    site_packages = f"lib/python{version}/site-packages"
    files.make_folder(home / site_packages)
    files.make_folder(home / "bin")
    _write(home / "pyvenv.cfg", f"home = {base.parent}\ninclude-system-site-packages = false\n")
    link = _LINK.format(runtime=str(runtime.home / site_packages))
    _write(home / site_packages / "_runtime.pth", link)
    for name in ("pip", "pip3"):
        _write(home / "bin" / name, _PIP, mode=0o755)
    for name in ("python", "python3", f"python{version}"):
        path = home / "bin" / name
        if not (path.is_symlink() and path.readlink() == base):
            path.unlink(missing_ok=True)
            path.symlink_to(base)


def _write(path: Path, content: str, mode: int = 0o644) -> None:
    try:
        if path.read_text() == content:
            return
    except (FileNotFoundError, UnicodeDecodeError):
        pass
    files.write(path, content.encode(), mode=mode)
