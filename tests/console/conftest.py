from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from django.test import Client, override_settings

from controlplane.clusters.models import Cluster
from tenants.access import Access, tenant_for
from tenants.actors import actor_for
from tenants.models import User
from tests import launchable
from tests.cast import QUICK_HASHERS, Cast, cast
from tests.reconciler.settling import fresh_fake

SignIn = Callable[[str], Client]


@dataclass
class World:
    people: Cast
    alice: Access
    bob: Access

    def user(self, name: str) -> User:
        user: User = getattr(self.people, name)
        return user

    def launch(self, name: str = "one", **groups: int) -> Cluster:
        return launchable.a_cluster(self.bob, name, **groups)


@pytest.fixture(scope="session", autouse=True)
def nothing_collected() -> Iterator[None]:
    """WhiteNoise warns that the folder of collected files is missing; the live server reads it once per run."""
    with override_settings(STATIC_ROOT=None):
        yield


@pytest.fixture
def world(db: None, settings: object) -> Iterator[World]:
    """acme with its people, a template of the tiny engine, and the fake site."""
    settings.FAKE_SITE = True  # type: ignore[attr-defined]
    settings.PASSWORD_HASHERS = QUICK_HASHERS  # type: ignore[attr-defined]
    with fresh_fake():
        people = cast()
        alice = tenant_for(actor_for(people.alice), "acme")
        bob = tenant_for(actor_for(people.bob), "acme")
        launchable.a_site()
        launchable.a_template(alice)
        yield World(people, alice, bob)


@pytest.fixture
def sign_in(world: World) -> SignIn:
    """A test client that is signed in as one of the cast and checks CSRF as in production."""

    def signed_in(name: str) -> Client:
        client = Client()
        client.force_login(world.user(name))
        return client

    return signed_in
