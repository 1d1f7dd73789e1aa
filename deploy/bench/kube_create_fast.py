"""Like kube_create, but Kubernetes' controllers and scheduler may send 300 requests a second instead of 20 and 50."""

from typing import Any

from kube_create import measured


def measure() -> dict[str, Any]:
    return measured(fast=True)
