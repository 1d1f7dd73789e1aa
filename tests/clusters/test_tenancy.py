"""The state of a tenant and its clusters."""

import pytest

from tenants.access import tenant_for
from tenants.actors import actor_for
from tenants.errors import Conflict
from tenants.models import Tenant
from tenants.services import tenant_delete, tenant_resume, tenant_suspend
from tests.cast import set_limits
from tests.launchable import a_cluster
from tests.reconciler.conftest import World
from tests.reconciler.settling import later, one_pass, settle


def test_clusters_of_a_suspended_tenant_stop_and_resume_unchanged(world: World) -> None:
    cluster = settle(world.launch())
    root = tenant_for(actor_for(world.people.root), "acme")
    tenant_suspend(access=root)
    cluster = settle(cluster)
    assert (cluster.phase, cluster.goal) == ("stopped", "running")
    tenant_resume(access=tenant_for(actor_for(world.people.root), "acme"))
    assert settle(cluster).phase == "ready"


def test_a_cluster_that_no_longer_fits_after_the_suspension_waits_and_says_so(world: World) -> None:
    cluster = settle(world.launch())
    tenant_suspend(access=tenant_for(actor_for(world.people.root), "acme"))
    settle(cluster)
    set_limits(world.people.acme, cpu=100)
    tenant_resume(access=tenant_for(actor_for(world.people.root), "acme"))
    cluster = settle(cluster)
    assert (cluster.phase, cluster.reason) == ("stopped", "QUOTA_EXCEEDED")
    set_limits(world.people.acme, cpu=None)
    later(40)
    assert settle(cluster).phase == "ready"


def test_nothing_starts_in_a_suspended_tenant(world: World) -> None:
    tenant_suspend(access=tenant_for(actor_for(world.people.root), "acme"))
    bob = tenant_for(actor_for(world.people.bob), "acme")
    with pytest.raises(Conflict, match="TENANT_SUSPENDED"):
        a_cluster(bob)


def test_deleting_a_tenant_deletes_its_clusters_and_frees_its_name(world: World) -> None:
    cluster = settle(world.launch())
    tenant_delete(access=tenant_for(actor_for(world.people.root), "acme"))
    cluster = settle(cluster)
    assert cluster.phase == "deleted"
    later(10)
    while one_pass():
        pass
    assert Tenant.objects.get(id=world.people.acme.id).state == "deleted"
