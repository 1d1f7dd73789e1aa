"""Runs passes in the test itself; wakes are only stored."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from django.db import connection

from controlplane.clusters.models import Cluster
from controlplane.provisioners.fake import FakeProvisioner
from controlplane.reconciler.site.observations import add_observations
from controlplane.reconciler.site.provisioning import provisioner_of
from controlplane.reconciler.tasks import HANDLERS
from controlplane.work.claim import claim
from controlplane.work.loop import run_once

MOST_PASSES = 60


def site(cluster: Cluster) -> FakeProvisioner:
    found = provisioner_of(cluster.site)
    assert isinstance(found, FakeProvisioner)
    return found


def one_pass(*, news: FakeProvisioner | None = None) -> bool:
    """Handle the next due work item. Returns whether there was one. news: a site whose events are stored first."""
    for observation in news.news() if news else []:
        add_observations(observation)
    _hurry()
    claimed = claim(list(HANDLERS))
    if claimed is None:
        return False
    run_once(claimed, HANDLERS[claimed.kind])
    return True


def _hurry() -> None:
    """Make items due that would be due in 3 s, such as those that wait for the end of a burst."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE work_work SET due_at = clock_timestamp()"
            " WHERE due_at BETWEEN clock_timestamp() AND clock_timestamp() + interval '3 seconds'"
        )


def settle(cluster: Cluster) -> Cluster:
    """Run passes, and store observations in between, until nothing is due. Returns the cluster as it is then."""
    for _ in range(MOST_PASSES):
        if not one_pass(news=site(cluster)) and site(cluster)._events.empty():
            return Cluster.objects.get(id=cluster.id)
    raise AssertionError(f"still at work after {MOST_PASSES} passes: {reload(cluster.id).phase}")


def later(seconds: float) -> None:
    """Let time pass: items due in these seconds become due, and all recorded times move into the past."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE work_work SET due_at = due_at - %(s)s * interval '1 second', lease_until = NULL",
            {"s": seconds},
        )
        cursor.execute(
            "UPDATE clusters_cluster SET last_action_at = last_action_at - %(s)s * interval '1 second',"
            " last_write_at = last_write_at - %(s)s * interval '1 second',"
            " observed_at = observed_at - %(s)s * interval '1 second'",
            {"s": seconds},
        )
        cursor.execute(
            "UPDATE clusters_operation SET deadline = deadline - %s * interval '1 second'", [seconds]
        )
        cursor.execute(
            "UPDATE clusters_node SET drain_until = drain_until - %(s)s * interval '1 second',"
            " retry_at = retry_at - %(s)s * interval '1 second'",
            {"s": seconds},
        )


def reload(cluster_id: UUID) -> Cluster:
    return Cluster.objects.get(id=cluster_id)


@contextmanager
def fresh_fake() -> Iterator[None]:
    """A fake site without the clusters of other tests."""
    from controlplane.provisioners import registry

    registry.provisioner.cache_clear()
    yield
    registry.provisioner.cache_clear()
