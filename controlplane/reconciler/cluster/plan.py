"""The next step of one cluster. Pure: the same view gives the same step, and every step repeats without harm.

A step is recorded first and carried out after, so an act always follows from what is stored: a crash between the
two is a view in which the act was not carried out yet. What an act achieved is believed only when it is seen.
"""

from dataclasses import replace
from datetime import timedelta

from controlplane.clusters.phases import Goal, Phase
from controlplane.provisioners.base import WRITE_SECONDS, NodeState
from controlplane.reconciler.cluster import planned_nodes as on
from controlplane.reconciler.cluster.snapshot import Act, Step, Trouble, View
from controlplane.work.claim import LEASE_SECONDS

# How long an act that was carried out is given to show, before its site is asked and told again.
REPEAT_SECONDS = 10
# After the last act a paused worker may still be about to write: only a look later than this is the last word.
QUIET = timedelta(seconds=LEASE_SECONDS + WRITE_SECONDS)
# Every site is listed this often. Whoever waits for that gives the listing itself a minute besides.
LIST_SECONDS = 180
LISTING_WAIT = timedelta(seconds=LIST_SECONDS + 60)
MAX_FAILURES = 5
# Something that the nodes of a cluster need was changed or deleted by hand.
DRIFTED = "DRIFTED"
# Something was told to go and does not.
STUCK = "STUCK"
HELP = "A site admin can see to that, or release the cluster once it is being deleted."


def plan(view: View) -> Step:
    step = _plan(view)
    if step.act is not None and not step.reason:
        # What was in the way stays said until the act has an answer.
        step = replace(step, reason=view.why.reason, message=view.why.message)
    return step


def _plan(view: View) -> Step:
    match view.goal:
        case Goal.DELETED:
            return _released(view, _delete(view)) if view.released else _held(view, _delete(view))
        case Goal.STOPPED:
            return _held(view, _stop(view))
        case Goal.RUNNING:
            return _run(view)


# -- going away ---------------------------------------------------------------------------------------------------


def _delete(view: View) -> Step:
    done = view.phase is Phase.DELETED
    step = Step(Phase.DELETED if done else Phase.DELETING, view.run, ())
    if view.phase not in {Phase.DELETING, Phase.DELETED}:
        return replace(step, places=view.places, next_in=0)
    if view.fresh and not view.exists:
        return _rest(view, replace(step, phase=Phase.DELETED, settled=not done))
    if done and not view.fresh and not (view.strays or view.old_runs):
        return _rest(view, step)
    if not view.fresh:
        return replace(step, places=view.places, act=Act.LOOK)
    return _ask(view, replace(step, places=view.places), Act.REMOVE, f"remove:{view.force}")


def _stop(view: View) -> Step:
    at_rest = view.phase is Phase.STOPPED
    left = bool(view.strays or view.old_runs or any(place.observation for place in view.places))
    if at_rest and not left:
        return _rest(
            view, Step(Phase.STOPPED, view.run, (), settled=view.generation > view.observed_generation)
        )
    step = Step(Phase.STOPPING, view.run, view.places, next_in=0)
    if not view.fresh:
        return replace(step, act=Act.LOOK)
    if view.phase is not Phase.STOPPING:
        return step
    token = f"end:{view.run}:{view.force}"
    if left or token not in {view.told, view.last_action}:
        # Also when no node is left: what nodes needed is the run's too, and ends with it.
        return _ask(view, step, Act.END_RUN, token)
    return _rest(view, Step(Phase.STOPPED, view.run, (), settled=True, last_action=token))


def _held(view: View, step: Step) -> Step:
    """Say what does not go, as the last look told it."""
    if step.phase not in {Phase.STOPPING, Phase.DELETING}:
        return step
    if view.stuck:
        return replace(step, reason=STUCK, message=f"{'; '.join(view.stuck)}. {HELP}")
    if not view.fresh and view.why.reason == STUCK:
        return replace(step, reason=view.why.reason, message=view.why.message)
    return step


def _released(view: View, step: Step) -> Step:
    """Done whatever is left; that is removed and looked for as long as there is any, as often as its site is listed."""
    told = Trouble(view.why.reason, view.why.message)
    step = replace(step, reason=told.reason, message=told.message)
    if view.phase is Phase.DELETING:
        return replace(step, phase=Phase.DELETED, places=(), act=None, settled=True, next_in=0)
    if view.phase is Phase.DELETED and view.told:
        return replace(step, act=None, next_in=LIST_SECONDS)
    return step


