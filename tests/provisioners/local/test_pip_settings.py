"""The settings in a user's configuration of pip that apply to installations of runtimes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from controlplane.provisioners.local.runtimes.pip_settings import pip_environment

CONFIGURATION = """
[global]
index-url = https://packages.example/simple
extra-index-url =
    https://one.example/simple
    https://two.example/simple
cert = /etc/ours.pem
[install]
user = true
target = /elsewhere
prefix = /elsewhere
"""


@pytest.fixture
def caller(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "pip.conf").write_text(CONFIGURATION)
    mine = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    return mine | {"PIP_CONFIG_FILE": str(tmp_path / "pip.conf")}


def _effective(environment: dict[str, str]) -> dict[str, str]:
    """The settings that pip reads in this environment."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    lines = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    settings = dict(line.split("=", 1) for line in lines.splitlines())
    assert settings.pop(":env:.config-file") == repr(os.devnull)
    return settings


def test_the_index_and_its_certificate_are_those_of_the_user(caller: dict[str, str]) -> None:
    assert _effective(pip_environment(sys.executable, caller)) == {
        ":env:.index-url": "'https://packages.example/simple'",
        ":env:.extra-index-url": "'https://one.example/simple https://two.example/simple'",
        ":env:.cert": "'/etc/ours.pem'",
    }


def test_the_environment_overrides_the_file(caller: dict[str, str]) -> None:
    environment = pip_environment(sys.executable, caller | {"PIP_CERT": "/other.pem"})
    assert environment["PIP_CERT"] == "/other.pem"


@pytest.mark.parametrize("name", ["PIP_USER", "PIP_TARGET", "PIP_REQUIRE_VIRTUALENV", "PYTHONPATH"])
def test_settings_that_install_elsewhere_are_dropped(caller: dict[str, str], name: str) -> None:
    assert name not in pip_environment(sys.executable, caller | {name: "1"})


def test_a_proxy_is_passed_on(caller: dict[str, str]) -> None:
    given = caller | {"HTTPS_PROXY": "http://proxy.example:3128"}
    assert pip_environment(sys.executable, given)["HTTPS_PROXY"] == given["HTTPS_PROXY"]
