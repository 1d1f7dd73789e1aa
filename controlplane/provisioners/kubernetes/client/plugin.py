"""Runs a credential plugin (`exec` in a kubeconfig), as client.authentication.k8s.io specifies, in bounded time."""

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from controlplane.provisioners.kubernetes.client.errors import cut
from controlplane.provisioners.kubernetes.client.kubeconfig import Plugin

SECONDS = 60.0
MOST_BYTES = 1024 * 1024
MOST_SAID = 200
# Variables that hold Slipway's own secrets and addresses. A plugin does not get them.
_OURS = ("SLIPWAY_", "DATABASE_URL", "CELERY_", "DJANGO_", "VAULT_")


class PluginFailed(Exception):  # noqa: N818 - read as an outcome
    """The text says which plugin failed, how, and what to do."""


@dataclass(frozen=True, slots=True)
class PluginCredentials:
    """at: the time.time() at which the plugin ran. until: when the credentials expire; None when it does not say."""

    token: bytes = field(default=b"", repr=False)
    certificate: bytes = b""
    key: bytes = field(default=b"", repr=False)
    at: float = 0.0
    until: float | None = None


def title(plugin: Plugin) -> str:
    """How messages name the plugin."""
    return f"The credential plugin {Path(plugin.command).name} of user {plugin.user}"


def run_plugin(plugin: Plugin) -> PluginCredentials:
    """Raises PluginFailed."""
    who = title(plugin)
    code, output, complaint = _run(plugin, who, SECONDS)
    if code != 0:
        said = cut(" ".join(complaint.decode("utf-8", "replace").split()), MOST_SAID)
        raise PluginFailed(f"{who} failed with exit code {code}" + (f": {said}" if said else ""))
    if not output.strip():
        raise PluginFailed(f"{who} printed nothing")
    try:
        answer = json.loads(output)
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or answer.get("kind") != "ExecCredential":
        raise PluginFailed(f"{who} printed something that is no ExecCredential")
    if answer.get("apiVersion") != plugin.api_version:
        raise PluginFailed(
            f"{who} answered in {cut(str(answer.get('apiVersion')), 60)}, not {plugin.api_version}"
        )
    status = answer.get("status")
    return _credentials(who, status if isinstance(status, dict) else {})


def _credentials(who: str, status: dict[str, Any]) -> PluginCredentials:
    token, certificate, key = (
        str(status.get(name) or "").strip().encode()
        for name in ("token", "clientCertificateData", "clientKeyData")
    )
    if not token and not (certificate and key):
        raise PluginFailed(f"{who} gave neither a token nor a client certificate with its key")
    if b"\n" in token or b"\r" in token:
        raise PluginFailed(f"{who} gave a token of several lines")
    now, until = time.time(), None
    if stamp := status.get("expirationTimestamp"):
        try:
            until = datetime.fromisoformat(str(stamp)).timestamp()
        except ValueError:
            raise PluginFailed(f"{who} gave {cut(str(stamp), 60)} as the end of its credentials") from None
        if until <= now:
            raise PluginFailed(
                f"{who} gave credentials that had ended at {cut(str(stamp), 60)}: renew them, or correct "
                "this machine's clock"
            )
    return PluginCredentials(token, certificate, key, now, until)


def _run(plugin: Plugin, who: str, seconds: float) -> tuple[int, bytes, bytes]:
    """(exit code, standard output, standard error). Ends the program and its whole process group."""
    try:
        process = subprocess.Popen(
            [plugin.command, *plugin.arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(plugin),
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        hint = (
            f" {cut(plugin.hint, MOST_SAID)}" if plugin.hint else " Install it where Slipway's workers run."
        )
        cause = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise PluginFailed(f"{who} cannot be started ({cause}).{hint}") from error
    try:
        output, complaint = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise PluginFailed(f"{who} gave no answer in {seconds:g} s and was killed") from None
    finally:
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        for pipe in (process.stdout, process.stderr):
            if pipe:
                pipe.close()
        process.wait()
    if len(output) > MOST_BYTES:
        raise PluginFailed(f"{who} printed more than {MOST_BYTES} bytes")
    return process.returncode, output, complaint


def _environment(plugin: Plugin) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    spec: dict[str, Any] = {"interactive": False}
    if plugin.cluster:
        spec["cluster"] = json.loads(plugin.cluster)
    info = {"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": spec}
    return {**inherited, **dict(plugin.environment), "KUBERNETES_EXEC_INFO": json.dumps(info)}
