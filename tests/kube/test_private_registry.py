"""A cluster whose image is in a registry that requires a login."""

from pathlib import Path

import pytest

from controlplane.clusters.models import Cluster
from tests.kube.registry import WRONG, Registry
from tests.kube.working import working

pytestmark = [pytest.mark.kube, pytest.mark.timeout(180)]


def test_a_cluster_gets_its_image_with_the_login_of_its_site(
    registry: Registry, kubeconfig: Path, tmp_path: Path, transactional_db: None
) -> None:
    image = registry.image()
    with working(kubeconfig, image=image, registry_auth=registry.login(tmp_path)) as tenant:
        tenant.launch("one", hand={"count": 1})
    assert registry.gave(image)


def test_a_cluster_says_that_its_image_cannot_be_pulled_with_a_wrong_login(
    registry: Registry, kubeconfig: Path, tmp_path: Path, transactional_db: None
) -> None:
    image, login = registry.image(), registry.login(tmp_path, password=WRONG)
    with working(kubeconfig, image=image, registry_auth=login) as tenant:
        cluster = tenant.begin("one", hand={"count": 1})
        tenant.until_true(lambda: Cluster.objects.get(pk=cluster).reason == "IMAGE_PULL")
        message = Cluster.objects.get(pk=cluster).message
    assert f"cannot pull image {image}: " in message
    assert "401 Unauthorized" in message
    assert WRONG not in message
    assert not registry.gave(image)
