"""Checks the services that Slipway reaches over the network: a Kubernetes API server and Vault."""

import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

from controlplane.provisioners.base import Permanent, Temporary
from controlplane.provisioners.kubernetes.client import reach
from controlplane.provisioners.kubernetes.settings import Reach, SettingsInvalid
from controlplane.standalone.doctor.check_result import CheckResult
from controlplane.standalone.doctor.database import LOOPBACK

CONNECT_SECONDS = 3


def check_kubernetes() -> CheckResult:
    file = os.environ.get("KUBECONFIG", "")
    if not file:
        advice = "for Kubernetes sites only: set KUBECONFIG"
        return CheckResult("Kubernetes", "missing", "none", advice, needed=False)
    try:
        reached = reach.by_kubeconfig(file)
        named = [Path(path) for path in file.split(os.pathsep) if path]
        exposed = [path for path in named if path.exists() and path.stat().st_mode & 0o077]
    except SettingsInvalid as error:
        return CheckResult("Kubernetes", "missing", str(error), "correct KUBECONFIG")
    if exposed:
        advice = f"chmod 600 {' '.join(map(str, exposed))}"
        return CheckResult("Kubernetes", "unsafe", f"other users may read {exposed[0]}", advice)
    # This import takes as long as all other checks in sum.
    from controlplane.provisioners.kubernetes.client.client import Client

    where = f"context {reached['context']}"
    try:
        version = Client(Reach.parse(reached, "KUBECONFIG"), purpose="doctor").get("/version") or {}
    except (Temporary, Permanent) as error:
        return CheckResult(
            "Kubernetes", "missing", f"{where}: {error.message}", "start it, or correct KUBECONFIG"
        )
    return CheckResult("Kubernetes", "ok", f"{version.get('gitVersion', '?')}, {where}")


def check_vault() -> CheckResult:
    address = os.environ.get("VAULT_ADDR", "")
    if not address:
        return CheckResult(
            "Vault", "missing", "none", "for data credentials only: set VAULT_ADDR", needed=False
        )
    parts = urlsplit(address)
    host = parts.hostname or ""
    if parts.scheme != "https" and host not in LOOPBACK and not host.startswith("127."):
        return CheckResult("Vault", "unsafe", f"{address} is not encrypted", "use an https address")
    try:
        socket.create_connection((host, parts.port or 8200), CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        return CheckResult("Vault", "missing", f"{address}: {error}", "start it, or correct VAULT_ADDR")
    return CheckResult("Vault", "ok", address)
