"""What to do next for one cluster: a pure function from a snapshot to a decision.

A decision is recorded before its action is executed, so an action always follows from what is stored. After a crash
between the two, the next snapshot leads to the same action. What an action achieved is believed only once it is
observed.
"""

from dataclasses import replace
from datetime import timedelta

from controlplane.clusters.phases import Goal, Phase
from controlplane.provisioners.base import NodeState
from controlplane.reconciler.cluster import planned_nodes
from controlplane.reconciler.cluster.action import Action, ActionKind
from controlplane.reconciler.cluster.snapshot import Decision, Problem, Snapshot
from controlplane.reconciler.timing import LIST_SECONDS, LISTING_WAIT, QUIET

# After an action, its effect has so long to show before the cluster is looked at and the action is executed again.
REPEAT_SECONDS = 10
MAX_FAILURES = 5
# An object that the nodes of a cluster need was changed or deleted by hand.
DRIFTED = "DRIFTED"
# A node or a volume was requested to end and does not end.
STUCK = "STUCK"
HELP = "A site admin can see to that, or release the cluster once it is being deleted."


def plan(snapshot: Snapshot) -> Decision:
    match snapshot.goal:
        case Goal.DELETED:
            decision = _delete(snapshot)
            decision = (
                _release(snapshot, decision) if snapshot.released else _report_stuck(snapshot, decision)
            )
        case Goal.STOPPED:
            decision = _report_stuck(snapshot, _stop(snapshot))
        case Goal.RUNNING:
            decision = _run(snapshot)
    if decision.action is not None and not decision.problem.reason:
        # The last problem stays recorded until the action has an answer.
        decision = replace(decision, problem=snapshot.last_problem)
    return decision


# -- stop and delete ----------------------------------------------------------------------------------------------


def _delete(snapshot: Snapshot) -> Decision:
    done = snapshot.phase is Phase.DELETED
    decision = Decision(Phase.DELETED if done else Phase.DELETING, snapshot.run, ())
    if snapshot.phase not in {Phase.DELETING, Phase.DELETED}:
        return replace(decision, nodes=snapshot.nodes, next_in=0)
    if snapshot.fresh and not snapshot.exists:
        return _rest(snapshot, replace(decision, phase=Phase.DELETED, settled=not done))
    if done and not snapshot.fresh and not (snapshot.orphan_attempts or snapshot.old_runs):
        return _rest(snapshot, decision)
    decision = replace(decision, nodes=snapshot.nodes)
    if not snapshot.fresh:
        return replace(decision, action=Action(ActionKind.LOOK))
    return _execute_once(snapshot, decision, Action(ActionKind.REMOVE, force=snapshot.force))


def _stop(snapshot: Snapshot) -> Decision:
    left = bool(
        snapshot.orphan_attempts or snapshot.old_runs or any(node.observation for node in snapshot.nodes)
    )
    if snapshot.phase is Phase.STOPPED and not left:
        return _rest(snapshot, Decision(Phase.STOPPED, snapshot.run, (), settled=snapshot.unsettled))
    decision = Decision(Phase.STOPPING, snapshot.run, snapshot.nodes, next_in=0)
    if not snapshot.fresh:
        return replace(decision, action=Action(ActionKind.LOOK))
    if snapshot.phase is not Phase.STOPPING:
        return decision
    end_run = Action(ActionKind.END_RUN, run=snapshot.run, force=snapshot.force)
    executed = snapshot.has_executed(end_run)
    if left or not (executed or snapshot.last_action == end_run.token):
        # Also when no node is left: ending the run removes what its nodes needed.
        return _execute_once(snapshot, decision, end_run)
    return _rest(
        snapshot,
        Decision(
            Phase.STOPPED, snapshot.run, (), settled=True, executed=snapshot.executed if executed else None
        ),
    )


