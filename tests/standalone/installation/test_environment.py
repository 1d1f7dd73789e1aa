"""Which variables of its environment the supervisor passes on to its children."""

import os
import subprocess
import sys

import pytest

from controlplane.standalone.installation.datadir import DataDir
from controlplane.standalone.installation.environment import ROOT, inherited, service_environment
from controlplane.standalone.installation.keys import key_files

KEPT = {
    "HOME": "/home/alice",
    "KUBECONFIG": "/home/alice/.kube/config",
    "AWS_PROFILE": "data",
    "SLIPWAY_ALLOWED_HOSTS": "slipway.example",
    "HTTPS_PROXY": "http://proxy.example:3128",
}


@pytest.mark.parametrize(
    "name",
    [
        *("PYTHONSTARTUP", "PYTHONHOME", "DJANGO_DEBUG", "PIP_USER", "PIP_TARGET"),
        *("JAVA_TOOL_OPTIONS", "SPARK_HOME", "SPARK_CONF_DIR", "LD_PRELOAD", "LANG"),
    ],
)
def test_variables_that_would_mislead_a_child_are_not_passed_on(name: str) -> None:
    assert name not in inherited({name: "odd"})


def test_variables_that_a_child_needs_are_passed_on() -> None:
    assert inherited(KEPT).items() >= KEPT.items()


def test_variables_that_the_user_names_are_passed_on() -> None:
    assert inherited({"SLIPWAY_PASS_ENV": "MY_TOKEN, OTHER", "MY_TOKEN": "x"})["MY_TOKEN"] == "x"


@pytest.mark.parametrize(
    ("caller", "expected"),
    [
        ({}, "localhost,127.0.0.1,::1"),
        ({"NO_PROXY": ".example"}, ".example,localhost,127.0.0.1,::1"),
        ({"no_proxy": "localhost,.example"}, "localhost,.example,127.0.0.1,::1"),
    ],
)
def test_no_proxy_is_used_for_this_machine(caller: dict[str, str], expected: str) -> None:
    found = inherited(caller)
    assert (found["NO_PROXY"], found["no_proxy"]) == (expected, expected)


def test_variables_do_not_redirect_the_embedded_database(
    data: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGHOST", "elsewhere.example")
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "project.settings")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    keys = key_files(data)
    embedded = service_environment(data, keys=keys, database_url="postgresql://here")
    assert "PGHOST" not in embedded
    assert embedded["DJANGO_SETTINGS_MODULE"] == "controlplane.settings"
    assert embedded["PYTHONPATH"] == str(ROOT)
    assert service_environment(data, keys=keys, database_url="")["PGHOST"] == "elsewhere.example"


def test_libpq_connects_only_to_the_embedded_database() -> None:
    code = (
        "import psycopg2\n"
        "from controlplane.standalone.installation.environment import drop_libpq\n"
        "drop_libpq()\n"
        "psycopg2.connect('host=/nowhere')\n"
    )
    misled = os.environ | {"PGSERVICE": "another", "PGHOST": "elsewhere.example"}
    psql = subprocess.run(
        [sys.executable, "-c", code], env=misled, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert 'connection to server on socket "/nowhere/.s.PGSQL.5432" failed' in psql.stderr
