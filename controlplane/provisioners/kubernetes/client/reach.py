"""Where an API server is said to be: by a kubeconfig, by an address, or by running inside a cluster.

Every function returns the settings of one account, as `Reach` reads them, or raises SettingsInvalid.
"""

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from controlplane.provisioners.kubernetes.client.kubeconfig import SERVICE_ACCOUNT, Config, of_context
from controlplane.provisioners.kubernetes.settings import SettingsInvalid

Reached = dict[str, Any]

INSIDE = "https://kubernetes.default.svc"


def is_inside() -> bool:
    """Whether this process runs in a pod that has an account."""
    return bool(os.environ.get("KUBERNETES_SERVICE_HOST")) and (SERVICE_ACCOUNT / "token").exists()


def by_kubeconfig(files: str, context: str = "") -> Reached:
    """files: one, or several as in KUBECONFIG. The context is written down by name: a site never moves because
    somebody chose another current one.
    """
    found = Config.read(files)
    chosen = context or found.current
    of_context(files, chosen)
    return {"kubeconfig": os.pathsep.join(found.files), "context": chosen}


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
