"""The environment of the processes that the supervisor starts: a chosen part of the caller's, and our own variables."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from controlplane.standalone.installation.datadir import DataDir
from controlplane.standalone.installation.keys import ENVIRONMENT

# A variable of every process that the supervisor starts. Its value is the id of the data directory.
MARK = "SLIPWAY_SUPERVISED_BY"
ROOT = Path(__file__).resolve().parents[3]
# Children inherit these: the user and its folders, how to reach package indexes, settings of Slipway, Kubernetes and
# Vault, and the variables of clouds, which credential plug-ins of Kubernetes read. SLIPWAY_PASS_ENV names more.
PASSED = {
    *("HOME", "LOGNAME", "USER", "PATH", "TMPDIR", "TZ", "LD_LIBRARY_PATH", "JAVA_HOME", "NETRC"),
    *("DATABASE_URL", "DATABASE_URL_FILE"),
    *(
        "PIP_CERT",
        "PIP_CLIENT_CERT",
        "PIP_EXTRA_INDEX_URL",
        "PIP_FIND_LINKS",
        "PIP_INDEX_URL",
        "PIP_NO_INDEX",
    ),
    *(
        "PIP_PROXY",
        "PIP_TRUSTED_HOST",
        "PIP_CACHE_DIR",
        "PIP_DEFAULT_TIMEOUT",
        "PIP_RETRIES",
        "PIP_CONFIG_FILE",
    ),
}
PREFIXES = ("SLIPWAY_", "CELERY_", "KUBE", "VAULT_", "SSL_CERT_", "CURL_CA_", "REQUESTS_CA_", "XDG_")
CLOUDS = ("AWS_", "AZURE_", "CLOUDSDK_", "GOOGLE_", "OCI_CLI_")
PROXIES = ("_PROXY", "_proxy")
# libpq's variables are for the user's own PostgreSQL. The embedded one ignores them.
LIBPQ = "PG"
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def service_environment(data: DataDir, *, keys: Mapping[str, Path], database_url: str) -> dict[str, str]:
    """Returns the complete environment of a child. database_url: of the embedded PostgreSQL, or ""."""
    environment = inherited(os.environ) | {
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": str(ROOT),
        # File names in any language work with every locale of the terminal.
        "LC_ALL": "C.UTF-8",
        "PYTHONUTF8": "1",
        # By default every thread keeps a heap of its own.
        "MALLOC_ARENA_MAX": "2",
        "DJANGO_SETTINGS_MODULE": "controlplane.settings",
        "SLIPWAY_DATA_DIR": str(data.root),
        MARK: data.id,
    }
    for name, variable in ENVIRONMENT.items():
        if variable not in environment and f"{variable}_FILE" not in environment:
            environment[f"{variable}_FILE"] = str(keys[name])
    if database_url:
        return without_libpq(environment) | {"DATABASE_URL": database_url}
    return environment


def inherited(caller: Mapping[str, str]) -> dict[str, str]:
    """Returns the caller's variables that a child inherits, with NO_PROXY for our own addresses."""
    more = {name.strip() for name in caller.get("SLIPWAY_PASS_ENV", "").split(",")}
    passed = {
        name: value
        for name, value in caller.items()
        if name in PASSED | more or name.startswith((*PREFIXES, *CLOUDS, LIBPQ)) or name.endswith(PROXIES)
    }
    return passed | no_proxy(caller)


def no_proxy(caller: Mapping[str, str]) -> dict[str, str]:
    """Returns NO_PROXY in both spellings: the caller's hosts and the loopback addresses."""
    named = caller.get("no_proxy") or caller.get("NO_PROXY") or ""
    hosts = [host for host in named.split(",") if host.strip()]
    value = ",".join([*hosts, *(host for host in LOOPBACK if host not in hosts)])
    return {"NO_PROXY": value, "no_proxy": value}


def without_libpq(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.startswith(LIBPQ)}


def drop_libpq() -> None:
    """Remove libpq's variables from this process, which connects to the embedded database itself."""
    for name in [name for name in os.environ if name.startswith(LIBPQ)]:
        del os.environ[name]


def own_database_named() -> bool:
    """Whether the user names an external PostgreSQL. Then no embedded one is started."""
    return bool(os.environ.get("DATABASE_URL") or os.environ.get("DATABASE_URL_FILE"))


def python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]
