"""Several rows are inserted in one round trip."""

from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from controlplane.clusters.models import Cluster, Operation, Step
from controlplane.clusters.phases import Verb
from controlplane.clusters.queries.insert import insert
from tenants.models import AuditEvent
from tests.reconciler.conftest import World


def rows(world: World, steps: int = 3) -> tuple[Operation, list[Step]]:
    operation = Operation(cluster=world.launch("etl-1"), kind=Verb.CREATE, actor="bob", generation=1)
    Operation.objects.all().delete()
    return operation, [Step(operation=operation, position=n, name=f"step-{n}") for n in range(steps)]


def test_rows_are_inserted_with_their_values(world: World) -> None:
    operation, steps = rows(world)
    insert(operation, *steps)
    found = Operation.objects.get()
    fields = ("pk", "cluster_id", "kind", "state", "actor", "created_at", "deadline", "report")
    assert [getattr(found, name) for name in fields] == [getattr(operation, name) for name in fields]
    assert [(step.position, step.name) for step in found.steps.all()] == [
        (0, "step-0"),
        (1, "step-1"),
        (2, "step-2"),
    ]


def test_they_take_one_round_trip(world: World, django_assert_num_queries: Any) -> None:
    operation, steps = rows(world)
    with django_assert_num_queries(1):
        insert(operation, *steps)


def test_all_or_none(world: World) -> None:
    operation, [first, second] = rows(world, steps=2)
    second.name = first.name
    with pytest.raises(IntegrityError, match="step_once_an_operation"), transaction.atomic():
        insert(operation, first, second)
    assert not Operation.objects.exists()


def test_saving_an_inserted_row_again_is_an_update(world: World) -> None:
    operation, steps = rows(world)
    insert(operation, *steps)
    operation.message = "more"
    operation.save()
    assert Operation.objects.get().message == "more"


def test_columns_that_the_database_fills_are_refused(db: None) -> None:
    with pytest.raises(TypeError, match="AuditEvent has defaults of the database: at, last_at"):
        insert(AuditEvent(actor_name="bob"))


def test_a_launch_reads_nothing_back(world: World) -> None:
    world.launch("warm")
    with CaptureQueriesContext(connection) as queries:
        world.launch("etl-1")
    wrote = next(
        n for n, query in enumerate(queries) if query["sql"].startswith('INSERT INTO "clusters_cluster"')
    )
    after = [query["sql"] for query in queries.captured_queries[wrote:]]
    assert not [sql for sql in after if "FROM" in sql and "clusters_" in sql]
    assert Cluster.objects.get(name="etl-1").operations.get().steps.count() == 7
