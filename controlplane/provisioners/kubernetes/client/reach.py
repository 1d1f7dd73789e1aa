"""Builds the settings of one account: by a kubeconfig, by an address, or by the pod in which this process runs.

The three ways return what `Reach` reads, or raise SettingsInvalid.
"""

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from controlplane.provisioners.kubernetes.client.kubeconfig import SERVICE_ACCOUNT, Config, from_context
from controlplane.provisioners.kubernetes.settings import SettingsInvalid

Reached = dict[str, Any]

IN_CLUSTER_SERVER = "https://kubernetes.default.svc"


def runs_in_cluster() -> bool:
    """Whether this process runs in a pod that has an account."""
    return bool(os.environ.get("KUBERNETES_SERVICE_HOST")) and (SERVICE_ACCOUNT / "token").exists()


def by_kubeconfig(files: str, context: str = "") -> Reached:
    """files: one, or several as in KUBECONFIG. context "": the current one.

    The context is stored by name, so a site does not move when the current context is changed.
    """
    found = Config.read(files)
    chosen = context or found.current
    from_context(files, chosen)
    return {"kubeconfig": os.pathsep.join(found.files), "context": chosen}


def by_address(server: str, token_file: str, ca_file: str = "") -> Reached:
    parts = urlsplit(server)
    host = parts.hostname or ""
    if parts.scheme != "https" and not (parts.scheme == "http" and host.startswith("127.")):
        raise SettingsInvalid(f"{server} would get tokens in the clear: use an https address.")
    reached = {"server": server.rstrip("/"), "token_file": readable(token_file)}
    return {**reached, "ca_file": readable(ca_file)} if ca_file else reached


def in_cluster(token_file: str = "") -> Reached:
    """By the account of this pod, or by the token of another account."""
    if not runs_in_cluster():
        raise SettingsInvalid("This process does not run in a Kubernetes cluster with an account of its own.")
    if token_file:
        return by_address(IN_CLUSTER_SERVER, token_file, str(SERVICE_ACCOUNT / "ca.crt"))
    return {"in_cluster": True}


def readable(file: str) -> str:
    """The absolute path of the file. Raises SettingsInvalid when it cannot be read."""
    path = Path(file).absolute()
    try:
        path.open("rb").close()
    except OSError as error:
        raise SettingsInvalid(f"{path}: {error.strerror}.") from error
    return str(path)
