"""Makes the credentials of a cluster: one certificate for its servers, and a token for each client."""

import base64
import json
import secrets

from deploy.devkube.settings import Devkube, DevkubeError, run

# Client with a kubeconfig -> its user and group.
CLIENTS = {
    "admin": ("admin", "system:masters"),
    "controller-manager": ("system:kube-controller-manager", ""),
    "scheduler": ("system:kube-scheduler", ""),
    "kube-proxy": ("system:kube-proxy", ""),
    "kubelet": ("system:node:{name}", "system:nodes"),
}
# The API server presents it to its clients and to kubelet. It is self-signed.
CERTIFICATE = """openssl req -x509 -newkey rsa:2048 -noenc -days 3650 -subj /O=system:masters/CN=kubernetes
  -keyout kubernetes.key -out kubernetes.crt -addext"""


def provide(kube: Devkube) -> None:
    """Write pki/ and config/*.kubeconfig, readable by root alone, unless they are there."""
    folder, done = kube.state / "pki", kube.state / "pki" / "addresses"
    ends = ("", ".default", ".default.svc", ".default.svc.cluster.local")
    names = ",".join(f"DNS:kubernetes{end}" for end in ends)
    addresses = f"subjectAltName={names},IP:{kube.link}.2,IP:{kube.services}.1"
    if not done.exists():
        folder.mkdir(mode=0o700, exist_ok=True)
        run(CERTIFICATE, addresses, cwd=folder)
        _write_tokens(kube)
        done.write_text(addresses)
    if done.read_text() != addresses:
        raise DevkubeError(f"{kube.state} was made for other networks: take it down with --wipe first.")


def _write_tokens(kube: Devkube) -> None:
    authority = base64.b64encode((kube.state / "pki" / "kubernetes.crt").read_bytes()).decode()
    server = {"server": f"https://{kube.link}.2:{kube.port}", "certificate-authority-data": authority}
    lines = []
    for client, (user, group) in CLIENTS.items():
        token = secrets.token_urlsafe(32)
        lines.append(f'{token},{user.format(name=kube.name)},{client},"{group}"\n')
        parts = {
            "clusters": [{"name": kube.name, "cluster": server}],
            "users": [{"name": client, "user": {"token": token}}],
            "contexts": [{"name": kube.name, "context": {"cluster": kube.name, "user": client}}],
        }
        config = {"apiVersion": "v1", "kind": "Config", "current-context": kube.name, **parts}
        target = kube.state / "config" / f"{client}.kubeconfig"
        target.touch(mode=0o600)
        target.write_text(json.dumps(config))
    (kube.state / "pki" / "tokens.csv").write_text("".join(lines))
