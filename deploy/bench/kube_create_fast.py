"""As kube_create, with Kubernetes' own controllers and scheduler allowed 300 calls a second instead of 20 and 50."""

from typing import Any

from kube_create import measured


def measure() -> dict[str, Any]:
    return measured(fast=True)
