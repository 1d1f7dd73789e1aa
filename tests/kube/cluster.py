"""The Kubernetes that the kube tests use: the one that SLIPWAY_TEST_KUBECONFIG names, or a devkube."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.devkube import lifecycle, programs
from deploy.devkube.settings import Devkube
from deploy.tooling.providers import KUBECONFIG


def skip_without_devkube() -> None:
    if clause := programs.obstacle():
        pytest.skip(
            f"no Kubernetes for the kube tests: a devkube cannot run here, {clause}; or name one by {KUBECONFIG}"
        )


@pytest.fixture(scope="session")
def kubeconfig() -> Iterator[Path]:
    """How to reach a Kubernetes with real pods, as its admin. A devkube that was not running goes down at the end."""
    if named := os.environ.get(KUBECONFIG):
        if not Path(named).is_file():
            pytest.fail(f"{KUBECONFIG} names {named}, which is not a file")
        yield Path(named)
        return
    skip_without_devkube()
    kube = Devkube.from_environment()
    was_up = lifecycle.is_up(kube)
    if not was_up:
        lifecycle.up(kube, print)
    try:
        yield kube.kubeconfig
    finally:
        if not was_up:
            lifecycle.down(kube)
