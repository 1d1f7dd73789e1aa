"""The contract of `provisioners.base` as tests: every kind of site passes them. See `Bench` for what a site adds."""

from dataclasses import replace
from typing import Protocol

import pytest

from controlplane.provisioners.base import (
    STAGES,
    ClusterRef,
    DrainOutcome,
    Load,
    NodeObservation,
    NodeRef,
    Permanent,
    Provisioner,
)
from tests.provisioners.launching import (
    applied,
    cluster,
    desired,
    first,
    listed,
    make_ready,
    removed,
    states,
    tenant_removed,
    until,
    with_attempt,
)


class Bench(Protocol):
    """A site under test, and ways to damage its clusters behind its back."""

    site: Provisioner

    def break_node(self, of: ClusterRef, name: str) -> None:
        """Makes the node's command exit with code 1."""

    def lose_data(self, of: ClusterRef) -> None:
        """Deletes the volumes and the nodes of the cluster."""


class ProvisionerContract:
    @pytest.fixture
    def site(self, bench: Bench) -> Provisioner:
        return bench.site

    def test_apply_creates_the_desired_nodes(self, site: Provisioner):
        wish = desired(cluster(site), 3)
        make_ready(site, wish)
        assert states(site, wish.cluster) == {(f"worker-{index}", 1): "ready" for index in range(3)}

    def test_a_cluster_that_was_never_applied_does_not_exist(self, site: Provisioner):
        assert not site.look(cluster(site), ["worker-0"]).exists

    def test_a_node_has_an_identity_and_an_address(self, site: Provisioner):
        wish = desired(cluster(site))
        make_ready(site, wish)
        (node,) = site.look(wish.cluster, ()).nodes
        assert node.incarnation
        assert node.address

    def test_stages_are_in_order(self, site: Provisioner):
        wish = desired(cluster(site))
        make_ready(site, wish)
        (node,) = site.look(wish.cluster, ()).nodes
        assert [node.stages[stage] for stage in STAGES] == sorted(node.stages.values())

    def test_applying_again_changes_nothing(self, site: Provisioner):
        wish = desired(cluster(site), 2)
        make_ready(site, wish)
        before = site.look(wish.cluster, ()).nodes
        site.apply(wish)
        assert site.look(wish.cluster, ()).nodes == before

    def test_a_node_that_is_not_desired_is_removed(self, site: Provisioner):
        wish = desired(cluster(site), 3)
        make_ready(site, wish)
        less = replace(wish, nodes=wish.nodes[:1])
        until(lambda: applied(site, less) == {("worker-0", 1): "ready"})

    def test_the_volume_of_a_node_that_is_not_kept_is_removed(self, site: Provisioner):
        wish = desired(cluster(site), 3)
        make_ready(site, wish)
        assert site.look(wish.cluster, ()).volumes == {"worker-0", "worker-1", "worker-2"}
        less = replace(wish, nodes=wish.nodes[:1], keeps=frozenset({"worker-0"}))
        until(lambda: applied(site, less) and site.look(wish.cluster, ()).volumes == {"worker-0"})

    def test_the_volume_of_a_node_that_is_kept_stays(self, site: Provisioner):
        wish = desired(cluster(site), 2)
        make_ready(site, wish)
        less = replace(wish, nodes=wish.nodes[:1])
        until(lambda: applied(site, less) == {("worker-0", 1): "ready"})
        assert site.look(wish.cluster, ()).volumes == {"worker-0", "worker-1"}

    def test_an_ended_node_has_its_exit_code(self, bench: Bench, site: Provisioner):
        wish = desired(cluster(site))
        make_ready(site, wish)
        bench.break_node(wish.cluster, "worker-0")
        until(lambda: states(site, wish.cluster) == {("worker-0", 1): "ended"})
        (node,) = site.look(wish.cluster, ()).nodes
        assert node.exit_code == 1

    def test_an_ended_attempt_is_not_started_again(self, bench: Bench, site: Provisioner):
        wish = desired(cluster(site))
        make_ready(site, wish)
        bench.break_node(wish.cluster, "worker-0")
        until(lambda: states(site, wish.cluster) == {("worker-0", 1): "ended"})
        site.apply(wish)
        assert states(site, wish.cluster) == {("worker-0", 1): "ended"}

    def test_a_removed_attempt_is_not_started_again(self, site: Provisioner):
        wish = desired(cluster(site))
        make_ready(site, wish)
        until(lambda: not applied(site, replace(wish, nodes=())))
        site.apply(wish)
        assert states(site, wish.cluster) == {}

    def test_the_next_attempt_replaces_the_last(self, site: Provisioner):
        wish = desired(cluster(site))
        make_ready(site, wish)
        until(lambda: applied(site, with_attempt(wish, 2)) == {("worker-0", 2): "ready"})

    def test_two_attempts_of_a_node_never_exist_at_once(self, site: Provisioner):
        wish = desired(cluster(site))
        make_ready(site, wish)
        counts = set()

        def replaced() -> bool:
            found = applied(site, with_attempt(wish, 2))
            counts.add(len(found))
            return found == {("worker-0", 2): "ready"}

        until(replaced)
        assert counts <= {0, 1}

    def test_ending_a_run_removes_its_nodes_and_keeps_the_cluster(self, site: Provisioner):
        wish = desired(cluster(site), 2)
        make_ready(site, wish)
        site.end_run(wish.cluster, 1)
        until(lambda: not site.look(wish.cluster, ()).nodes)
        assert site.look(wish.cluster, ()).exists

    def test_an_ended_run_stays_ended(self, site: Provisioner):
        wish = desired(cluster(site))
        make_ready(site, wish)
        site.end_run(wish.cluster, 1)
        site.apply(wish)
        until(lambda: not states(site, wish.cluster))

    def test_a_run_can_be_ended_before_it_was_made(self, site: Provisioner):
        wish = desired(cluster(site))
        site.end_run(wish.cluster, 1)
        site.apply(wish)
        assert states(site, wish.cluster) == {}

    def test_a_later_run_follows_an_ended_one(self, site: Provisioner):
        wish = desired(cluster(site))
        make_ready(site, wish)
        site.end_run(wish.cluster, 1)
        until(lambda: not states(site, wish.cluster))
        make_ready(site, replace(wish, run=2))
        assert {node.run for node in site.look(wish.cluster, ()).nodes} == {2}

    def test_ending_an_earlier_run_leaves_the_later(self, site: Provisioner):
        wish = desired(cluster(site), run=2)
        make_ready(site, wish)
        site.end_run(wish.cluster, 1, force=True)
        assert states(site, wish.cluster) == {("worker-0", 1): "ready"}

    def test_nothing_is_left_of_a_removed_cluster(self, site: Provisioner):
        wish = desired(cluster(site), 2)
        make_ready(site, wish)
        until(lambda: removed(site, wish.cluster))
        assert wish.cluster.id not in {found.cluster_id for found in listed(site)}

    def test_a_removed_cluster_does_not_come_back(self, site: Provisioner):
        wish = desired(cluster(site))
        make_ready(site, wish)
        until(lambda: removed(site, wish.cluster))
        site.apply(wish)
        assert states(site, wish.cluster) == {}
        until(lambda: not site.look(wish.cluster, ()).exists)

    def test_a_cluster_that_does_not_exist_can_be_removed(self, site: Provisioner):
        of = cluster(site)
        site.remove(of)
        site.remove(of, force=True)
        assert not site.look(of, ()).exists

    def test_a_drain_ends_with_its_report(self, site: Provisioner):
        wish = desired(cluster(site), 2)
        make_ready(site, wish)
        site.begin_drain(wish.cluster, [first(wish)], 10)
        until(lambda: states(site, wish.cluster)["worker-0", 1] == "drained")
        report = next(node.drain for node in site.look(wish.cluster, ()).nodes if node.name == "worker-0")
        assert report
        assert report.outcome is DrainOutcome.DRAINED

    def test_only_the_requested_node_drains(self, site: Provisioner):
        wish = desired(cluster(site), 2)
        make_ready(site, wish)
        site.begin_drain(wish.cluster, [first(wish)], 10)
        until(lambda: states(site, wish.cluster)["worker-0", 1] == "drained")
        assert states(site, wish.cluster)["worker-1", 1] == "ready"

    def test_the_version_of_an_observation_grows(self, bench: Bench, site: Provisioner):
        wish = desired(cluster(site))
        make_ready(site, wish)
        (before,) = site.look(wish.cluster, ()).nodes
        bench.break_node(wish.cluster, "worker-0")
        until(lambda: states(site, wish.cluster) == {("worker-0", 1): "ended"})
        (after,) = site.look(wish.cluster, ()).nodes
        assert after.version > before.version

    def test_clusters_are_listed_with_their_tenant(self, site: Provisioner):
        wish = desired(cluster(site))
        make_ready(site, wish)
        found = {item.cluster_id: item for item in listed(site)}[wish.cluster.id]
        assert found.tenant_id == wish.cluster.tenant_id
        assert [node.name for node in found.observed.nodes] == ["worker-0"]

    def test_transitions_are_events(self, site: Provisioner):
        events = site.events()
        until(lambda: next(events) is None)
        wish = desired(cluster(site))
        site.apply(wish)

        def ready_event() -> NodeObservation | None:
            event = next(events)
            return event if event and event.state == "ready" else None

        assert until(ready_event).name == "worker-0"

    def test_the_end_of_a_log_can_be_read(self, site: Provisioner):
        wish = desired(cluster(site))
        make_ready(site, wish)
        assert until(lambda: site.logs(wish.cluster, first(wish), tail_bytes=5)).endswith(b"\n")
        assert len(site.logs(wish.cluster, first(wish), tail_bytes=5)) == 5

    def test_a_node_that_never_existed_has_no_log(self, site: Provisioner):
        assert site.logs(cluster(site), NodeRef("worker-0", 1), tail_bytes=100) == b""

    def test_following_ends_with_the_node(self, site: Provisioner):
        wish = desired(cluster(site))
        make_ready(site, wish)
        lines = site.follow(wish.cluster, first(wish))
        next(lines)
        site.end_run(wish.cluster, 1, force=True)
        assert b"" in {b"", *lines}

    def test_a_node_without_a_busy_hook_has_an_unknown_load(self, site: Provisioner):
        wish = desired(cluster(site))
        make_ready(site, wish)
        assert site.load(wish.cluster, [first(wish)]) == {"worker-0": Load(busy=None)}

    def test_lost_data_is_never_replaced_by_an_empty_volume(self, bench: Bench, site: Provisioner):
        wish = desired(cluster(site))
        make_ready(site, wish)
        site.end_run(wish.cluster, 1)
        until(lambda: not states(site, wish.cluster))
        bench.lose_data(wish.cluster)
        with pytest.raises(Permanent, match="STORAGE_LOST"):
            site.apply(replace(wish, run=2, has_data=True))

    def test_creating_and_removing_a_tenant_is_idempotent(self, site: Provisioner):
        of = cluster()
        site.ensure_tenant(of.tenant_id, of.tenant, {})
        site.ensure_tenant(of.tenant_id, of.tenant, {})
        tenant_removed(site, of.tenant_id)
        tenant_removed(site, of.tenant_id)
        assert site.check().ready