# -- being there --------------------------------------------------------------------------------------------------


def _run(view: View) -> Step:
    if view.phase is Phase.FAILED and view.generation == view.observed_generation:
        step = Step(Phase.FAILED, view.run, view.places, reason=view.why.reason, message=view.why.message)
        return _close(view, step) if view.links_due and not view.trouble else _rest(view, step)
    if view.phase in {Phase.PENDING, Phase.STOPPED, Phase.FAILED, Phase.STOPPING}:
        return _begin(view)
    if view.old_runs:
        return _clear(view)
    if not view.isolated:
        return _isolate(view)
    return _converge(view)


def _close(view: View, step: Step) -> Step:
    """What a failed cluster left for its diagnosis opens by its new links alone. Nothing is made, nothing ends."""
    there = tuple(place.name for place in step.places if place.observation)
    return _ask(view, step, Act.APPLY, f"apply:{view.run}:{view.link_version}:failed", names=there)


def _begin(view: View) -> Step:
    """A new run: whatever an earlier one left is ended before the first node of this one is made."""
    return Step(Phase.STARTING, view.run + 1, (), next_in=0)


def _clear(view: View) -> Step:
    step = Step(Phase.STARTING, view.run, ())
    if not view.fresh:
        return replace(step, act=Act.LOOK)
    if _is_late(view):
        return _give_up(view, step, on.why_late((), view.why))
    return _ask(view, step, Act.END_RUN, f"end:{view.run - 1}:{view.force}")


def _isolate(view: View) -> Step:
    step = Step(view.phase, view.run, view.places)
    if view.trouble:
        return _give_up(view, step, view.trouble)
    token = f"ensure:{view.run}"
    if view.told == token:
        return replace(step, isolated=True, next_in=0)
    if _is_late(view):
        if not view.fresh:
            return replace(step, act=Act.LOOK)
        return _give_up(view, step, on.why_late(step.places, view.why))
    return replace(step, act=Act.ENSURE, token=token)


def _converge(view: View) -> Step:
    step = Step(view.phase, view.run, view.places, isolated=True)
    # A run that is not the first goes on with the volumes of the last: the names that it gives depend on them.
    again = view.run > 1 and not view.places
    if not view.fresh and (again or any(on.doubtful(place) for place in view.places)):
        return replace(step, act=Act.LOOK)
    places = on.settle_fates(view)
    places = on.mark_restarts(places, view.restart_generation)
    short = on.surplus(view.groups, places)
    if short and view.loads is None and any(on.matters(view.groups, places, group) for group in short):
        names = tuple(place.name for place in places if place.group in short and not place.leaving)
        return replace(step, places=places, act=Act.LOAD, names=names)
    places = on.shrink(view, places)
    places, drained = on.finish_drains(view, places)
    places = on.grow(view, places)
    return _judge(view, replace(step, places=places, drained=drained))


def _judge(view: View, step: Step) -> Step:
    """Which phase this is, now that every place's fate is known; then what is to be done about it."""
    step = replace(step, phase=_phase(view, step))
    worst = max(step.places, key=lambda place: place.failures, default=None)
    if view.trouble:
        return _give_up(view, step, view.trouble)
    if step.phase is Phase.STARTING and worst is not None and worst.failures >= MAX_FAILURES:
        return _give_up(
            view, step, Trouble("NODE_FAILED", f"{worst.name} ended {worst.failures} times in a row")
        )
    if on.complete(view.groups, step.places):
        step = replace(step, phase=Phase.READY, settled=view.observed_generation < view.generation)
        if view.drift:
            step = replace(step, reason=DRIFTED, message=drifted(view.drift))
        due = view.links_due or on.strays(view, step.places)
        return _pursue(view, step) if due else _rest(view, step)
    if step.phase is Phase.RESIZING and view.deadline is None:
        # Its operation was cancelled: nobody waits for it, and what is missing is repaired like any lost node.
        step = replace(step, phase=Phase.READY, settled=view.observed_generation < view.generation)
    if _is_late(view):
        if not view.fresh:
            return replace(step, act=Act.LOOK)
        return _give_up(view, step, on.why_late(step.places, view.why))
    trouble = on.why_not_ready(step.places)
    return _pursue(view, replace(step, reason=trouble.reason, message=trouble.message))


def _is_late(view: View) -> bool:
    expired = view.deadline is not None and view.now >= view.deadline
    return expired and view.observed_generation < view.generation


