"""Checks the services that Slipway reaches over the network: a Kubernetes API server and Vault."""

import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

from controlplane.provisioners.base import Permanent, Temporary
from controlplane.provisioners.kubernetes import finding
from controlplane.provisioners.kubernetes.settings import Reach, SettingsInvalid
from controlplane.standalone.doctor.database import LOOPBACK
from controlplane.standalone.doctor.part import Part

CONNECT_SECONDS = 3


def check_kubernetes() -> Part:
    file = os.environ.get("KUBECONFIG", "")
    if not file:
        advice = "for Kubernetes sites only: set KUBECONFIG"
        return Part("Kubernetes", "missing", "none", advice, needed=False)
    try:
        reached = finding.by_kubeconfig(file)
        named = [Path(path) for path in file.split(os.pathsep) if path]
        exposed = [path for path in named if path.exists() and path.stat().st_mode & 0o077]
    except SettingsInvalid as error:
        return Part("Kubernetes", "missing", str(error), "correct KUBECONFIG")
    if exposed:
        advice = f"chmod 600 {' '.join(map(str, exposed))}"
        return Part("Kubernetes", "unsafe", f"other users may read {exposed[0]}", advice)
    # This import takes as long as all other checks in sum.
    from controlplane.provisioners.kubernetes.client import Client

    where = f"context {reached['context']}"
    try:
        version = Client(Reach.parse(reached, "KUBECONFIG"), purpose="doctor").get("/version") or {}
    except (Temporary, Permanent) as error:
        return Part("Kubernetes", "missing", f"{where}: {error.message}", "start it, or correct KUBECONFIG")
    return Part("Kubernetes", "ok", f"{version.get('gitVersion', '?')}, {where}")


def check_vault() -> Part:
    address = os.environ.get("VAULT_ADDR", "")
    if not address:
        return Part("Vault", "missing", "none", "for data credentials only: set VAULT_ADDR", needed=False)
    parts = urlsplit(address)
    host = parts.hostname or ""
    if parts.scheme != "https" and host not in LOOPBACK and not host.startswith("127."):
        return Part("Vault", "unsafe", f"{address} is not encrypted", "use an https address")
    try:
        socket.create_connection((host, parts.port or 8200), CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        return Part("Vault", "missing", f"{address}: {error}", "start it, or correct VAULT_ADDR")
    return Part("Vault", "ok", address)
