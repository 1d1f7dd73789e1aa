"""Clusters of the release before kept their app's whole body; the migration leaves its digest."""

from importlib import import_module

import pytest
from django.db import InternalError, connection, transaction

from controlplane.clusters.models import Cluster
from controlplane.clusters.services import cluster_create
from controlplane.clusters.services.create import LaunchRequest
from templates.models import App
from templates.stored import launch_from_json
from tests.reconciler.conftest import World

NARROW = import_module("controlplane.clusters.migrations.0002_effective_by_digest").NARROW


@pytest.fixture
def old(world: World) -> Cluster:
    """As that release wrote it."""
    cluster = cluster_create(access=world.bob, name="etl-1", request=LaunchRequest("pair", {}, {}))
    app = App.objects.get(digest=cluster.effective["app"]["digest"])
    parts = {name: cluster.effective[name] for name in ("groups", "settings")}
    Cluster.objects.update(effective={**parts, "format": 1, "app": app.body, "app_digest": app.digest})
    return cluster


def migrate() -> None:
    with connection.cursor() as cursor:
        cursor.execute(NARROW)


def test_what_it_was_launched_with_stays(old: Cluster) -> None:
    migrate()
    assert launch_from_json(Cluster.objects.get().effective) == launch_from_json(old.effective)
    assert Cluster.objects.get().effective == old.effective


def test_a_body_that_is_nowhere_else_is_not_thrown_away(old: Cluster) -> None:
    before = Cluster.objects.get().effective
    Cluster.objects.update(effective={**before, "app": {**before["app"], "version": "0.9"}})
    with pytest.raises(InternalError, match="not in the catalogue"), transaction.atomic():
        migrate()
    assert Cluster.objects.get().effective["app"]["version"] == "0.9"
