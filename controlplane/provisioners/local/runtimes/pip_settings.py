"""The environment in which pip runs: it has the user's settings for reaching a package index, and no others.

Settings such as `user` and `target` would install into another folder, or not at all. Standard library only: manage.py
uses it before anything is installed.
"""

from __future__ import annotations

import ast
import os
import subprocess
from collections.abc import Mapping

KEPT = {
    *("index-url", "extra-index-url", "find-links", "no-index", "trusted-host", "keyring-provider"),
    *("proxy", "cert", "client-cert", "use-feature", "use-deprecated"),
    *("timeout", "default-timeout", "retries", "cache-dir"),
}
# Later sections override earlier ones, as in pip. pip lists environment variables in the section ":env:".
SECTIONS = ("global", "install", ":env:")


def pip_environment(python: str, caller: Mapping[str, str]) -> dict[str, str]:
    """The environment for this Python's pip. caller: the environment that the user's settings come from.

    Raises CalledProcessError when this Python has no pip.
    """
    read = {"PIP_CONFIG_FILE", *map(_variable, KEPT)}
    bare = {
        name: value
        for name, value in caller.items()
        if name in read or not name.startswith(("PIP_", "PYTHON"))
    }
    # Isolated: a module in the current folder must not take the place of pip.
    command = [python, "-I", "-m", "pip", "--disable-pip-version-check", "config", "list"]
    listed = subprocess.run(command, env=bare, capture_output=True, text=True, check=True)
    kept = {_variable(key): value for key, value in _settings(listed.stdout).items()}
    # With the null device as its configuration, pip reads no file.
    return bare | {"PIP_CONFIG_FILE": os.devnull} | kept


def _variable(key: str) -> str:
    return f"PIP_{key.upper().replace('-', '_')}"


def _settings(listed: str) -> dict[str, str]:
    """Parse lines such as `global.index-url='https://packages.example/simple'`."""
    found: dict[str, dict[str, str]] = {section: {} for section in SECTIONS}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        section, _, key = name.rpartition(".")
        if section in found and key in KEPT:
            found[section][key] = " ".join(str(ast.literal_eval(value)).split())
    return {key: value for section in SECTIONS for key, value in found[section].items()}