def _report_stuck(snapshot: Snapshot, decision: Decision) -> Decision:
    """Tell what does not end, as the last fresh look showed it."""
    if decision.phase not in {Phase.STOPPING, Phase.DELETING}:
        return decision
    if snapshot.stuck:
        return replace(decision, problem=Problem(STUCK, f"{'; '.join(snapshot.stuck)}. {HELP}"))
    if not snapshot.fresh and snapshot.last_problem.reason == STUCK:
        return replace(decision, problem=snapshot.last_problem)
    return decision


def _release(snapshot: Snapshot, decision: Decision) -> Decision:
    """A released cluster is deleted at once, whatever is left at the site.

    What is left is removed and looked for as often as the site is listed, until nothing is left.
    """
    decision = replace(decision, problem=snapshot.last_problem)
    if snapshot.phase is Phase.DELETING:
        return replace(decision, phase=Phase.DELETED, nodes=(), action=None, settled=True, next_in=0)
    if snapshot.phase is Phase.DELETED and snapshot.executed:
        return replace(decision, action=None, next_in=LIST_SECONDS)
    return decision


# -- run ----------------------------------------------------------------------------------------------------------


def _run(snapshot: Snapshot) -> Decision:
    if snapshot.phase is Phase.FAILED and not snapshot.unsettled:
        decision = Decision(Phase.FAILED, snapshot.run, snapshot.nodes, problem=snapshot.last_problem)
        if not snapshot.links_due or snapshot.problem:
            return _rest(snapshot, decision)
        # The nodes that a failed cluster left for diagnosis get the new links. No node is made or ended.
        observed = tuple(node for node in snapshot.nodes if node.observation)
        return _execute_once(snapshot, decision, _apply(snapshot, observed))
    if snapshot.phase in {Phase.PENDING, Phase.STOPPED, Phase.FAILED, Phase.STOPPING}:
        return Decision(Phase.STARTING, snapshot.run + 1, (), next_in=0)
    if snapshot.old_runs:
        return _end_old_runs(snapshot)
    if not snapshot.isolated:
        return _isolate(snapshot)
    return _converge(snapshot)


def _end_old_runs(snapshot: Snapshot) -> Decision:
    """What an earlier run left is ended before the first node of this run is made."""
    decision = Decision(Phase.STARTING, snapshot.run, ())
    if not snapshot.fresh:
        return replace(decision, action=Action(ActionKind.LOOK))
    if snapshot.late:
        return _give_up(snapshot, decision, planned_nodes.why_late((), snapshot.last_problem))
    end_run = Action(ActionKind.END_RUN, run=snapshot.run - 1, force=snapshot.force)
    return _execute_once(snapshot, decision, end_run)


def _isolate(snapshot: Snapshot) -> Decision:
    """Ensure the isolation of the tenant at the site, once for each run, before its first node is made."""
    decision = Decision(snapshot.phase, snapshot.run, snapshot.nodes)
    if snapshot.problem:
        return _give_up(snapshot, decision, snapshot.problem)
    ensure = Action(ActionKind.ENSURE, run=snapshot.run)
    if snapshot.has_executed(ensure):
        return replace(decision, isolated=True, next_in=0)
    if not snapshot.late:
        return replace(decision, action=ensure)
    if not snapshot.fresh:
        return replace(decision, action=Action(ActionKind.LOOK))
    return _give_up(snapshot, decision, planned_nodes.why_late(snapshot.nodes, snapshot.last_problem))


