from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.pods import Pods
from tests.journeys.service import Slipway, wait_for
from tests.kube.cluster import kubeconfig
from tests.kube.images import images

__all__ = ["images", "kubeconfig"]


@pytest.fixture(scope="session")
def slipway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slipway]:
    """One running installation for all journeys that leave it intact."""
    service = Slipway(_home(tmp_path_factory, "journeys")).up()
    yield service
    service.leave()


@pytest.fixture(scope="package")
def pods(kubeconfig: Path, images: None) -> Pods:
    return Pods(kubeconfig)


@pytest.fixture(scope="package")
def on_pods(kubeconfig: Path, images: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slipway]:
    """One running installation with the site k8s. It removes all that it made on the Kubernetes at the end."""
    environment = {"KUBECONFIG": str(kubeconfig), "SLIPWAY_FETCH_RUNTIMES": "0"}
    service = Slipway(_home(tmp_path_factory, "pods"), environment).up()
    try:
        wait_for("site", lambda: _site(service)["ready"], seconds=60)
        yield service
        _leave(service)
    finally:
        service.down()


def _leave(service: Slipway) -> None:
    """Delete the clusters, the tenant and the site, as an admin would."""
    for cluster in service.get("/tenants/demo/clusters")["items"]:
        service.delete(cluster["name"])
    assert service.call("DELETE", "/tenants/demo").status_code == 202
    wait_for("end of the tenant", lambda: service.call("GET", "/tenants/demo").status_code == 404, seconds=60)
    service.manage("site", "remove", "k8s")


def _site(service: Slipway) -> dict[str, Any]:
    found: dict[str, Any] = next(site for site in service.get("/sites")["items"] if site["name"] == "k8s")
    assert "another installation" not in found["message"], found
    return found


def _home(factory: pytest.TempPathFactory, name: str) -> Path:
    return factory.mktemp(name) / "data"
