"""Which verbs are allowed in each phase, and during each operation."""

from itertools import product
from uuid import uuid4

import pytest
from django.db import transaction

from controlplane.clusters.models import Cluster
from controlplane.clusters.operations import live_operation, operation_begin
from controlplane.clusters.phases import FITS, GOAL_OF, SUPERSEDES, Phase, Verb
from controlplane.clusters.services import cluster_verb_plan
from controlplane.clusters.services.verbs import VerbRequest, cluster_verb
from controlplane.work.models import Work
from tenants import access
from tenants.actors import actor_for
from tenants.errors import Conflict, NeedsRole, NotFound, PreconditionFailed, QuotaExceeded
from tenants.models import AuditEvent, Claim
from tenants.quota import ledger_differences
from tests.cast import set_limits
from tests.reconciler.conftest import World
from tests.reconciler.settling import settle

# CONFIGURE has its own service, see test_configure.
VERBS = [verb for verb in Verb if verb not in {Verb.CREATE, Verb.CONFIGURE}]


def request(verb: Verb, **more: object) -> VerbRequest:
    groups = {"hand": {"count": 3}} if verb is Verb.RESIZE else None
    return VerbRequest(verb, groups=groups, **more)  # type: ignore[arg-type]


def put(cluster: Cluster, phase: Phase, live: Verb | None = None) -> None:
    Cluster.objects.filter(id=cluster.id).update(phase=phase, generation=5)
    cluster.operations.all().delete()
    cluster.refresh_from_db()
    if live:
        operation_begin(cluster, verb=live, actor="bob")


def ask(world: World, cluster: Cluster, verb: Verb) -> str:
    """ "accepted", "same", or the reason of the refusal."""
    before = cluster.generation
    try:
        with transaction.atomic():
            after = cluster_verb(access=world.bob, cluster=str(cluster.id), request=request(verb))
    except Conflict as refusal:
        return refusal.reason
    return "accepted" if after.generation == before + 1 else "same"


def test_a_verb_is_accepted_in_exactly_the_phases_that_fit_it(world: World) -> None:
    cluster, cases = world.launch(), 0
    for verb, phase in product(VERBS, Phase):
        with transaction.atomic():
            put(cluster, phase)
            expected = "accepted" if phase in FITS[verb] else "WRONG_PHASE"
            assert ask(world, cluster, verb) == expected, (verb, phase)
            transaction.set_rollback(True)
        cases += 1
    assert cases == len(VERBS) * len(Phase)


SAME = {(Verb.START, Verb.CREATE), *((verb, verb) for verb in VERBS if verb is not Verb.RESIZE)}


def test_a_verb_joins_supersedes_or_waits_for_the_operation_in_progress(world: World) -> None:
    cluster = world.launch()
    for verb, live in product(VERBS, Verb):
        with transaction.atomic():
            put(cluster, Phase.STARTING, live)
            expected = "accepted" if live in SUPERSEDES[verb] else "OPERATION_IN_PROGRESS"
            expected = "same" if (verb, live) in SAME else expected
            assert ask(world, cluster, verb) == expected, (verb, live)
            if expected == "accepted":
                ended = cluster.operations.get(kind=live)
                assert (ended.state, ended.reason) == ("cancelled", "SUPERSEDED")
            transaction.set_rollback(True)


def test_repeating_a_resize_returns_the_operation_in_progress(world: World) -> None:
    cluster = settle(world.launch())
    first = cluster_verb(access=world.bob, cluster="one", request=request(Verb.RESIZE))
    again = cluster_verb(access=world.bob, cluster="one", request=request(Verb.RESIZE))
    assert first.generation == again.generation == cluster.generation + 1


