from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from controlplane.clusters.models import Cluster
from tenants.access import Access, tenant_for
from tenants.actors import actor_for
from tests import launchable
from tests.cast import Cast, cast
from tests.reconciler.settling import fresh_fake


@dataclass
class World:
    people: Cast
    alice: Access
    bob: Access

    def launch(self, name: str = "one", **groups: int) -> Cluster:
        return launchable.a_cluster(self.bob, name, **groups)


@pytest.fixture
def world(db: None, settings: object) -> Iterator[World]:
    """acme with its people, a template of the tiny engine, and the fake site."""
    settings.FAKE_SITE = True  # type: ignore[attr-defined]
    with fresh_fake():
        people = cast()
        alice = tenant_for(actor_for(people.alice), "acme")
        bob = tenant_for(actor_for(people.bob), "acme")
        launchable.a_site()
        launchable.a_template(alice)
        yield World(people, alice, bob)
