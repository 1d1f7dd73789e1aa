from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from controlplane.clusters.models import Cluster
from tenants.access import Access, tenant_for
from tenants.actors import actor_for
from tenants.models import Role
from tests import launchable
from tests.api.api import Api, as_user
from tests.api.things import Things, things_of
from tests.cast import QUICK_HASHERS, Cast, a_member, a_user, cast
from tests.reconciler.settling import fresh_fake, settle


@dataclass
class World:
    """A client for each person, with dave as another member, and the template "pair" to launch."""

    people: Cast
    alice: Api
    bob: Api
    carol: Api
    dave: Api
    charlie: Api
    root: Api
    anonymous: Api
    bob_access: Access

    def launch(self, name: str = "one", **groups: int) -> Cluster:
        """Launch a cluster of bob, which stays pending."""
        return launchable.a_cluster(self.bob_access, name, **groups)

    def ready(self, name: str = "one", **groups: int) -> Cluster:
        return settle(self.launch(name, **groups))


@pytest.fixture
def world(db: None, settings: object) -> Iterator[World]:
    settings.FAKE_SITE = True  # type: ignore[attr-defined]
    settings.PASSWORD_HASHERS = QUICK_HASHERS  # type: ignore[attr-defined]
    settings.STATIC_ROOT = None  # type: ignore[attr-defined]
    with fresh_fake():
        people = cast()
        dave = a_user("dave")
        a_member(people.acme, dave, Role.MEMBER)
        launchable.a_site()
        launchable.a_template(tenant_for(actor_for(people.alice), "acme"))
        named = {
            name: as_user(getattr(people, name)) for name in ("alice", "bob", "carol", "charlie", "root")
        }
        bob = tenant_for(actor_for(people.bob), "acme")
        yield World(people=people, anonymous=Api(), bob_access=bob, dave=as_user(dave), **named)


@pytest.fixture
def things(world: World) -> Things:
    return things_of(world)
