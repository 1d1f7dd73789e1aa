"""The plan over every goal, phase and flag: only allowed moves, never an act that the goal does not want."""

import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice, product
from uuid import UUID

from controlplane.clusters.phases import MOVES, TRANSIENT, Goal, Phase
from controlplane.provisioners.base import NodeObservation, NodeState
from controlplane.reconciler.cluster.plan import plan
from controlplane.reconciler.cluster.snapshot import Act, Place, Trouble, View, WantedGroup

NOW = datetime(2030, 1, 1, tzinfo=UTC)
CLUSTER = UUID(int=7)
GROUPS = (WantedGroup("head", "head", 1, critical=True), WantedGroup("hand", "hand", 2, drains=True))
BOOL = (False, True)


def place(name: str, state: NodeState | None = NodeState.READY, **changes: object) -> Place:
    group, index = name.split("-")
    observation = NodeObservation(CLUSTER, 1, name, 1, 1, state) if state else None
    made = Place(
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


HEAD, HANDS = place("head-0"), (place("hand-0"), place("hand-1"))
PLACES: dict[str, tuple[Place, ...]] = {
    "none": (),
    "all ready": (HEAD, *HANDS),
    "head not made yet": (place("head-0", None, confirmed=False), *HANDS),
    "hand starting": (HEAD, HANDS[0], place("hand-1", NodeState.STARTING)),
    "hand unready": (HEAD, HANDS[0], place("hand-1", NodeState.UNREADY)),
    "hand ended": (HEAD, HANDS[0], place("hand-1", NodeState.ENDED)),
    "hand gone": (HEAD, HANDS[0], place("hand-1", None)),
    "head ended": (place("head-0", NodeState.ENDED), *HANDS),
    "head gone": (place("head-0", None), *HANDS),
    "one too many": (HEAD, *HANDS, place("hand-2")),
    "one leaving": (
        HEAD, *HANDS, place("hand-2", leaving=True, drain_until=NOW + timedelta(seconds=9))
    ),
    "one draining": (
        HEAD, *HANDS, place("hand-2", NodeState.DRAINING, leaving=True, drain_until=NOW + timedelta(seconds=9))
    ),
    "one drained": (HEAD, *HANDS, place("hand-2", NodeState.DRAINED, leaving=True, drain_until=NOW)),
    "one late": (
        HEAD, *HANDS, place("hand-2", NodeState.DRAINING, leaving=True, drain_until=NOW - timedelta(seconds=9))
    ),
    "one ending": (HEAD, *HANDS, place("hand-2", NodeState.READY, leaving=True, ending=True)),
    "one short": (HEAD, HANDS[0]),
    "failed often": (HEAD, HANDS[0], place("hand-1", None, confirmed=False, failures=9, retry_at=NOW)),
    "outdated": tuple(replace(item, attempt_generation=0) for item in (HEAD, *HANDS)),
}  # fmt: skip


# Going away asks only whether something is there.
ENOUGH = {"none", "all ready", "hand ended", "one draining"}


def views() -> Iterator[tuple[str, View]]:
    for goal, phase, (name, places) in product(Goal, Phase, PLACES.items()):
        if goal is not Goal.RUNNING and name not in ENOUGH:
            continue
        for new, late, stray, trouble, asked in product(BOOL, BOOL, BOOL, BOOL, BOOL):
            for isolated, fresh, exists, old_runs in product(BOOL, BOOL, BOOL, BOOL):
                yield (
                    name,
                    View(
                        now=NOW,
                        goal=goal,
                        phase=phase,
                        generation=2 if new else 1,
                        observed_generation=1,
                        run=1,
                        groups=GROUPS,
                        places=places,
                        restart_generation=1,
                        deadline=NOW - timedelta(seconds=1) if late else None,
                        strays=("hand-7@1",) if stray else (),
                        trouble=Trouble("IMAGE_MISSING", "no such image") if trouble else None,
                        last_action="remove:False" if asked else "",
                        last_action_at=NOW - timedelta(seconds=1),
                        last_write_at=NOW,
                        observed_at=NOW,
                        isolated=isolated,
                        fresh=fresh,
                        exists=exists,
                        old_runs=old_runs,
                    ),
                )


# What a goal has no use for. END_RUN clears an earlier run before a new one begins.
UNWANTED = {
    Goal.RUNNING: {Act.REMOVE},
    Goal.STOPPED: {Act.REMOVE, Act.APPLY, Act.DRAIN, Act.ENSURE, Act.LOAD},
    Goal.DELETED: {Act.APPLY, Act.DRAIN, Act.ENSURE, Act.LOAD, Act.END_RUN},
}


def test_every_view_has_an_allowed_step() -> None:
    cases, acts, moves = 0, Counter[Act | None](), set[tuple[Phase, Phase]]()
    for name, view in views():
        step = plan(view)
        cases += 1
        acts[step.act] += 1
        told = (name, view)
        if step.phase is not view.phase:
            moves.add((view.phase, step.phase))
            # A deleted goal never changes back: what cannot occur need not be movable.
            impossible = view.goal is not Goal.DELETED and view.phase in {Phase.DELETING, Phase.DELETED}
            assert impossible or step.phase in MOVES[view.phase], told
        assert step.act not in UNWANTED[view.goal], told
        assert not (step.act is Act.LOOK and view.fresh), told
        assert not (step.failed and step.settled), told
        if step.act is None and step.next_in is None:
            assert step.phase not in TRANSIENT, told
    assert set(acts) == {*Act, None}, f"no case for {set(Act) - set(acts)}"
    print(f"{cases} views, {len(moves)} moves, {dict(acts)}")


def test_the_same_view_gives_the_same_step_whatever_was_planned_before() -> None:
    some = list(islice(views(), 0, None, 997))
    steps = [plan(view) for _, view in some]
    again = [plan(copy.deepcopy(view)) for _, view in reversed(some)]
    assert list(reversed(again)) == steps


def base(**changes: object) -> View:
    given: dict[str, object] = {"places": PLACES["all ready"], "isolated": True, "restart_generation": 0}
    made = View(NOW, Goal.RUNNING, Phase.READY, 1, 1, 1, GROUPS, observed_at=NOW)
    return replace(made, **(given | changes))  # type: ignore[arg-type]


def test_gone_is_believed_only_after_a_fresh_look() -> None:
    step = plan(base(places=PLACES["hand gone"]))
    assert (step.act, step.phase) == (Act.LOOK, Phase.READY)
    assert {item.attempt for item in step.places} == {1}


def test_a_lost_hand_leaves_the_cluster_ready_and_says_so() -> None:
    step = plan(base(places=PLACES["hand gone"], fresh=True))
    assert (step.phase, step.reason, step.act) == (Phase.READY, "NODE_LOST", Act.APPLY)


def test_a_lost_head_takes_the_cluster_back_to_starting() -> None:
    assert plan(base(places=PLACES["head gone"], fresh=True)).phase is Phase.STARTING


def test_a_new_attempt_waits_until_the_old_one_is_gone() -> None:
    step = plan(base(places=PLACES["hand ended"], fresh=True))
    assert step.act is Act.APPLY
    assert "hand-1" not in step.names
    assert next(item for item in step.places if item.name == "hand-1").attempt == 1


def test_the_idle_leave_before_the_busy() -> None:
    from controlplane.provisioners.base import Load

    loads = {
        "hand-0": Load(busy=False, tasks=0),
        "hand-1": Load(busy=True, tasks=3),
        "hand-2": Load(busy=True),
    }
    step = plan(base(generation=2, places=PLACES["one too many"], loads=loads))
    assert [item.name for item in step.places if item.leaving] == ["hand-0"]


def test_choosing_who_leaves_asks_first_what_they_work_on() -> None:
    assert plan(base(generation=2, places=PLACES["one too many"])).act is Act.LOAD


def test_a_deadline_is_not_believed_without_a_fresh_look() -> None:
    view = base(phase=Phase.STARTING, generation=2, places=PLACES["hand starting"], deadline=NOW)
    assert plan(view).act is Act.LOOK
    assert plan(replace(view, fresh=True)).phase is Phase.FAILED


def test_a_resize_that_cannot_be_done_leaves_a_degraded_cluster() -> None:
    view = base(phase=Phase.RESIZING, generation=2, places=PLACES["hand starting"], deadline=NOW, fresh=True)
    step = plan(view)
    assert (step.phase, step.reason) == (Phase.READY, "DEADLINE_EXCEEDED")
    assert step.failed


def test_a_name_that_is_free_since_this_very_pass_gets_the_next_attempt() -> None:
    gone = place("hand-2", None, leaving=True, ending=True)
    groups = (GROUPS[0], replace(GROUPS[1], count=3))
    step = plan(base(generation=2, fresh=True, groups=groups, places=(HEAD, *HANDS, gone)))
    assert [(item.name, item.attempt) for item in step.places if item.name == "hand-2"] == [("hand-2", 2)]


def test_a_new_run_takes_up_what_was_to_stay_before_what_was_to_leave() -> None:
    view = base(phase=Phase.STARTING, generation=2, run=2, places=(), fresh=True)
    left = replace(
        view, volumes=frozenset({"head-0", "hand-0", "hand-1", "hand-2"}), draining=frozenset({"hand-0"})
    )
    assert [item.name for item in plan(left).places] == ["head-0", "hand-1", "hand-2"]


def test_a_stop_ends_the_run_also_when_no_node_is_left() -> None:
    view = base(goal=Goal.STOPPED, phase=Phase.STOPPING, generation=2, places=(), fresh=True)
    told = plan(view)
    assert told.act is Act.END_RUN
    assert plan(replace(view, told=told.token)).phase is Phase.STOPPED


def test_what_was_told_is_not_told_again_at_once() -> None:
    view = base(places=PLACES["one short"])
    told = plan(view)
    assert told.act is Act.APPLY
    again = plan(replace(view, last_action=told.token, last_action_at=NOW, places=told.places))
    assert (again.act, again.next_in) == (None, 10)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def test_who_waits_for_long_is_looked_at_ever_less_often() -> None:
    looks, seconds = [], 0.0
    view = base(phase=Phase.STARTING, generation=2, places=PLACES["hand starting"], last_write_at=NOW)
    while seconds < 1800:
        step = plan(replace(view, now=NOW + timedelta(seconds=seconds)))
        if step.act is Act.LOOK:
            looks.append(seconds)
            view = replace(view, observed_at=NOW + timedelta(seconds=seconds))
        else:
            assert step.next_in
            seconds += step.next_in
    assert looks == [10, 20, 40, 80, 160, *range(320, 1800, 240)]


def test_a_drain_that_hangs_is_ended_once_its_time_and_slack_are_over() -> None:
    groups = (GROUPS[0], replace(GROUPS[1], count=2))
    draining = place("hand-2", NodeState.DRAINING, leaving=True, drain_until=NOW + timedelta(seconds=1))
    # It was looked at for long already, so a look would come much later.
    view = base(
        generation=2, groups=groups, places=(HEAD, *HANDS, draining), last_write_at=ago(600), observed_at=NOW
    )
    step = plan(view)
    assert (step.act, step.next_in) == (None, 6)
    late = plan(replace(view, now=NOW + timedelta(seconds=6)))
    assert [item.name for item in late.places if item.ending] == ["hand-2"]


def test_a_drain_whose_report_was_not_read_is_asked_for_again_soon() -> None:
    draining = place("hand-2", NodeState.DRAINING, leaving=True, drain_until=NOW + timedelta(seconds=900))
    view = base(generation=2, places=(HEAD, *HANDS, draining), last_write_at=ago(600), observed_at=NOW)
    assert plan(view).next_in == 10


def test_what_is_seen_of_a_deleted_cluster_is_looked_at() -> None:
    gone = base(
        goal=Goal.DELETED, phase=Phase.DELETED, places=(), last_write_at=ago(900), observed_at=ago(800)
    )
    assert (plan(gone).act, plan(gone).next_in) == (None, None)
    assert plan(replace(gone, strays=("hand-0@1",))).act is Act.LOOK


def test_a_node_that_failed_in_this_very_pass_gets_its_next_chance_in_time() -> None:
    failed = place("hand-1", None, failures=2)
    view = base(places=(HEAD, HANDS[0], failed), fresh=True, last_write_at=ago(600), observed_at=NOW)
    assert plan(view).next_in == 4


def test_what_was_looked_at_after_any_late_write_rests() -> None:
    resting = base(last_write_at=ago(1000), observed_at=ago(900))
    assert (plan(resting).act, plan(resting).next_in) == (None, None)
    waiting = plan(base(last_write_at=ago(1000), observed_at=ago(990), now=ago(900)))
    assert (waiting.act, waiting.next_in) == (None, 235)
    assert plan(base(last_write_at=ago(1000), observed_at=ago(990))).act is Act.LOOK


def test_what_is_doubted_is_looked_at_at_once_and_does_not_rest_too_soon() -> None:
    doubted = base(last_write_at=ago(1), observed_at=None)
    assert plan(doubted).act is Act.LOOK
    assert plan(replace(doubted, fresh=True, observed_at=NOW)).next_in == 334


def test_new_links_are_given_to_the_nodes_in_every_phase_that_has_some():
    for phase in (Phase.STARTING, Phase.READY, Phase.RESIZING, Phase.FAILED):
        seen = View(
            NOW, Goal.RUNNING, phase, 1, 1, 1, GROUPS, PLACES["all ready"], isolated=True, link_version=1
        )
        step = plan(seen)
        assert (step.act, set(step.names)) == (Act.APPLY, {"head-0", "hand-0", "hand-1"}), phase
        given = plan(replace(seen, told=step.token, link_version_given=1))
        assert given.act is not Act.APPLY, phase
