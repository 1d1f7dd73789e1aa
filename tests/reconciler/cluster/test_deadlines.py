"""The clock of a deadline runs while a site refuses, and stops while the site is unknown."""

from collections.abc import Callable

import pytest

from controlplane.clusters.models import Cluster
from controlplane.clusters.services import cluster_resize, cluster_start
from controlplane.provisioners.base import NotYet, Permanent, SiteUnknown, Temporary
from tests.reconciler.conftest import World
from tests.reconciler.settling import later, one_pass, reload, settle, site

MOST_REFUSALS = 40


def refuse(call: str, error: Exception) -> Callable[[str], None]:
    def refused(name: str) -> None:
        if name == call:
            raise error

    return refused


def wait_until_failed(cluster: Cluster) -> Cluster:
    for _ in range(MOST_REFUSALS):
        while one_pass():
            pass
        if (now := reload(cluster.id)).phase == "failed":
            return now
        later(60)
    raise AssertionError(f"still {now.phase} after {MOST_REFUSALS} minutes: {now.reason}")


@pytest.mark.parametrize("call", ["apply", "ensure_tenant"])
def test_a_refusal_for_a_known_reason_fails_at_the_deadline_and_says_the_reason(
    world: World, call: str
) -> None:
    cluster = world.launch()
    site(cluster).before_call = refuse(call, NotYet("PORT_TAKEN", "port 7077 is taken"))
    failed = wait_until_failed(cluster)
    assert failed.reason == "DEADLINE_EXCEEDED"
    assert "PORT_TAKEN: port 7077 is taken" in failed.message
    assert cluster.operations.get().state == "failed"


def test_an_earlier_run_that_does_not_end_fails_the_start_at_its_deadline(world: World) -> None:
    cluster = settle(world.launch())
    Cluster.objects.filter(id=cluster.id).update(phase="failed", observed_generation=1)
    cluster_start(access=world.bob, cluster="one")
    site(cluster).before_call = refuse("end_run", NotYet("NODE_LINGERS", "processes of head-0 do not end"))
    assert "NODE_LINGERS" in wait_until_failed(cluster).message


@pytest.mark.parametrize(
    "error",
    [
        SiteUnknown("SITE_UNREACHABLE", "no answer"),
        NotYet("SITE_FORBIDS", "pods cannot be read"),
        Permanent("SITE_REJECTS", "no such query"),
    ],
)
def test_a_site_that_cannot_be_read_stops_the_clock(world: World, error: Exception) -> None:
    cluster = world.launch()
    site(cluster).unready = {"hand-1"}
    settle(cluster)
    later(3600)
    site(cluster).before_call = refuse("look", error)
    before = cluster.operations.get().deadline
    one_pass()
    after = cluster.operations.get().deadline
    assert reload(cluster.id).phase == "starting"
    assert before is not None
    assert after is not None
    assert after > before


def test_the_reason_of_a_refusal_stays_visible_between_attempts(world: World) -> None:
    cluster = world.launch()
    fake, said = site(cluster), []

    def refused(name: str) -> None:
        if name == "apply":
            said.append(reload(cluster.id).reason)
            raise NotYet("PORT_TAKEN", "port 7077 is taken")

    fake.before_call = refused
    for _ in range(3):
        one_pass()
        later(60)
    assert said[-1] == "PORT_TAKEN"


def test_a_refused_resize_ends_at_its_deadline_and_leaves_the_cluster_ready(world: World) -> None:
    cluster = settle(world.launch())
    site(cluster).before_call = refuse("apply", NotYet("SITE_QUOTA", "exceeded quota"))
    cluster_resize(access=world.bob, cluster="one", groups={"hand": {"count": 3}})
    for _ in range(MOST_REFUSALS):
        one_pass()
        later(60)
    assert reload(cluster.id).phase == "ready"
    assert cluster.operations.order_by("-id")[0].reason == "DEADLINE_EXCEEDED"


def test_an_outcome_without_a_kind_cannot_be_raised() -> None:
    with pytest.raises(TypeError, match="SiteUnknown or NotYet"):
        Temporary("AWAY", "not now")
