from dataclasses import replace
from uuid import UUID

import pytest

from templates.launch import LaunchRequest, expand
from templates.models import Template, TemplateRevision
from templates.selectors import (
    current_revision,
    launchable_revision,
    revision_for,
    revisions,
    template_for,
    templates_for,
)
from templates.services import (
    app_withdraw,
    template_create,
    template_delete,
    template_deprecate,
    template_publish,
    template_update,
)
from tenants.access import Access
from tenants.errors import Conflict, NeedsRole, NeedsScope, NotFound
from tests.cast import an_access, an_actor
from tests.templates.examples import revision, template_body

NO_ID = UUID("0199c0de-0000-7000-8000-000000000000")


def names(access: Access) -> list[str]:
    return [template.name for template in templates_for(access)]


@pytest.fixture
def shipped(counting):
    own = counting.current
    template = Template.objects.create(name="quick", state="published", created_by="system")
    template.current = TemplateRevision.objects.create(
        template=template, number=1, app=own.app, body=own.body, digest=own.digest, takes=own.takes
    )
    template.save()
    return template


@pytest.fixture
def bob(people, engine_row):
    return an_access(people.bob, people.acme)


def test_a_tenant_sees_its_own_and_shipped_templates(counting, shipped, people):
    assert names(an_access(people.carol, people.acme)) == ["counting", "quick"]
    assert names(an_access(people.charlie, people.globex)) == ["quick"]


def test_only_admins_see_unpublished_templates(alice, bob, counting, people):
    template_create(access=alice, name="draft", body=template_body())
    template_deprecate(access=alice, template="counting")
    assert names(alice) == names(an_access(people.root, people.acme)) == ["counting", "draft"]
    assert names(bob) == []
    with pytest.raises(NotFound):
        template_for(bob, "draft")


def test_a_list_takes_one_query(alice, counting, shipped, django_assert_num_queries):
    for number in range(5):
        template_create(access=alice, name=f"more-{number}", body=template_body())
    with django_assert_num_queries(1):
        rows = [
            (template.name, revision.number, revision.takes, revision.app.version)
            for template in templates_for(alice)
            if (revision := current_revision(template))
        ]
    assert len(rows) == 7


def test_reading_needs_the_scope(counting, people):
    with pytest.raises(NeedsScope):
        templates_for(an_access(people.alice, people.acme, scopes={"clusters:read"}))


def test_a_template_is_found_by_name_and_by_id(bob, counting):
    for name in ("counting", str(counting.pk), counting.pk):
        assert template_for(bob, name) == counting


@pytest.mark.parametrize("name", ["none", "", "\0", "Counting", "x" * 1000, str(NO_ID), NO_ID, "%", "a\n"])
def test_an_unknown_template_is_not_found(bob, counting, name):
    with pytest.raises(NotFound):
        template_for(bob, name)


def test_a_deleted_template_is_not_found(alice, counting):
    template_delete(access=alice, template="counting")
    for name in ("counting", counting.pk):
        with pytest.raises(NotFound):
            template_for(alice, name)


def test_the_template_of_a_tenant_hides_a_shipped_one_of_its_name(bob, counting, shipped):
    Template.objects.filter(pk=shipped.pk).update(name="counting")
    assert template_for(bob, "counting") == counting
    assert template_for(bob, shipped.pk) == shipped


def test_revisions_are_listed_newest_first(alice, counting, django_assert_num_queries):
    template_update(access=alice, template="counting", body=template_body(title="More"))
    with django_assert_num_queries(1):
        assert [(r.number, r.app.name) for r in revisions(counting)] == [(2, "engine"), (1, "engine")]
    assert revision_for(counting, 1).body["title"] == "Counting"


@pytest.mark.parametrize("number", [0, -1, 2, 2**40])
def test_an_unknown_revision_is_not_found(counting, number):
    with pytest.raises(NotFound):
        revision_for(counting, number)


def test_a_launch_uses_the_current_revision(bob, counting):
    found = launchable_revision(bob, "counting")
    assert (found.number, found.template.name) == (1, "counting")
    assert found.spec == revision()
    assert expand(found.spec, LaunchRequest()).takes == found.default_takes


def test_a_launch_needs_only_the_scope_to_write_clusters(counting, people):
    access = an_access(people.bob, people.acme, scopes={"clusters:write"})
    assert launchable_revision(access, "counting").number == 1
    with pytest.raises(NeedsScope):
        template_for(access, "counting")


def test_viewers_and_site_admins_cannot_launch(counting, people):
    for user in (people.carol, people.root):
        with pytest.raises(NeedsRole):
            launchable_revision(an_access(user, people.acme), "counting")


def test_a_second_launch_takes_one_query(bob, counting, django_assert_num_queries):
    assert launchable_revision(bob, "counting").spec.title == "Counting"
    with django_assert_num_queries(1):
        assert launchable_revision(bob, "counting").spec.title == "Counting"


def test_an_admin_can_launch_a_draft(alice, engine_row):
    template_create(access=alice, name="draft", body=template_body())
    assert launchable_revision(alice, "draft").number == 1


def test_a_deprecated_template_cannot_be_launched(alice, counting):
    template_deprecate(access=alice, template="counting")
    with pytest.raises(Conflict) as refusal:
        launchable_revision(alice, "counting")
    assert refusal.value.reason == "TEMPLATE_DEPRECATED"


def test_a_withdrawn_app_cannot_be_launched(bob, counting, people):
    app_withdraw(actor=an_actor(people.root), name="engine", version="1.0")
    with pytest.raises(Conflict) as refusal:
        launchable_revision(bob, "counting")
    assert refusal.value.reason == "APP_WITHDRAWN"


def test_the_template_of_another_tenant_is_not_found_by_a_launch(counting, people):
    charlie = an_access(people.charlie, people.globex)
    for name in (counting.name, counting.pk):
        with pytest.raises(NotFound):
            launchable_revision(charlie, name)


def test_a_token_bound_to_a_tenant_shows_a_viewer_no_drafts(alice, people):
    template_create(access=alice, name="draft", body=template_body())
    access = an_access(people.carol, people.acme)
    bound = replace(access, actor=replace(access.actor, tenant_id=people.acme.pk))
    assert names(bound) == []
    template_publish(access=alice, template="draft")
    assert names(bound) == ["draft"]