def _converge(snapshot: Snapshot) -> Decision:
    """Decide for each node whether it stays, is replaced, leaves or is added; then what to do about it."""
    decision = Decision(snapshot.phase, snapshot.run, snapshot.nodes, isolated=True)
    # A later run continues with the volumes of the one before: the names of its nodes depend on them.
    continues = snapshot.run > 1 and not snapshot.nodes
    if not snapshot.fresh and (continues or any(map(planned_nodes.is_doubtful, snapshot.nodes))):
        return replace(decision, action=Action(ActionKind.LOOK))
    nodes = planned_nodes.update_attempts(snapshot)
    nodes = planned_nodes.mark_restarts(nodes, snapshot.restart_generation)
    surplus = planned_nodes.groups_with_surplus(snapshot.groups, nodes)
    if snapshot.loads is None and any(
        planned_nodes.choice_matters(snapshot.groups, nodes, group) for group in surplus
    ):
        candidates = tuple(node.ref for node in nodes if node.group in surplus and not node.leaving)
        return replace(decision, nodes=nodes, action=Action(ActionKind.LOAD, nodes=candidates))
    nodes = planned_nodes.shrink(snapshot, nodes)
    nodes, drained = planned_nodes.finish_drains(snapshot, nodes)
    nodes = planned_nodes.grow(snapshot, nodes)
    phase = snapshot.phase
    if any(node.critical and planned_nodes.is_lost(node) for node in nodes):
        phase = Phase.STARTING
    elif phase is Phase.READY and snapshot.unsettled:
        phase = Phase.RESIZING
    return _judge(snapshot, replace(decision, phase=phase, nodes=nodes, drained=drained))


def _judge(snapshot: Snapshot, decision: Decision) -> Decision:
    """Whether the cluster is complete, has failed or is under way; then the action that is due."""
    if snapshot.problem:
        return _give_up(snapshot, decision, snapshot.problem)
    worst = max(decision.nodes, key=lambda node: node.failures, default=None)
    if decision.phase is Phase.STARTING and worst is not None and worst.failures >= MAX_FAILURES:
        failed = Problem("NODE_FAILED", f"{worst.name} ended {worst.failures} times in a row")
        return _give_up(snapshot, decision, failed)
    if planned_nodes.is_complete(snapshot.groups, decision.nodes):
        decision = replace(decision, phase=Phase.READY, settled=snapshot.unsettled)
        if snapshot.drift:
            words = f"{'; '.join(snapshot.drift)}; it is being repaired"
            decision = replace(decision, problem=Problem(DRIFTED, words))
        due = snapshot.links_due or snapshot.drift or planned_nodes.orphans(snapshot, decision.nodes)
        return _pursue(snapshot, decision) if due else _rest(snapshot, decision)
    if decision.phase is Phase.RESIZING and snapshot.deadline is None:
        # Its operation was cancelled. What is missing is repaired like any lost node.
        decision = replace(decision, phase=Phase.READY, settled=snapshot.unsettled)
    if snapshot.late:
        if not snapshot.fresh:
            return replace(decision, action=Action(ActionKind.LOOK))
        return _give_up(snapshot, decision, planned_nodes.why_late(decision.nodes, snapshot.last_problem))
    return _pursue(snapshot, replace(decision, problem=planned_nodes.why_not_ready(decision.nodes)))


def _pursue(snapshot: Snapshot, decision: Decision) -> Decision:
    """Drain or apply what the site does not show yet, each once; then wait until it is observed."""
    to_drain = tuple(node.ref for node in decision.nodes if planned_nodes.must_drain(node))
    if to_drain:
        drain = _execute_once(snapshot, decision, Action(ActionKind.DRAIN, nodes=to_drain))
        if drain.action:
            return drain
    due = planned_nodes.due_nodes(snapshot, decision.nodes)
    orphans = planned_nodes.orphans(snapshot, decision.nodes)
    to_make = any(node.observation is None for node in due)
    to_end = any(node.ending and node.observation for node in decision.nodes)
    if snapshot.links_due or to_make or to_end or orphans or snapshot.drift:
        apply = replace(_apply(snapshot, due), orphans=orphans, drift=snapshot.drift)
        return _execute_once(snapshot, decision, apply)
    return _wait(snapshot, decision)


def _apply(snapshot: Snapshot, nodes: planned_nodes.Nodes) -> Action:
    refs = tuple(node.ref for node in nodes)
    return Action(ActionKind.APPLY, run=snapshot.run, nodes=refs, link_version=snapshot.link_version)


