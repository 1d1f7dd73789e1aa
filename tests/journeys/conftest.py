from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys.service import Slipway
from tests.kube.cluster import kubeconfig
from tests.kube.images import images

__all__ = ["images", "kubeconfig"]


@pytest.fixture(scope="session")
def slipway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slipway]:
    """One running installation for the journeys that do no harm to it."""
    service = Slipway(_home(tmp_path_factory, "journeys")).up()
    yield service
    for cluster in service.get("/tenants/demo/clusters")["items"]:
        service.delete(cluster["name"])
    service.down()


def _home(factory: pytest.TempPathFactory, name: str) -> Path:
    return factory.mktemp(name) / "data"
