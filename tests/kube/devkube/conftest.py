"""A fresh devkube beside the usual one, with objects that all tests here share."""

import os
import re
from collections.abc import Iterator

import pytest

from deploy.devkube import lifecycle
from deploy.devkube.settings import Devkube
from tests.kube.cluster import skip_without_devkube
from tests.kube.devkube.calls import apply
from tests.kube.devkube.objects import world
from tests.kube.devkube.traces import traces


def own() -> Devkube:
    """The devkube of this test process. Its name and networks have the numbers of the usual one and of the worker."""
    usual = Devkube.from_environment()
    number = int(re.sub(r"\D", "", usual.name))
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    return Devkube(
        root=usual.root,
        name=f"slipwayt{chr(ord('a') + worker)}{number}",
        link=f"172.{20 + worker}.{number}",
        pods=f"10.{20 + number}.{32 * worker}",
        services=f"10.{20 + number}.{32 * worker + 16}",
    )


@pytest.fixture(scope="package")
def before() -> set[str]:
    """The traces of devkubes on the machine before this one was made."""
    skip_without_devkube()
    lifecycle.down(own(), wipe=True)
    return traces(own())


@pytest.fixture(scope="package")
def kube(before: set[str]) -> Iterator[Devkube]:
    kube = own()
    lifecycle.up(kube, print)
    try:
        # `apply` repeats: a pod needs the default ServiceAccount, which appears shortly after the namespace.
        apply(kube, *world())
        for namespace in ("one", "two", "four"):
            kube.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod", "--all", "--timeout=60s")
        yield kube
    finally:
        lifecycle.down(kube, wipe=True)
