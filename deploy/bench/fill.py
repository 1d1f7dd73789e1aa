"""Copies the only cluster of an installation: `fill.py 9999`, in the installation's environment."""

import sys

import django

django.setup()

from django.db import connection  # noqa: E402
from django.utils import timezone  # noqa: E402

from controlplane.clusters.models import Cluster, Node, Observation, Operation  # noqa: E402
from tenants.ids import new_id  # noqa: E402

BATCH = 2000
NODES = 3


def copy_clusters(original: Cluster, count: int) -> list[object]:
    """Copy the row by one statement. The copies are ready, and otherwise like the original. Returns their ids."""
    ids = [new_id() for _ in range(count)]
    changed = {
        "id": "n.id",
        "name": "'copy-' || n.number",
        "phase": "'ready'",
        "run": "1",
        "ready_at": "c.created_at",
    }
    columns = [field.column for field in Cluster._meta.concrete_fields]
    values = [changed.get(column, f'c."{column}"') for column in columns]
    quoted = ", ".join(f'"{column}"' for column in columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO clusters_cluster ({quoted}) SELECT {', '.join(values)} FROM clusters_cluster c,"  # noqa: S608
            " unnest(%s::uuid[]) WITH ORDINALITY n (id, number) WHERE c.id = %s",
            [ids, original.pk],
        )
    return list(ids)


def rows_of(cluster_id: object) -> tuple[list[Node], list[Observation], list[Operation]]:
    names = [f"worker-{index}" for index in range(NODES)]
    now = timezone.now()
    nodes = [
        Node(cluster_id=cluster_id, name=name, group="worker", role="worker", index=index, run=1,
             attempt_generation=1, confirmed=True)
        for index, name in enumerate(names)
    ]  # fmt: skip
    observations = [
        Observation(
            cluster_id=cluster_id, run=1, name=name, attempt=1, version=1, state="ready", address="127.0.0.1"
        )
        for name in names
    ]
    operations = [
        Operation(
            cluster_id=cluster_id, kind=kind, state="succeeded", actor="admin", generation=1, ended_at=now
        )
        for kind in ("create", "resize")
    ]
    return nodes, observations, operations


def main() -> None:
    copies = copy_clusters(Cluster.objects.order_by("id")[0], int(sys.argv[1]))
    rows = [rows_of(cluster_id) for cluster_id in copies]
    for model, part in ((Node, 0), (Observation, 1), (Operation, 2)):
        model.objects.bulk_create((row for parts in rows for row in parts[part]), batch_size=BATCH)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


main()
