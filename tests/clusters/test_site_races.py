"""A launch on a site and a removal of that site at the same time: one of the two is refused."""

from collections.abc import Callable

import pytest
from django.db import connection, transaction

from controlplane.clusters.models import Cluster, Site
from controlplane.clusters.services.sites import site_allow, site_found, site_put, site_remove
from tenants.errors import Conflict, Invalid, Refused
from tests.reconciler.conftest import World
from tests.work.table import eventually, on_own_connection

pytestmark = pytest.mark.django_db(transaction=True)
THERE = {"accounts": {"provision": {"kubeconfig": "/there"}}}


def meanwhile(first: Callable[[], object], second: Callable[[], object]) -> Refused | None:
    """Run `second` after `first` but before its commit. Returns the refusal of `second`."""
    refusals: list[Refused] = []

    def ask() -> None:
        try:
            second()
        except Refused as refusal:
            refusals.append(refusal)

    with transaction.atomic():
        first()
        other = on_own_connection(ask)
        assert eventually(_a_transaction_waits_for_us)
    other.join(20)
    assert not other.is_alive()
    return refusals[0] if refusals else None


def _a_transaction_waits_for_us() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
        )
        return bool(cursor.fetchone()[0])


def test_a_site_is_not_removed_during_a_launch_on_it(world: World):
    refusal = meanwhile(world.launch, lambda: site_remove(name="fake"))
    assert isinstance(refusal, Conflict)
    assert Site.objects.filter(name="fake").exists()


def test_a_launch_is_refused_during_the_removal_of_its_site(world: World):
    refusal = meanwhile(lambda: site_remove(name="fake"), world.launch)
    assert isinstance(refusal, Invalid)
    assert not Cluster.objects.exists()


def test_a_launch_is_refused_while_its_site_is_given_to_other_tenants(world: World):
    refusal = meanwhile(lambda: site_allow(name="fake", tenants=["globex"]), world.launch)
    assert isinstance(refusal, Invalid)
    assert not Cluster.objects.exists()


def test_a_site_keeps_its_identity_during_a_launch_on_it(world: World):
    Site.objects.update(identity="home")
    read = Site.objects.get()
    assert meanwhile(world.launch, lambda: site_found(site=read, identity="foreign")) is None
    assert (Site.objects.get().identity, Site.objects.get().changed) == ("home", True)


def test_a_site_keeps_its_settings_during_a_launch_on_it(world: World):
    Site.objects.update(identity="home")
    refusal = meanwhile(world.launch, lambda: site_put(name="fake", kind="fake", settings=THERE))
    assert isinstance(refusal, Conflict)
    assert Site.objects.get().settings == {}
