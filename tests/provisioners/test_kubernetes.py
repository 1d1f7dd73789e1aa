from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kube.cluster import kubeconfig
from tests.provisioners.contract import ProvisionerContract
from tests.provisioners.pods import Pods, pods_site

__all__ = ["kubeconfig"]

pytestmark = [pytest.mark.kube, pytest.mark.timeout(180)]


@pytest.fixture
def bench(kubeconfig: Path) -> Iterator[Pods]:
    with pods_site(kubeconfig) as made:
        yield made


class TestKubernetesSite(ProvisionerContract):
    pass
