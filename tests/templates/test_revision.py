import json
from typing import Any

import pytest

from templates.launch import expand
from templates.revision import (
    parse_reference,
    parse_revision,
    revision_body,
    revision_document,
    stored_revision,
)
from templates.schema import LaunchRequest
from tenants.amounts import Amounts
from tenants.errors import FieldError, Invalid
from tests.templates.examples import engine, engine_body, revision, spoilt, template_body

GI = 2**30


def refusal(body: dict[str, Any]) -> FieldError:
    with pytest.raises(Invalid) as found:
        parse_revision(body, engine())
    return found.value.errors[0]


def test_a_group_has_the_defaults_of_its_role():
    head, worker = revision().groups
    assert (head.count, head.each, head.max_count) == (1, Amounts(cpu=500, memory=GI), 1)
    assert (worker.count, worker.each) == (2, Amounts(cpu=2000, memory=2 * GI))
    assert (worker.min_count, worker.max_count) == (1, 8)
    assert worker.least == Amounts(cpu=1000, memory=2 * GI)
    assert worker.most == {"cpu": 4000}


def test_a_stored_revision_is_read_back_unchanged():
    stored = json.loads(json.dumps(revision_body(revision()), sort_keys=True))
    assert stored_revision(stored, engine()) == revision()


def test_stored_amounts_are_integers_of_the_base_unit():
    _, worker = revision_body(revision())["groups"]
    assert (worker["cpu"], worker["memory"], worker["storage"]) == (2000, 2 * GI, 0)
    assert (worker["max_cpu"], worker["min_memory"]) == (4000, 2 * GI)


def test_the_document_of_a_revision_has_quantities_and_can_be_parsed():
    document = revision_document(revision_body(revision()))
    _, worker = document["groups"]
    assert (worker["cpu"], worker["max_cpu"], worker["min_memory"]) == ("2", "4", "2Gi")
    assert parse_revision(document, engine()) == revision()


def test_every_setting_of_the_app_is_a_parameter():
    assert revision().parameters.keys() == engine().settings.keys()


def test_the_app_is_named_by_name_and_version():
    assert parse_reference(template_body()) == ("engine", "1.0")


@pytest.mark.parametrize("app", [None, "engine", {}, {"name": "engine"}, {"name": "engine", "version": 1}])
def test_an_incomplete_reference_to_an_app_is_refused(app):
    with pytest.raises(Invalid) as found:
        parse_reference(template_body(app=app))
    assert found.value.errors[0]["pointer"].startswith("/app")


def test_groups_are_required():
    body = template_body()
    del body["groups"]
    assert refusal(body) == {"pointer": "/groups", "detail": "This field is required."}


UNREADABLE = [
    ("/surprise", 1),
    ("/title", "x" * 101),
    ("/title", 1),
    ("/description", "x" * 2001),
    ("/quick_launch", "yes"),
    ("/groups", []),
    ("/groups", [{"name": "worker", "role": "worker"}]),
    ("/groups", {"head": {"role": "head"}}),
    ("/groups", "worker"),
    ("/groups/1/name", "Worker"),
    ("/groups/1/name", "head"),
    ("/groups/1/name", "notebook"),
    ("/groups/1/role", "none"),
    ("/groups/1/surprise", 1),
    ("/groups/1/count", 0),
    ("/groups/1/count", 9),
    ("/groups/1/count", -1),
    ("/groups/1/count", 1.5),
    ("/groups/1/count", 10**30),
    ("/groups/1/count", True),
    ("/groups/1/cpu", "500m"),
    ("/groups/1/cpu", "5"),
    ("/groups/1/cpu", "-1"),
    ("/groups/1/cpu", "1e30"),
    ("/groups/1/memory", "2Gib"),
    ("/groups/1/memory", "1Gi"),
    ("/groups/1/gpu", 0.5),
    ("/groups/1/min_count", 9),
    ("/groups/1/max_count", 65),
    ("/groups/1/max_count", 0),
    ("/groups/1/min_cpu", "1m"),
    ("/groups/1/max_cpu", "1"),
    ("/parameters", []),
    ("/parameters/type", "array"),
    ("/parameters/surprise", {}),
    ("/parameters/additionalProperties", True),
    ("/parameters/properties/none", {"default": 1}),
    ("/parameters/properties/level", {"const": "trace", "x-reason": "x"}),
    ("/presets/large/surprise", 1),
    ("/presets/LARGE", {}),
    ("/presets/large/groups/worker", {"count": 9}),
    ("/presets/large/groups/worker", {"cpu": "64"}),
    ("/presets/large/groups/none", {"count": 1}),
    ("/presets/large/groups/worker", {"count": {"deep": {}}}),
    ("/presets/large/parameters/level", "info"),
    ("/presets/large/parameters/none", 1),
    ("/presets/large/parameters/notebook", [[]]),
]


# Broken field -> pointer in the refusal, where two fields contradict each other.
BLAMED = {"/groups/1/name": "/groups/1", "/groups/1/max_cpu": "/groups/1/cpu"}


@pytest.mark.parametrize(("pointer", "value"), UNREADABLE, ids=lambda part: str(part)[:40])
def test_an_invalid_field_is_refused_with_its_pointer(pointer, value):
    found = refusal(spoilt(template_body(), pointer, value))["pointer"]
    assert found.startswith(BLAMED.get(pointer, pointer))


def test_an_invalid_preset_is_refused_with_its_full_pointer():
    body = spoilt(template_body(), "/presets/large/groups/worker", {"count": 9})
    assert refusal(body)["pointer"] == "/presets/large/groups/worker/count"


def test_a_preset_can_name_a_group_that_its_parameters_turn_on():
    presets = {"lab": {"groups": {"notebook": {"cpu": "1"}}, "parameters": {"notebook": True}}}
    launch = expand(revision(presets=presets), LaunchRequest(preset="lab"))
    assert launch.group("notebook").each.cpu == 1000


def test_two_groups_share_the_node_limit_of_their_role():
    groups = [
        {"name": name, "role": role, "count": 40} for name, role in [("small", "worker"), ("big", "worker")]
    ]
    error = refusal(template_body(groups=[{"name": "head", "role": "head"}, *groups], presets={}))
    assert error["pointer"] == "/groups"
    assert "1 to 64 nodes; this makes 80" in error["detail"]


def test_the_number_of_entries_is_limited():
    head = {"name": "head", "role": "head"}
    workers = [{"name": f"w{number}", "role": "worker", "count": 1} for number in range(20)]
    assert refusal(template_body(groups=[head, *workers]))["pointer"] == "/groups"
    assert refusal(template_body(presets={f"p{number}": {} for number in range(21)}))["pointer"] == "/presets"


def test_amounts_too_large_to_store_are_refused():
    body = spoilt(template_body(presets={}), "/groups/1/storage", 2**60)
    assert "more than Slipway can count" in refusal(body)["detail"]


def test_an_optional_role_needs_no_group():
    assert "notebook" in engine_body()["roles"]
    assert [group.name for group in revision().groups] == ["head", "worker"]
