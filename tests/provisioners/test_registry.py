"""One provisioner per site and process, as the site is now."""

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


def test_a_site_that_stays_as_it_is_keeps_its_provisioner(registry: Registry):
    assert kubernetes(registry) is kubernetes(registry)


def test_each_site_has_its_own(registry: Registry):
    assert kubernetes(registry) is not kubernetes(registry, "other")


def test_of_a_changed_site_nothing_is_kept(registry: Registry):
    before = weakref.ref(kubernetes(registry))
    after = kubernetes(registry, cpu_burst=2)
    gc.collect()
    assert before() is None
    assert kubernetes(registry, cpu_burst=2) is after


def test_who_still_works_with_it_shares_it_with_whoever_knows_the_site_as_it_was(registry: Registry):
    before = kubernetes(registry)
    kubernetes(registry, cpu_burst=2)
    assert kubernetes(registry) is before


def test_the_clients_of_a_kubernetes_make_sure_of_it(registry: Registry):
    found = kubernetes(registry)
    assert isinstance(found, KubernetesProvisioner)
    assert isinstance(found.accounts, Clients)
    assert set(found.accounts._verify_identity) == set(VERIFIED)