def _phase(view: View, step: Step) -> Phase:
    if any(place.critical and on.lost(place) for place in step.places):
        return Phase.STARTING
    if view.phase is Phase.READY and view.generation > view.observed_generation:
        return Phase.RESIZING
    return view.phase


def _pursue(view: View, step: Step) -> Step:
    """Tell the site what is not so yet, each thing once, then wait to see it."""
    to_drain = tuple(place.name for place in step.places if on.to_be_drained(place))
    if to_drain:
        asked = _ask(view, step, Act.DRAIN, "drain:" + on.digest(to_drain), names=to_drain)
        if asked.act:
            return asked
    wanted = on.wanted(view, step.places)
    if view.links_due or on.differs(view, step.places, wanted):
        token = f"apply:{view.run}:{view.link_version}:" + on.digest(
            [*(f"{p.name}@{p.attempt}" for p in wanted), "-", *on.strays(view, step.places)]
        )
        return _ask(view, step, Act.APPLY, token, names=tuple(place.name for place in wanted))
    return _wait(view, step)


def _give_up(view: View, step: Step, trouble: Trouble) -> Step:
    """Starting fails the cluster; anything later fails the operation and leaves a cluster that works, degraded."""
    waiting = view.observed_generation < view.generation
    failed = trouble if waiting else None
    step = replace(step, reason=trouble.reason, message=trouble.message, failed=failed)
    if step.phase is Phase.STARTING and view.phase is not Phase.STARTING:
        return replace(step, failed=None, next_in=0)
    if step.phase is Phase.STARTING:
        return replace(step, phase=Phase.FAILED, failed=trouble, next_in=0)
    return replace(step, phase=Phase.READY, next_in=float(REPEAT_SECONDS))


def drifted(drift: tuple[str, ...]) -> str:
    return f"{'; '.join(drift)}; it is being repaired"


# -- asking, waiting, resting -------------------------------------------------------------------------------------


def _ask(view: View, step: Step, act: Act, token: str, names: tuple[str, ...] = ()) -> Step:
    """Carry the act out once; again only when a fresh look says that it is still needed some seconds later."""
    if view.told == token:
        # What had ended before it was cleared away shows at once; all else takes its time.
        if not view.fresh and any(place.state is NodeState.ENDED for place in view.places):
            return replace(step, last_action=token, act=Act.LOOK)
        return replace(step, last_action=token, next_in=_next(view, step, REPEAT_SECONDS))
    if view.last_action == token and view.last_action_at:
        left = REPEAT_SECONDS - (view.now - view.last_action_at).total_seconds()
        if left > 0:
            return replace(step, next_in=_next(view, step, left))
        if not view.fresh:
            return replace(step, act=Act.LOOK)
    return replace(step, act=act, token=token, names=names)


def _wait(view: View, step: Step) -> Step:
    """Everything was told; news should come by itself, and is fetched when it does not.

    Ever less often, because who waits for room or for an image waits long, and the listing of the site tells of him
    too; but a drain whose report could not be read has no other news.
    """
    observed_at = view.observed_at or view.now - LISTING_WAIT
    waited = observed_at - (view.last_write_at or observed_at)
    if any(place.state is NodeState.DRAINING for place in step.places):
        waited = timedelta()
    pause = min(max(waited, timedelta(seconds=REPEAT_SECONDS)), LISTING_WAIT)
    left = (observed_at + pause - view.now).total_seconds()
    if left > 0 or view.fresh:
        return replace(step, next_in=_next(view, step, max(left, 1)))
    return replace(step, act=Act.LOOK)


def _next(view: View, step: Step, seconds: float) -> float:
    """No later than the next moment at which time alone changes what is to be done."""
    drains = (place.drain_until + on.DRAIN_SLACK for place in step.places if place.drain_until)
    moments = [view.deadline, *(place.retry_at for place in step.places), *drains]
    left = [(moment - view.now).total_seconds() for moment in moments if moment and moment > view.now]
    return min([seconds, *left])


def _rest(view: View, step: Step) -> Step:
    """Nothing to do. Rest for good only after a look that no late write can follow.

    The site's own listing is one, for all its clusters at once: a look of the cluster's own is taken only when that
    does not come, or when what it showed is doubted.
    """
    if view.last_write_at is None:
        return step
    if view.observed_at is None:
        return replace(step, act=Act.LOOK)
    if view.observed_at >= view.last_write_at + QUIET:
        return step
    overdue_at = view.last_write_at + QUIET + LISTING_WAIT
    if view.now < overdue_at:
        return replace(step, next_in=(overdue_at - view.now).total_seconds())
    return replace(step, act=Act.LOOK)
