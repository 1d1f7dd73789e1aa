"""One provisioner per site and process, for the site's current settings."""

import gc
import json
import weakref
from pathlib import Path

import pytest

from controlplane.provisioners.base import Provisioner
from controlplane.provisioners.kubernetes.client.accounts import Clients
from controlplane.provisioners.kubernetes.provisioner import KubernetesProvisioner
from controlplane.provisioners.kubernetes.site.identity import VERIFIED
from controlplane.provisioners.registry import Registry

SETTINGS = {"installation": "0" * 16, "accounts": {"provision": {"kubeconfig": "/nowhere"}}}


@pytest.fixture
def registry() -> Registry:
    return Registry()


def kubernetes(registry: Registry, name: str = "k8s", **settings: object) -> Provisioner:
    return registry("kubernetes", name, Path("/nowhere"), json.dumps(SETTINGS | settings))


def test_the_same_settings_give_the_same_provisioner(registry: Registry):
    assert kubernetes(registry) is kubernetes(registry)


def test_each_site_has_its_own_provisioner(registry: Registry):
    assert kubernetes(registry) is not kubernetes(registry, "other")


def test_the_provisioner_of_old_settings_is_freed(registry: Registry):
    before = weakref.ref(kubernetes(registry))
    after = kubernetes(registry, cpu_burst=2)
    gc.collect()
    assert before() is None
    assert kubernetes(registry, cpu_burst=2) is after


def test_callers_with_the_old_settings_share_the_old_provisioner_while_it_is_in_use(registry: Registry):
    before = kubernetes(registry)
    kubernetes(registry, cpu_burst=2)
    assert kubernetes(registry) is before


def test_the_clients_of_a_kubernetes_verify_its_identity(registry: Registry):
    found = kubernetes(registry)
    assert isinstance(found, KubernetesProvisioner)
    assert isinstance(found.accounts, Clients)
    assert set(found.accounts._verify_identity) == set(VERIFIED)
