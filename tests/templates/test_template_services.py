from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from templates.models import Template, TemplateRevision
from templates.selectors import current_revision
from templates.services import (
    app_register,
    app_withdraw,
    template_create,
    template_delete,
    template_deprecate,
    template_publish,
    template_rollback,
    template_update,
)
from tenants.actors import system_actor
from tenants.errors import Conflict, Invalid, NeedsRole, NeedsScope, NotFound
from tenants.models import AuditEvent, TenantState
from tests.cast import an_access, an_actor, cast
from tests.templates.examples import engine, template_body

EVERY_CHANGE = [
    lambda access, name: template_create(access=access, name=f"{name}-2", body=template_body()),
    lambda access, name: template_update(access=access, template=name, body=template_body(title="More")),
    lambda access, name: template_rollback(access=access, template=name, revision=1),
    lambda access, name: template_publish(access=access, template=name),
    lambda access, name: template_deprecate(access=access, template=name),
    lambda access, name: template_delete(access=access, template=name),
]
OF_ONE = EVERY_CHANGE[1:]


def reason(call: Callable[..., object], *args: Any, **kwargs: Any) -> str:
    with pytest.raises(Conflict) as refusal:
        call(*args, **kwargs)
    return refusal.value.reason


def verbs() -> list[str]:
    events = AuditEvent.objects.filter(target__startswith="template/").order_by("id")
    return list(events.values_list("verb", flat=True))


def shipped() -> Template:
    """Creates a shipped template, which every tenant has, directly in the database."""
    template = Template.objects.create(name="quick", state="published", created_by="system")
    own = TemplateRevision.objects.filter(template__name="counting").get()
    template.current = TemplateRevision.objects.create(
        template=template, number=1, app=own.app, body=own.body, digest=own.digest, takes=own.takes
    )
    template.save()
    return template


def test_a_new_template_is_a_draft_with_revision_one(alice, engine_row):
    template = template_create(access=alice, name="counting", body=template_body())
    revision = current_revision(template)
    assert (template.state, revision.number, template.created_by) == ("draft", 1, "alice")
    assert revision.app == engine_row
    assert revision.takes == {"cpu": 4500, "memory": 5 * 2**30, "gpu": 0, "storage": 0, "clusters": 1}
    assert verbs() == ["template.create"]


@pytest.mark.parametrize(
    "name", ["Counting", "c", "x" * 41, "a:b", "0199c0de-0000-7000-8000-000000000000", None]
)
def test_an_invalid_name_is_refused(alice, name):
    with pytest.raises(Invalid) as refusal:
        template_create(access=alice, name=name, body=template_body())
    assert refusal.value.errors[0]["pointer"] == "/name"


def test_a_name_in_use_is_refused_and_stores_nothing(alice, counting):
    assert reason(template_create, access=alice, name="counting", body=template_body()) == "NAME_TAKEN"
    assert (Template.objects.count(), TemplateRevision.objects.count()) == (1, 1)
    assert verbs() == ["template.create", "template.publish"]


def test_the_name_of_a_shipped_template_is_refused(alice, counting):
    shipped()
    assert reason(template_create, access=alice, name="quick", body=template_body()) == "NAME_TAKEN"


def test_another_tenant_may_use_the_same_name(counting, people):
    charlie = an_access(people.charlie, people.globex)
    assert template_create(access=charlie, name="counting", body=template_body()).pk != counting.pk


@pytest.mark.parametrize("app", [{"name": "engine", "version": "2.0"}, {"name": "motor", "version": "1.0"}])
def test_an_unknown_app_is_refused(alice, app):
    with pytest.raises(Invalid) as refusal:
        template_create(access=alice, name="counting", body=template_body(app=app))
    assert refusal.value.errors[0]["pointer"] == "/app"


def test_an_update_adds_a_revision_and_keeps_the_first(alice, counting):
    template = template_update(access=alice, template="counting", body=template_body(title="More"))
    assert current_revision(template).number == 2
    assert [r.body["title"] for r in counting.revisions.order_by("number")] == ["Counting", "More"]


def test_an_update_with_the_same_body_changes_nothing(alice, counting):
    same = template_update(access=alice, template="counting", body=template_body())
    assert current_revision(same).number == 1
    assert verbs() == ["template.create", "template.publish"]


def test_a_refused_update_changes_nothing(alice, counting):
    with pytest.raises(Invalid):
        template_update(access=alice, template="counting", body=template_body(groups=[]))
    assert counting.revisions.count() == 1


def test_an_update_after_a_rollback_gets_the_next_number(alice, counting):
    template_update(access=alice, template="counting", body=template_body(title="More"))
    back = template_rollback(access=alice, template="counting", revision=1)
    assert (current_revision(back).number, current_revision(back).body["title"]) == (1, "Counting")
    forth = template_rollback(access=alice, template="counting", revision=2)
    assert current_revision(forth).number == 2
    template_rollback(access=alice, template="counting", revision=1)
    changed = template_update(access=alice, template="counting", body=template_body(title="Other"))
    assert current_revision(changed).number == 3


def test_a_rollback_to_the_current_revision_is_not_audited(alice, counting):
    template_rollback(access=alice, template="counting", revision=1)
    assert verbs() == ["template.create", "template.publish"]


