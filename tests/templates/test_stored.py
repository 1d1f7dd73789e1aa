"""The JSON form of a launch, as Cluster.effective stores it."""

import json
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from templates.models import App
from templates.schema import Group, Launch
from templates.services import app_withdraw
from templates.stored import launch_from_json, launch_to_json, registered_app
from tenants.actors import system_actor
from tenants.amounts import Amounts
from tests.templates.examples import engine

GI = 2**30


@pytest.fixture
def stored(engine_row: App) -> Any:
    """A stored launch as PostgreSQL returns it, with its keys in another order."""
    groups = (Group("worker", "worker", 2, Amounts(cpu=1500, memory=GI, gpu=1), min_count=1, max_count=4),)
    launch = Launch(app=engine_row.spec, groups=groups, settings={"notebook": True, "ratio": 0.25})
    return json.loads(json.dumps(launch_to_json(launch), sort_keys=True))


def test_a_stored_launch_is_read_back_unchanged(stored: Any) -> None:
    launch = launch_from_json(stored)
    assert launch.app == engine()
    assert launch.group("worker").each == Amounts(cpu=1500, memory=GI, gpu=1)
    assert launch.settings == {"notebook": True, "ratio": 0.25}
    assert json.loads(json.dumps(launch_to_json(launch), sort_keys=True)) == stored


def test_amounts_are_stored_as_integers_of_the_base_unit(stored: Any) -> None:
    assert stored["groups"][0]["each"] == {"cpu": 1500, "memory": GI, "gpu": 1, "storage": 0}


def test_a_stored_launch_refers_to_its_app_by_digest(stored: Any, engine_row: App) -> None:
    assert stored["app"] == {"name": "engine", "version": "1.0", "digest": engine_row.digest}


def test_launches_of_one_app_share_the_app_object(stored: Any) -> None:
    assert launch_from_json(stored).app is launch_from_json(stored).app


def test_an_app_is_read_from_the_database_once(stored: Any, django_assert_num_queries: Any) -> None:
    registered_app.cache_clear()
    with django_assert_num_queries(1):
        launch_from_json(stored)
        launch_from_json(stored)


def test_a_withdrawn_app_keeps_its_body(stored: Any) -> None:
    app_withdraw(actor=system_actor(), name="engine", version="1.0")
    registered_app.cache_clear()
    assert launch_from_json(stored).app == engine()


@pytest.mark.parametrize("statement", ["DELETE FROM templates_app", "UPDATE templates_app SET digest = 'x'"])
def test_the_database_refuses_to_change_or_delete_an_app(engine_row: App, statement: str) -> None:
    with pytest.raises(IntegrityError, match="never changes"), transaction.atomic():
        connection.cursor().execute(statement)
    assert App.objects.get().digest == engine_row.digest


def test_a_launch_of_an_unregistered_app_cannot_be_stored() -> None:
    with pytest.raises(ValueError, match=r"engine 1\.0 is not registered"):
        launch_to_json(Launch(app=engine(), groups=()))


def test_a_stored_launch_of_another_format_is_refused(stored: Any) -> None:
    with pytest.raises(ValueError, match="format 4"):
        launch_from_json({**stored, "format": 4})
