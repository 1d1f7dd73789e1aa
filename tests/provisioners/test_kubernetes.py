"""The contract on real pods, with the accounts and permissions of deploy/kubernetes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane.provisioners.kubernetes.provisioner import KubernetesProvisioner
from tests.kube.cluster import kubeconfig
from tests.provisioners.contract import ProvisionerContract
from tests.provisioners.kubernetes.shipped import Shipped, shipped
from tests.provisioners.pods import Pods

__all__ = ["kubeconfig"]

pytestmark = [pytest.mark.kube, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def accounts(kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shipped]:
    with shipped(kubeconfig, tmp_path_factory.mktemp("accounts")) as made:
        assert not made.settings.shares_accounts
        yield made


@pytest.fixture
def bench(accounts: Shipped) -> Iterator[Pods]:
    made = Pods(KubernetesProvisioner(accounts.settings))
    yield made
    made.clean()


class TestSplitAccounts(ProvisionerContract):
    pass