@pytest.mark.parametrize("revision", [2, 0, -1, 2**40, True, "1", None, 1.0])
def test_a_rollback_to_an_unknown_revision_is_refused(alice, counting, revision):
    with pytest.raises(Invalid) as refusal:
        template_rollback(access=alice, template="counting", revision=revision)
    assert refusal.value.errors[0]["pointer"] == "/revision"


def test_publishing_and_deprecating_are_idempotent_and_reversible(alice, counting):
    for _ in range(2):
        assert template_deprecate(access=alice, template="counting").state == "deprecated"
    for _ in range(2):
        assert template_publish(access=alice, template=counting.pk).state == "published"
    assert verbs()[2:] == ["template.deprecate", "template.publish"]


def test_a_draft_is_not_deprecated(alice):
    template_create(access=alice, name="counting", body=template_body())
    assert reason(template_deprecate, access=alice, template="counting") == "WRONG_STATE"


def test_deleting_frees_the_name_and_keeps_the_rows(alice, counting):
    template_delete(access=alice, template="counting")
    with pytest.raises(NotFound):
        template_delete(access=alice, template="counting")
    again = template_create(access=alice, name="counting", body=template_body())
    assert again.pk != counting.pk
    assert TemplateRevision.objects.count() == 2


def test_the_database_refuses_to_change_a_revision(counting):
    for change_it in (
        lambda: TemplateRevision.objects.update(body={}),
        lambda: TemplateRevision.objects.update(number=7),
        lambda: TemplateRevision.objects.all().delete(),
    ):
        with pytest.raises(DatabaseError, match=r"never changes|protected"), transaction.atomic():
            change_it()


def test_a_new_revision_cannot_use_a_withdrawn_app(alice, counting, people):
    template_update(access=alice, template="counting", body=template_body(title="More"))
    app_withdraw(actor=an_actor(people.root), name="engine", version="1.0")
    for change in (EVERY_CHANGE[0], EVERY_CHANGE[1], EVERY_CHANGE[2], EVERY_CHANGE[3]):
        assert reason(change, alice, "counting") == "APP_WITHDRAWN"


@pytest.mark.parametrize("change", OF_ONE)
def test_another_tenants_template_is_not_found(counting, people, change):
    charlie = an_access(people.charlie, people.globex)
    for name in (counting.name, str(counting.pk), counting.pk):
        with pytest.raises(NotFound):
            change(charlie, name)


@pytest.mark.parametrize("change", EVERY_CHANGE)
def test_members_and_viewers_change_no_template(counting, people, change):
    for user in (people.bob, people.carol):
        with pytest.raises(NeedsRole) as refusal:
            change(an_access(user, people.acme), "counting")
        assert refusal.value.extra["role"] == "admin"


@pytest.mark.parametrize("change", EVERY_CHANGE)
def test_a_token_with_the_read_scope_changes_no_template(counting, people, change):
    with pytest.raises(NeedsScope):
        change(an_access(people.alice, people.acme, scopes={"templates:read"}), "counting")


@pytest.mark.parametrize("change", EVERY_CHANGE)
def test_a_site_admin_may_change_a_tenants_template(alice, counting, people, change):
    template_update(access=alice, template="counting", body=template_body(title="Newer"))
    template_deprecate(access=alice, template="counting")
    if change is OF_ONE[3]:
        template_publish(access=alice, template="counting")
    change(an_access(people.root, people.acme), "counting")
    assert AuditEvent.objects.filter(actor_name="root", tenant_name="acme").count() == 1


@pytest.mark.parametrize("change", OF_ONE)
def test_a_shipped_template_cannot_be_changed(counting, people, change):
    shipped()
    for user in (people.alice, people.root):
        assert reason(change, an_access(user, people.acme), "quick") == "SHIPPED_TEMPLATE"


@pytest.mark.parametrize("change", [change for change in EVERY_CHANGE if change not in EVERY_CHANGE[4:]])
def test_a_suspended_tenant_cannot_change_templates(counting, people, change):
    people.acme.state = TenantState.SUSPENDED
    people.acme.save()
    assert reason(change, an_access(people.alice, people.acme), "counting") == "TENANT_SUSPENDED"


def at_once(call: Callable[[int], object], arguments: Iterable[int]) -> list[object]:
    """Runs the call once per argument in parallel. Returns the results and refusals."""

    def one(argument: int) -> object:
        try:
            return call(argument)
        except Conflict as refusal:
            return refusal.reason
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as callers:
        return list(callers.map(one, arguments))


@pytest.mark.django_db(transaction=True)
def test_one_of_several_parallel_creates_gets_the_name():
    people = cast()
    app_register(actor=system_actor(), app=engine())
    access = an_access(people.alice, people.acme)
    answers = at_once(
        lambda _: template_create(access=access, name="counting", body=template_body()).name, range(8)
    )
    assert sorted(map(str, answers)) == ["NAME_TAKEN"] * 7 + ["counting"]


@pytest.mark.django_db(transaction=True)
def test_parallel_updates_get_different_numbers():
    people = cast()
    app_register(actor=system_actor(), app=engine())
    access = an_access(people.alice, people.acme)
    template_create(access=access, name="counting", body=template_body())
    at_once(
        lambda title: template_update(
            access=access, template="counting", body=template_body(title=str(title))
        ),
        range(8),
    )
    assert list(TemplateRevision.objects.order_by("number").values_list("number", flat=True)) == [
        *range(1, 10)
    ]
