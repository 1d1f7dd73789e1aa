"""The Kubernetes that the environment of `up` names: by KUBECONFIG, or by the pod that `up` runs in."""

import os
from typing import Any

from controlplane.provisioners.kubernetes.client import reach
from controlplane.provisioners.kubernetes.settings import SettingsInvalid
from controlplane.standalone.installation.errors import ExpectedError

SITE = "k8s"


def named() -> dict[str, Any] | None:
    """Returns how its API server is reached, by one account for all work; None without one. Raises ExpectedError."""
    files = os.environ.get("KUBECONFIG", "")
    try:
        if files:
            return reach.by_kubeconfig(files)
        return reach.in_cluster() if reach.runs_in_cluster() else None
    except SettingsInvalid as error:
        raise ExpectedError(f"Cannot use KUBECONFIG: {error} Correct it, or unset it.") from error


def greeting() -> str:
    """Returns the line that `up` prints about its Kubernetes, "" without one. Raises nothing."""
    try:
        reached = named()
    except ExpectedError as error:
        return f"no site {SITE}: {error}"
    if reached is None:
        return ""
    where = f"context {reached['context']}" if "context" in reached else "the cluster that this runs in"
    return (
        f"site {SITE} is {where}, unless `site add {SITE}` said otherwise; one account does all there: "
        "deploy/kubernetes has one for each kind of work"
    )