def _give_up(snapshot: Snapshot, decision: Decision, problem: Problem) -> Decision:
    """A cluster that starts fails. A later problem fails the operation and leaves the cluster ready but degraded."""
    decision = replace(decision, problem=problem, failed=problem if snapshot.unsettled else None)
    if decision.phase is Phase.STARTING and snapshot.phase is not Phase.STARTING:
        return replace(decision, failed=None, next_in=0)
    if decision.phase is Phase.STARTING:
        return replace(decision, phase=Phase.FAILED, failed=problem, next_in=0)
    return replace(decision, phase=Phase.READY, next_in=float(REPEAT_SECONDS))


# -- execute, wait, rest ------------------------------------------------------------------------------------------


def _execute_once(snapshot: Snapshot, decision: Decision, action: Action) -> Decision:
    """Execute the action, but a second time only if a fresh look some seconds later shows that it is still needed."""
    if snapshot.has_executed(action):
        decision = replace(decision, executed=snapshot.executed)
        # A node that had ended before may be removed already; all other effects take their time.
        if not snapshot.fresh and any(node.state is NodeState.ENDED for node in snapshot.nodes):
            return replace(decision, action=Action(ActionKind.LOOK))
        return replace(decision, next_in=_next_in(snapshot, decision, REPEAT_SECONDS))
    if snapshot.last_action == action.token and snapshot.last_action_at:
        left = REPEAT_SECONDS - (snapshot.now - snapshot.last_action_at).total_seconds()
        if left > 0:
            return replace(decision, next_in=_next_in(snapshot, decision, left))
        if not snapshot.fresh:
            return replace(decision, action=Action(ActionKind.LOOK))
    return replace(decision, action=action)


def _wait(snapshot: Snapshot, decision: Decision) -> Decision:
    """Wait for observations, and look when none comes.

    Looks become rarer with time, because room or an image may take long, and the listing of the site shows the
    cluster too. A drain keeps its short interval: its report has no other way here if it could not be read once.
    """
    observed_at = snapshot.observed_at or snapshot.now - LISTING_WAIT
    waited = observed_at - (snapshot.last_write_at or observed_at)
    if any(node.state is NodeState.DRAINING for node in decision.nodes):
        waited = timedelta()
    pause = min(max(waited, timedelta(seconds=REPEAT_SECONDS)), LISTING_WAIT)
    left = (observed_at + pause - snapshot.now).total_seconds()
    if left > 0 or snapshot.fresh:
        return replace(decision, next_in=_next_in(snapshot, decision, max(left, 1)))
    return replace(decision, action=Action(ActionKind.LOOK))


def _next_in(snapshot: Snapshot, decision: Decision, seconds: float) -> float:
    """At most these seconds, and no later than the next moment at which time alone changes the decision."""
    drains = (node.drain_until + planned_nodes.DRAIN_SLACK for node in decision.nodes if node.drain_until)
    moments = [snapshot.deadline, *(node.retry_at for node in decision.nodes), *drains]
    left = [(moment - snapshot.now).total_seconds() for moment in moments if moment and moment > snapshot.now]
    return min([seconds, *left])


def _rest(snapshot: Snapshot, decision: Decision) -> Decision:
    """Rest until woken, but only after an observation that no late write can follow.

    The listing of the site is such an observation, for all its clusters at once. The cluster looks for itself only
    when no listing comes, or when what the listing showed is in doubt.
    """
    if snapshot.last_write_at is None:
        return decision
    if snapshot.observed_at is None:
        return replace(decision, action=Action(ActionKind.LOOK))
    if snapshot.observed_at >= snapshot.last_write_at + QUIET:
        return decision
    overdue_at = snapshot.last_write_at + QUIET + LISTING_WAIT
    if snapshot.now < overdue_at:
        return replace(decision, next_in=(overdue_at - snapshot.now).total_seconds())
    return replace(decision, action=Action(ActionKind.LOOK))
