"""Where an API server is said to be: by a kubeconfig, by an address, or by running inside a cluster.

Every function returns the settings of one account, as `Reach` reads them, or raises SettingsInvalid.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from controlplane.provisioners.kubernetes.settings import SettingsInvalid

Reached = dict[str, Any]

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
INSIDE = "https://kubernetes.default.svc"


def is_inside() -> bool:
    """Whether this process runs in a pod that has an account."""
    return bool(os.environ.get("KUBERNETES_SERVICE_HOST")) and (SERVICE_ACCOUNT / "token").exists()


def by_kubeconfig(files: str, context: str = "") -> Reached:
    """files: one, or several as in KUBECONFIG. The context is written down by name: a site never moves because
    somebody chose another current one.
    """
    paths = [Path(file).absolute() for file in files.split(os.pathsep) if file]
    configs = [_read_config(path) for path in paths]
    known = [entry.get("name") for config in configs for entry in _entries(config)]
    chosen = context or next(
        (config["current-context"] for config in configs if config.get("current-context")), ""
    )
    where = ", ".join(str(path) for path in paths)
    if not chosen:
        raise SettingsInvalid(f"{where} has no current context: name one of {_listed(known)}.")
    if chosen not in known:
        raise SettingsInvalid(f"{where} has no context {chosen}; there is: {_listed(known)}.")
    return {"kubeconfig": os.pathsep.join(str(path) for path in paths), "context": chosen}


def by_address(server: str, token_file: str, ca_file: str = "") -> Reached:
    parts = urlsplit(server)
    host = parts.hostname or ""
    if parts.scheme != "https" and not (parts.scheme == "http" and host.startswith("127.")):
        raise SettingsInvalid(f"{server} would get tokens in the clear: use an https address.")
    reached = {"server": server.rstrip("/"), "token_file": readable(token_file)}
    return {**reached, "ca_file": readable(ca_file)} if ca_file else reached


def inside(token_file: str = "") -> Reached:
    """By the pod's own account, or from inside the cluster by another one's token."""
    if not is_inside():
        raise SettingsInvalid(
            "This process does not run inside a Kubernetes cluster with an account of its own."
        )
    if token_file:
        return by_address(INSIDE, token_file, str(SERVICE_ACCOUNT / "ca.crt"))
    return {"in_cluster": True}


def readable(file: str) -> str:
    """Its absolute path."""
    path = Path(file).absolute()
    try:
        path.open("rb").close()
    except OSError as error:
        raise SettingsInvalid(f"{path}: {error.strerror}.") from error
    return str(path)


def _read_config(path: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(Path(readable(str(path))).read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsInvalid(f"{path} is no kubeconfig.") from error
    if not isinstance(found, dict):
        raise SettingsInvalid(f"{path} is no kubeconfig.")
    return found


def _entries(config: dict[str, Any]) -> Iterable[dict[str, Any]]:
    found = config.get("contexts") or []
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _listed(known: Iterable[Any]) -> str:
    return ", ".join(str(name) for name in known) or "none"
