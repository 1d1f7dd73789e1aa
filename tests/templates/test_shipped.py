"""All shipped apps and templates can be parsed, and every preset fits the limits of the demo tenant."""

import json

import pytest

from templates.catalog import load, load_templates
from templates.launch import expand
from templates.parsing import app_body, digest, stored_app
from templates.revision import parse_revision
from templates.schema import LaunchRequest, RevisionSpec
from templates.selectors import templates_for
from templates.services import catalog_register, defaults_publish
from tenants.amounts import Amounts
from tests.cast import an_access

DEMO = Amounts(cpu=8000, memory=16 * 2**30, storage=2**60, clusters=1000)
APPS = {app.name: app for app in load()}
TEMPLATES = load_templates()


def read(name: str) -> RevisionSpec:
    app = APPS[TEMPLATES[name]["app"]]
    return parse_revision({**TEMPLATES[name], "app": {"name": app.name, "version": app.version}}, app)


@pytest.mark.parametrize("name", sorted(APPS))
def test_a_shipped_app_is_read_back_unchanged(name):
    body = json.loads(json.dumps(app_body(APPS[name]), sort_keys=True))
    assert stored_app(digest(body), body) == APPS[name]


@pytest.mark.parametrize("name", sorted(APPS))
def test_every_shipped_role_has_a_ready_hook(name):
    assert all(role.hooks.ready for role in APPS[name].roles)


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_every_preset_fits_the_demo_tenant(name):
    spec = read(name)
    for preset in ("", *spec.presets):
        assert expand(spec, LaunchRequest(preset=preset)).takes.fits_within(DEMO)


@pytest.mark.parametrize(
    ("name", "groups"),
    [
        ("spark", {"master": 1, "worker": 2}),
        ("spark-notebook", {"master": 1, "worker": 2, "notebook": 1}),
        ("notebook", {"notebook": 1}),
    ],
)
def test_the_quick_launches_have_their_groups(name, groups):
    spec = read(name)
    assert spec.quick_launch
    assert {group.name: group.count for group in expand(spec, LaunchRequest()).groups} == groups


def test_every_tenant_sees_the_shipped_templates(people):
    assert catalog_register() == []
    defaults_publish()
    for user, tenant in ((people.carol, people.acme), (people.charlie, people.globex)):
        assert {template.name for template in templates_for(an_access(user, tenant))} == set(TEMPLATES)