def test_another_resize_waits_for_the_first(world: World) -> None:
    settle(world.launch())
    cluster_verb(access=world.bob, cluster="one", request=request(Verb.RESIZE))
    other = VerbRequest(Verb.RESIZE, groups={"hand": {"count": 5}})
    with pytest.raises(Conflict, match="OPERATION_IN_PROGRESS"):
        cluster_verb(access=world.bob, cluster="one", request=other)


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_changes_goal_generation_audit_and_wakes(world: World, verb: Verb) -> None:
    cluster = world.launch()
    put(cluster, next(iter(sorted(FITS[verb]))))
    woken = Work.objects.get(key=cluster.id).wake_seq
    after = cluster_verb(access=world.bob, cluster="one", request=request(verb))
    assert (after.goal, after.generation) == (GOAL_OF.get(verb, cluster.goal), 6)
    assert AuditEvent.objects.filter(verb=f"cluster.{verb}", actor_name="bob", outcome="allowed").count() == 1
    assert Work.objects.get(key=cluster.id).wake_seq == woken + 1


@pytest.mark.parametrize("verb", VERBS)
def test_a_stale_generation_is_refused(world: World, verb: Verb) -> None:
    cluster = world.launch()
    with pytest.raises(PreconditionFailed):
        cluster_verb(access=world.bob, cluster="one", request=request(verb, if_match=cluster.generation + 1))


@pytest.mark.parametrize("verb", VERBS)
def test_a_plan_refuses_what_the_verb_refuses_and_changes_nothing(world: World, verb: Verb) -> None:
    cluster = world.launch()
    put(cluster, Phase.DELETED if verb is Verb.DELETE else Phase.DELETING)
    before = Cluster.objects.values().get(id=cluster.id)
    with pytest.raises(Conflict, match="WRONG_PHASE"):
        cluster_verb_plan(access=world.bob, cluster=str(cluster.id), request=request(verb))
    assert Cluster.objects.values().get(id=cluster.id) == before


def test_the_plan_of_a_resize_says_what_it_adds_and_what_is_held_then(world: World) -> None:
    settle(world.launch())
    plan = cluster_verb_plan(access=world.bob, cluster="one", request=request(Verb.RESIZE))["plan"]
    assert [(change["group"], change["count"]) for change in plan["adds"]] == [("hand", 1)]
    assert plan["takes"]["cpu"] == "3500m"
    assert plan["removes"] == []


def test_growing_beyond_the_limit_is_refused_whole(world: World) -> None:
    cluster = settle(world.launch())
    set_limits(world.people.acme, cpu=3000)
    with pytest.raises(QuotaExceeded) as refusal, transaction.atomic():
        cluster_verb(access=world.bob, cluster="one", request=request(Verb.RESIZE))
    level = refusal.value.extra["levels"][0]
    assert (level["resource"], level["held"], level["short_by"]) == ("cpu", "2500m", "500m")
    cluster.refresh_from_db()
    assert (cluster.generation, live_operation(cluster)) == (1, None)
    assert ledger_differences() == []


def test_a_stopped_cluster_is_resized_without_holding_more(world: World) -> None:
    cluster = settle(world.launch())
    cluster_verb(access=world.bob, cluster="one", request=request(Verb.STOP))
    settle(cluster)
    cluster_verb(access=world.bob, cluster="one", request=request(Verb.RESIZE))
    cluster = settle(cluster)
    assert (cluster.phase, cluster.observed_generation) == ("stopped", cluster.generation)
    assert Claim.objects.get(owner_id=cluster.id).cpu == 0


def test_only_an_admin_stops_another_members_cluster(world: World) -> None:
    settle(world.launch())
    carol = access.tenant_for(actor_for(world.people.carol), "acme")
    with pytest.raises(NeedsRole):
        cluster_verb(access=carol, cluster="one", request=request(Verb.STOP))
    assert cluster_verb(access=world.alice, cluster="one", request=request(Verb.STOP)).goal == "stopped"


def test_a_cluster_of_another_tenant_is_not_found(world: World) -> None:
    world.launch()
    charlie = access.tenant_for(actor_for(world.people.charlie), "globex")
    for name in ("one", str(uuid4())):
        with pytest.raises(NotFound):
            cluster_verb(access=charlie, cluster=name, request=request(Verb.STOP))
