"""Sites are added, changed and removed; results of checks and proofs are stored."""

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone

from controlplane.clusters.models import Cluster, Site
from controlplane.clusters.phases import Phase
from controlplane.clusters.services.sites import site_proved, site_put, site_remove
from controlplane.clusters.sites import site_for
from controlplane.reconciler.site import reconcile_site as sites
from controlplane.work.claim import claim
from controlplane.work.models import Kind, Work
from tenants.errors import Conflict, Invalid, NotFound
from tenants.models import AuditEvent
from tests.reconciler.conftest import World
from tests.reconciler.settling import settle

pytestmark = pytest.mark.django_db
HERE = {"accounts": {"provision": {"kubeconfig": "/here"}}}
ANYBODY = UUID(int=1)
THERE = {"accounts": {"provision": {"kubeconfig": "/there"}}}


def put(name: str = "k8s", settings: dict[str, Any] | None = HERE, kind: str = "kubernetes") -> Site:
    return site_put(name=name, kind=kind, settings=settings)


def verbs() -> list[str]:
    return list(AuditEvent.objects.order_by("id").values_list("verb", flat=True))


def check(site: Site) -> Site:
    """Check the site, as a worker does."""
    claimed = claim([Kind.SITE])
    assert claimed is not None
    assert claimed.key == site.id
    sites.reconcile_site(claimed)
    site.refresh_from_db()
    return site


def test_a_new_site_is_due_and_audited():
    site = put()
    assert Work.objects.get(kind=Kind.SITE).key == site.id
    assert (site.ready, site.isolation, verbs()) == (False, "unknown", ["site.add"])


def test_the_same_again_changes_nothing():
    assert put().id == put().id
    assert verbs() == ["site.add"]


def test_without_settings_the_old_ones_stay():
    put()
    assert put(settings=None).settings == HERE


def test_a_changed_site_loses_all_its_proofs():
    site = put()
    site_proved(site=site, isolation="proved", proof="Holds: all.")
    put(settings=THERE)
    site.refresh_from_db()
    assert (site.settings, site.isolation, site.proof, site.proved_at) == (THERE, "unknown", "", None)
    assert verbs() == ["site.add", "site.change"]


def test_a_site_does_not_change_its_kind():
    put()
    with pytest.raises(Conflict, match="NAME_TAKEN"):
        put(kind="local")


def test_an_invalid_name_is_refused():
    with pytest.raises(Invalid):
        put(name="My Site")


def test_a_proof_is_kept_with_its_time():
    site = put()
    site_proved(site=site, isolation="not enforced", proof="Does not hold: x.")
    site.refresh_from_db()
    assert (site.isolation, site.proof) == ("not enforced", "Does not hold: x.")
    assert site.proved_at is not None


def test_a_changed_site_does_not_keep_a_late_proof():
    read_before = put()
    put(settings=THERE)
    with pytest.raises(Conflict, match="CHANGED_MEANWHILE"):
        site_proved(site=read_before, isolation="proved", proof="Holds: all.")
    assert Site.objects.get().isolation == "unknown"


def test_a_check_keeps_the_proof(tmp_path: Path):
    (tmp_path / "token").write_text("none")
    away = {"server": "http://127.0.0.1:9", "token_file": str(tmp_path / "token")}
    site = put(settings={"accounts": {"provision": away}})
    site_proved(site=site, isolation="proved", proof="Holds: all.")
    found = check(site)
    assert (found.ready, found.isolation) == (False, "proved")
    assert found.message.startswith("SITE_UNREACHABLE: ")


def test_a_site_without_isolation_says_so(world: World):
    Site.objects.update(isolation="unknown")
    site = Site.objects.get()
    site_put(name=site.name, kind=site.kind)
    assert check(site).isolation == "none"


def test_unknown_settings_are_named():
    found = check(put(settings={"accounts": {}, "colour": "red"}))
    assert not found.ready
    assert "no setting colour" in found.message


def test_a_site_with_clusters_stays(world: World):
    world.launch()
    with pytest.raises(Conflict, match=r"IN_USE.* 1 clusters"):
        site_remove(name="fake")
    assert Site.objects.filter(name="fake").exists()


def test_a_removed_site_is_shown_only_by_clusters_that_ran_on_it(world: World):
    cluster = world.launch()
    Cluster.objects.update(phase=Phase.DELETED)
    site_remove(name="fake")
    assert not Site.objects.exists()
    assert not Work.objects.filter(kind=Kind.SITE).exists()
    assert Cluster.objects.select_related("site").get(id=cluster.id).site.name == "fake"
    assert verbs()[-1] == "site.remove"


def test_the_name_of_a_removed_site_is_free_again():
    first = put()
    site_remove(name="k8s")
    assert put().id != first.id
    assert Site.objects.get().name == "k8s"


def test_an_unknown_site_cannot_be_removed():
    with pytest.raises(NotFound):
        site_remove(name="nowhere")


def test_a_cluster_is_settled_on_the_site_that_it_was_launched_on(world: World):
    put("other", kind="kubernetes")
    assert settle(world.launch()).phase == Phase.READY


def test_ids_of_sites_are_never_used_again():
    ids: set[UUID] = set()
    for _ in range(3):
        ids.add(put().id)
        site_remove(name="k8s")
    assert len(ids) == 3


def test_nothing_is_launched_on_a_removed_site(world: World):
    site_remove(name="fake")
    with pytest.raises(Invalid, match="no site"):
        world.launch()


def test_a_failing_site_does_not_fall_back_to_one_without_isolation():
    put(name="local", kind="local", settings=None)
    put()
    assert site_for("", ANYBODY).name == "local"
    Site.objects.filter(name="k8s").update(ready=False, ready_at=timezone.now())
    assert site_for("", ANYBODY).name == "k8s"
