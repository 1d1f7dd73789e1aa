"""Changes of templates: dry runs, deletion, deprecation and drafts."""

from typing import Any

import pytest

from templates.models import Template
from tenants.models import AuditEvent
from tests import launchable
from tests.api.conftest import World

OTHER = {**launchable.TEMPLATE, "name": "other"}
CHANGED = {**launchable.TEMPLATE, "title": "Changed"}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "templates", OTHER),
        ("PUT", "templates/pair", CHANGED),
        ("POST", "templates/pair:deprecate", None),
        ("POST", "templates/pair:publish", None),
        ("POST", "templates/pair:rollback", {"revision": 1}),
        ("DELETE", "templates/pair", None),
    ],
)
def test_a_change_of_a_template_can_be_tried(world: World, method: str, path: str, body: Any) -> None:
    before = list(Template.objects.values())
    audited = AuditEvent.objects.count()
    assert world.alice.call(method, f"{path}?validate_only=true", body).status == 200
    assert list(Template.objects.values()) == before
    assert AuditEvent.objects.count() == audited


def test_a_dry_run_gets_the_answer_of_the_real_change(world: World) -> None:
    tried = world.alice.put("templates/pair?validate_only=true", CHANGED).body
    assert (tried["title"], tried["revision"]) == ("Changed", 2)
    bad = {**CHANGED, "groups": []}
    assert world.alice.put("templates/pair?validate_only=true", bad).status == 400
    assert world.bob.put("templates/pair?validate_only=true", CHANGED).status == 403


def test_a_template_in_use_is_deleted_only_when_that_is_confirmed(world: World) -> None:
    world.launch("one")
    used = [{"cluster": "one", "owner": "bob", "phase": "pending"}]
    refused = world.alice.delete("templates/pair")
    assert (refused.reason, refused.body["used_by"]) == ("IN_USE", used)
    assert "one of bob" in refused.body["detail"]
    assert world.alice.delete("templates/pair?validate_only=true").body == {"used_by": used}
    assert world.alice.delete("templates/pair", {"in_use": True}).status == 204


def test_an_unused_template_is_deleted_without_confirmation(world: World) -> None:
    assert world.alice.delete("templates/pair").status == 204


def test_launching_a_deprecated_template_is_refused_with_that_reason(world: World) -> None:
    world.alice.post("templates/pair:deprecate")
    refused = world.bob.post("clusters", {"name": "one", "template": "pair"})
    assert (refused.status, refused.reason) == (409, "TEMPLATE_DEPRECATED")
    assert world.carol.post("clusters", {"name": "one", "template": "pair"}).reason == "NEEDS_ROLE"


def test_members_do_not_see_drafts(world: World) -> None:
    world.alice.post("templates", OTHER)
    assert world.bob.post("clusters", {"name": "one", "template": "other"}).status == 404
