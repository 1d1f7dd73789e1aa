"""A tenant is deleted only when every site has confirmed the removal."""

import pytest

from controlplane.clusters.models import Cluster
from controlplane.clusters.services import cluster_delete
from controlplane.provisioners.base import NotYet, Permanent
from tenants import services
from tenants.access import tenant_for
from tenants.actors import actor_for
from tenants.models import Tenant
from tests.reconciler.conftest import World
from tests.reconciler.settling import later, settle, site


def deleted_with(world: World, error: Exception) -> tuple[Cluster, Tenant]:
    """Delete the tenant while its only site answers the removal with `error`."""
    cluster = settle(world.launch())
    fake = site(cluster)

    def refuse(name: str) -> None:
        if name == "remove_tenant":
            raise error

    fake.before_call = refuse
    cluster_delete(access=world.bob, cluster="one")
    settle(cluster)
    root = tenant_for(actor_for(world.people.root), "acme")
    services.tenant_delete(access=root)
    settle(cluster)
    return cluster, Tenant.objects.get(pk=world.people.acme.pk)


@pytest.mark.parametrize(
    "error",
    [
        Permanent("SITE_REJECTS", 'admission webhook "keep.example" denied the request'),
        NotYet("NAMESPACE_GOING", "some content has finalizers", delay=5),
    ],
    ids=lambda error: error.reason,
)
def test_a_tenant_is_not_deleted_while_a_site_refuses_to_remove_it(world: World, error: Exception) -> None:
    cluster, tenant = deleted_with(world, error)
    assert tenant.state == "deleting"
    site(cluster).before_call = lambda name: None
    later(120)
    settle(cluster)
    tenant.refresh_from_db()
    assert tenant.state == "deleted"
