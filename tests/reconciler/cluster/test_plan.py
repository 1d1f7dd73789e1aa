"""Every combination of goal, phase and flags: the plan makes allowed moves and needed actions only."""

import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice, product
from uuid import UUID

from controlplane.clusters.phases import MOVES, TRANSIENT, Goal, Phase
from controlplane.provisioners.base import Load, NodeObservation, NodeRef, NodeState
from controlplane.reconciler.cluster.action import Action, ActionKind, Orphans
from controlplane.reconciler.cluster.plan import plan
from controlplane.reconciler.cluster.snapshot import (
    Decision,
    PlannedNode,
    Problem,
    Snapshot,
    WantedGroup,
)
from controlplane.reconciler.node_names import NodeName, parse_node_names

NOW = datetime(2030, 1, 1, tzinfo=UTC)
CLUSTER = UUID(int=7)
GROUPS = (WantedGroup("head", "head", 1, critical=True), WantedGroup("hand", "hand", 2, drains=True))
BOOL = (False, True)


def node(name: str, state: NodeState | None = NodeState.READY, **changes: object) -> PlannedNode:
    group, index = name.split("-")
    observation = NodeObservation(CLUSTER, 1, name, 1, 1, state) if state else None
    made = PlannedNode(
        name,
        group,
        group,
        int(index),
        1,
        1,
        1,
        group == "head",
        group == "hand",
        True,
        observation=observation,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


HEAD, HANDS = node("head-0"), (node("hand-0"), node("hand-1"))
NODES: dict[str, tuple[PlannedNode, ...]] = {
    "none": (),
    "all ready": (HEAD, *HANDS),
    "head not made yet": (node("head-0", None, confirmed=False), *HANDS),
    "hand starting": (HEAD, HANDS[0], node("hand-1", NodeState.STARTING)),
    "hand unready": (HEAD, HANDS[0], node("hand-1", NodeState.UNREADY)),
    "hand ended": (HEAD, HANDS[0], node("hand-1", NodeState.ENDED)),
    "hand gone": (HEAD, HANDS[0], node("hand-1", None)),
    "head ended": (node("head-0", NodeState.ENDED), *HANDS),
    "head gone": (node("head-0", None), *HANDS),
    "one too many": (HEAD, *HANDS, node("hand-2")),
    "one leaving": (
        HEAD, *HANDS, node("hand-2", leaving=True, drain_until=NOW + timedelta(seconds=9))
    ),
    "one draining": (
        HEAD, *HANDS, node("hand-2", NodeState.DRAINING, leaving=True, drain_until=NOW + timedelta(seconds=9))
    ),
    "one drained": (HEAD, *HANDS, node("hand-2", NodeState.DRAINED, leaving=True, drain_until=NOW)),
    "one late": (
        HEAD, *HANDS, node("hand-2", NodeState.DRAINING, leaving=True, drain_until=NOW - timedelta(seconds=9))
    ),
    "one ending": (HEAD, *HANDS, node("hand-2", NodeState.READY, leaving=True, ending=True)),
    "one short": (HEAD, HANDS[0]),
    "failed often": (HEAD, HANDS[0], node("hand-1", None, confirmed=False, failures=9, retry_at=NOW)),
    "outdated": tuple(replace(item, attempt_generation=0) for item in (HEAD, *HANDS)),
}  # fmt: skip


# A stop and a delete depend only on whether anything is left at the site.
ENOUGH = {"none", "all ready", "hand ended", "one draining"}


def snapshots() -> Iterator[tuple[str, Snapshot]]:
    for goal, phase, (name, nodes) in product(Goal, Phase, NODES.items()):
        if goal is not Goal.RUNNING and name not in ENOUGH:
            continue
        for new, late, orphan, problem, executed in product(BOOL, BOOL, BOOL, BOOL, BOOL):
            for isolated, fresh, exists, old_runs in product(BOOL, BOOL, BOOL, BOOL):
                yield (
                    name,
                    Snapshot(
                        now=NOW,
                        goal=goal,
                        phase=phase,
                        generation=2 if new else 1,
                        observed_generation=1,
                        run=1,
                        groups=GROUPS,
                        nodes=nodes,
                        restart_generation=1,
                        deadline=NOW - timedelta(seconds=1) if late else None,
                        orphan_attempts=(NodeRef("hand-7", 1),) if orphan else (),
                        problem=Problem("IMAGE_MISSING", "no such image") if problem else None,
                        last_action=Action(ActionKind.REMOVE).token if executed else "",
                        last_action_at=NOW - timedelta(seconds=1),
                        last_write_at=NOW,
                        observed_at=NOW,
                        isolated=isolated,
                        fresh=fresh,
                        exists=exists,
                        old_runs=old_runs,
                    ),
                )


def kind(decision: Decision) -> ActionKind | None:
    return decision.action.kind if decision.action else None


def action(decision: Decision) -> Action:
    assert decision.action
    return decision.action


# The actions that a goal never needs. END_RUN removes an earlier run before a new one begins.
UNWANTED = {
    Goal.RUNNING: {ActionKind.REMOVE},
    Goal.STOPPED: {ActionKind.REMOVE, ActionKind.APPLY, ActionKind.DRAIN, ActionKind.ENSURE, ActionKind.LOAD},
    Goal.DELETED: {
        ActionKind.APPLY,
        ActionKind.DRAIN,
        ActionKind.ENSURE,
        ActionKind.LOAD,
        ActionKind.END_RUN,
    },
}


def test_every_snapshot_has_an_allowed_decision() -> None:
    cases, kinds, moves = 0, Counter[ActionKind | None](), set[tuple[Phase, Phase]]()
    for name, snapshot in snapshots():
        decision = plan(snapshot)
        cases += 1
        kinds[kind(decision)] += 1
        case = (name, snapshot)
        if decision.phase is not snapshot.phase:
            moves.add((snapshot.phase, decision.phase))
            # A deleted goal never changes back, so these moves cannot occur.
            impossible = snapshot.goal is not Goal.DELETED and snapshot.phase in {
                Phase.DELETING,
                Phase.DELETED,
            }
            assert impossible or decision.phase in MOVES[snapshot.phase], case
        assert kind(decision) not in UNWANTED[snapshot.goal], case
        assert not (kind(decision) is ActionKind.LOOK and snapshot.fresh), case
        assert not (decision.failed and decision.settled), case
        if kind(decision) is None and decision.next_in is None:
            assert decision.phase not in TRANSIENT, case
    assert set(kinds) == {*ActionKind, None}, f"no case for {set(ActionKind) - set(kinds)}"
    print(f"{cases} snapshots, {len(moves)} moves, {dict(kinds)}")


def test_the_same_snapshot_gives_the_same_decision_whatever_was_planned_before() -> None:
    some = list(islice(snapshots(), 0, None, 997))
    decisions = [plan(snapshot) for _, snapshot in some]
    again = [plan(copy.deepcopy(snapshot)) for _, snapshot in reversed(some)]
    assert list(reversed(again)) == decisions


def base(**changes: object) -> Snapshot:
    given: dict[str, object] = {"nodes": NODES["all ready"], "isolated": True, "restart_generation": 0}
    made = Snapshot(NOW, Goal.RUNNING, Phase.READY, 1, 1, 1, GROUPS, observed_at=NOW)
    return replace(made, **(given | changes))  # type: ignore[arg-type]


def test_a_lost_cluster_is_recorded_only_after_a_fresh_observation() -> None:
    decision = plan(base(nodes=NODES["hand gone"]))
    assert (kind(decision), decision.phase) == (ActionKind.LOOK, Phase.READY)
    assert {item.attempt for item in decision.nodes} == {1}


def test_a_lost_hand_leaves_the_cluster_ready_and_says_so() -> None:
    decision = plan(base(nodes=NODES["hand gone"], fresh=True))
    assert (decision.phase, decision.problem.reason, kind(decision)) == (
        Phase.READY,
        "NODE_LOST",
        ActionKind.APPLY,
    )


def test_a_lost_head_takes_the_cluster_back_to_starting() -> None:
    assert plan(base(nodes=NODES["head gone"], fresh=True)).phase is Phase.STARTING


def test_a_new_attempt_waits_until_the_old_one_is_gone() -> None:
    decision = plan(base(nodes=NODES["hand ended"], fresh=True))
    assert kind(decision) is ActionKind.APPLY
    assert "hand-1" not in action(decision).names
    assert next(item for item in decision.nodes if item.name == "hand-1").attempt == 1


def test_idle_nodes_are_removed_before_busy_ones() -> None:
    loads = {
        "hand-0": Load(busy=False, tasks=0),
        "hand-1": Load(busy=True, tasks=3),
        "hand-2": Load(busy=True),
    }
    decision = plan(base(generation=2, nodes=NODES["one too many"], loads=loads))
    assert [item.name for item in decision.nodes if item.leaving] == ["hand-0"]


def test_choosing_nodes_to_remove_first_asks_for_their_load() -> None:
    assert kind(plan(base(generation=2, nodes=NODES["one too many"]))) is ActionKind.LOAD


def test_a_deadline_fails_a_cluster_only_after_a_fresh_observation() -> None:
    snapshot = base(phase=Phase.STARTING, generation=2, nodes=NODES["hand starting"], deadline=NOW)
    assert kind(plan(snapshot)) is ActionKind.LOOK
    assert plan(replace(snapshot, fresh=True)).phase is Phase.FAILED


def test_a_failed_resize_leaves_a_degraded_cluster() -> None:
    snapshot = base(
        phase=Phase.RESIZING, generation=2, nodes=NODES["hand starting"], deadline=NOW, fresh=True
    )
    decision = plan(snapshot)
    assert (decision.phase, decision.problem.reason) == (Phase.READY, "DEADLINE_EXCEEDED")
    assert decision.failed


def test_a_name_freed_in_this_pass_gets_the_next_attempt() -> None:
    gone = node("hand-2", None, leaving=True, ending=True)
    groups = (GROUPS[0], replace(GROUPS[1], count=3))
    decision = plan(base(generation=2, fresh=True, groups=groups, nodes=(HEAD, *HANDS, gone)))
    assert [(item.name, item.attempt) for item in decision.nodes if item.name == "hand-2"] == [("hand-2", 2)]


def test_a_new_run_takes_the_volumes_of_staying_nodes_before_those_of_leaving_ones() -> None:
    snapshot = base(phase=Phase.STARTING, generation=2, run=2, nodes=(), fresh=True)
    left = replace(
        snapshot,
        volumes=parse_node_names({"head-0", "hand-0", "hand-1", "hand-2"}),
        draining=frozenset({"hand-0"}),
    )
    assert [item.name for item in plan(left).nodes] == ["head-0", "hand-1", "hand-2"]


def test_a_stop_ends_the_run_also_when_no_node_is_left() -> None:
    snapshot = base(goal=Goal.STOPPED, phase=Phase.STOPPING, generation=2, nodes=(), fresh=True)
    decision = plan(snapshot)
    assert kind(decision) is ActionKind.END_RUN
    assert plan(replace(snapshot, executed=decision.action)).phase is Phase.STOPPED


def test_an_executed_action_is_not_executed_again_at_once() -> None:
    snapshot = base(nodes=NODES["one short"])
    decision = plan(snapshot)
    assert kind(decision) is ActionKind.APPLY
    again = plan(
        replace(snapshot, last_action=action(decision).token, last_action_at=NOW, nodes=decision.nodes)
    )
    assert (kind(again), again.next_in) == (None, 10)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def test_observations_become_rarer_while_a_cluster_waits() -> None:
    looks, seconds = [], 0.0
    snapshot = base(phase=Phase.STARTING, generation=2, nodes=NODES["hand starting"], last_write_at=NOW)
    while seconds < 1800:
        decision = plan(replace(snapshot, now=NOW + timedelta(seconds=seconds)))
        if kind(decision) is ActionKind.LOOK:
            looks.append(seconds)
            snapshot = replace(snapshot, observed_at=NOW + timedelta(seconds=seconds))
        else:
            assert decision.next_in
            seconds += decision.next_in
    assert looks == [10, 20, 40, 80, 160, *range(320, 1800, 240)]


def test_a_hanging_drain_is_ended_after_its_time_and_slack() -> None:
    groups = (GROUPS[0], replace(GROUPS[1], count=2))
    draining = node("hand-2", NodeState.DRAINING, leaving=True, drain_until=NOW + timedelta(seconds=1))
    # It has waited for a long time, so the next periodic observation would come much later.
    snapshot = base(
        generation=2, groups=groups, nodes=(HEAD, *HANDS, draining), last_write_at=ago(600), observed_at=NOW
    )
    decision = plan(snapshot)
    assert (kind(decision), decision.next_in) == (None, 6)
    late = plan(replace(snapshot, now=NOW + timedelta(seconds=6)))
    assert [item.name for item in late.nodes if item.ending] == ["hand-2"]


def test_an_unread_drain_report_is_read_again_soon() -> None:
    draining = node("hand-2", NodeState.DRAINING, leaving=True, drain_until=NOW + timedelta(seconds=900))
    snapshot = base(generation=2, nodes=(HEAD, *HANDS, draining), last_write_at=ago(600), observed_at=NOW)
    assert plan(snapshot).next_in == 10


def test_an_orphan_of_a_deleted_cluster_is_observed() -> None:
    gone = base(
        goal=Goal.DELETED, phase=Phase.DELETED, nodes=(), last_write_at=ago(900), observed_at=ago(800)
    )
    assert (kind(plan(gone)), plan(gone).next_in) == (None, None)
    assert kind(plan(replace(gone, orphan_attempts=(NodeRef("hand-0", 1),)))) is ActionKind.LOOK


def test_a_node_that_failed_in_this_pass_gets_its_next_attempt_in_time() -> None:
    failed = node("hand-1", None, failures=2)
    snapshot = base(nodes=(HEAD, HANDS[0], failed), fresh=True, last_write_at=ago(600), observed_at=NOW)
    assert plan(snapshot).next_in == 4


def test_a_cluster_observed_after_any_late_write_rests() -> None:
    resting = base(last_write_at=ago(1000), observed_at=ago(900))
    assert (kind(plan(resting)), plan(resting).next_in) == (None, None)
    waiting = plan(base(last_write_at=ago(1000), observed_at=ago(990), now=ago(900)))
    assert (kind(waiting), waiting.next_in) == (None, 235)
    assert kind(plan(base(last_write_at=ago(1000), observed_at=ago(990)))) is ActionKind.LOOK


def test_a_doubted_cluster_is_observed_at_once_and_does_not_settle_too_soon() -> None:
    doubted = base(last_write_at=ago(1), observed_at=None)
    assert kind(plan(doubted)) is ActionKind.LOOK
    assert plan(replace(doubted, fresh=True, observed_at=NOW)).next_in == 334


def test_new_links_are_sent_to_nodes_in_every_phase_with_nodes():
    for phase in (Phase.STARTING, Phase.READY, Phase.RESIZING, Phase.FAILED):
        snapshot = Snapshot(
            NOW, Goal.RUNNING, phase, 1, 1, 1, GROUPS, NODES["all ready"], isolated=True, link_version=1
        )
        decision = plan(snapshot)
        assert kind(decision) is ActionKind.APPLY, phase
        assert action(decision).names == {"head-0", "hand-0", "hand-1"}, phase
        given = plan(replace(snapshot, executed=decision.action, link_version_given=1))
        assert kind(given) is not ActionKind.APPLY, phase


def test_actions_have_equal_tokens_only_if_their_inputs_are_equal() -> None:
    one = Action(ActionKind.APPLY, run=1, nodes=(NodeRef("hand-0", 1), NodeRef("hand-1", 1)))
    assert one.token == replace(one, nodes=one.nodes[::-1]).token
    others = [
        replace(one, run=2),
        replace(one, nodes=one.nodes[:1]),
        replace(one, nodes=one.nodes[:1], orphans=Orphans(attempts=one.nodes[1:])),
        replace(one, orphans=Orphans(volumes=(NodeName("hand", 2),))),
        replace(one, drift=("Secret hand-0 was deleted outside Slipway",)),
        replace(one, link_version=1),
    ]
    assert len({one.token, *(other.token for other in others)}) == 7
    assert all(len(other.token) <= 100 for other in others)


def test_only_names_that_slipway_makes_are_node_names() -> None:
    names = {"hand-0", "left-hand-12", "hand-01", "hand-x", "hand", "-1"}
    assert set(map(str, parse_node_names(names))) == {"hand-0", "left-hand-12"}
