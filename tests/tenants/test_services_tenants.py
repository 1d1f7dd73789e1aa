"""Tenants are created, suspended, resumed and deleted, with rights, audit and signals."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import transaction

from tenants import quota, services
from tenants.access import tenant_for
from tenants.actors import system_actor
from tenants.amounts import Amounts
from tenants.errors import Conflict, Invalid, NeedsRole, NeedsScope, NotFound, Refused
from tenants.ids import new_id
from tenants.models import ApiToken, AuditEvent, Limit, Membership, Tenant, TenantState
from tenants.signals import tenant_changed
from tests.cast import Cast, an_access, an_actor, cast

pytestmark = pytest.mark.django_db


@pytest.fixture
def people() -> Cast:
    return cast()


@pytest.fixture
def heard() -> Iterator[list[tuple[Any, str]]]:
    """The (tenant id, change) of each tenant_changed."""
    received: list[tuple[Any, str]] = []

    def listen(tenant_id: object, change: str, **_: object) -> None:
        assert transaction.get_connection().in_atomic_block
        received.append((tenant_id, change))

    tenant_changed.connect(listen)
    yield received
    tenant_changed.disconnect(listen)


def verbs() -> list[str]:
    return list(AuditEvent.objects.order_by("at", "id").values_list("verb", flat=True))


def test_a_tenant_starts_with_its_limits_and_without_members(people: Cast, heard: list[tuple[Any, str]]):
    tenant = services.tenant_create(
        actor=an_actor(people.root), name="umbrella-1", display_name=" Umbrella ", limits={"cpu": 8000}
    )
    row = Limit.objects.get(tenant=tenant)
    assert (tenant.display_name, tenant.state) == ("Umbrella", "active")
    assert (row.limit_cpu, row.limit_memory, row.held) == (8000, None, Amounts())
    assert not Membership.objects.filter(tenant=tenant).exists()
    assert heard == [(tenant.pk, "state")]
    event = AuditEvent.objects.get()
    assert (event.verb, event.tenant_name, event.detail["limits"]["cpu"]) == (
        "tenant.create",
        "umbrella-1",
        "8",
    )


def test_a_name_in_use_is_refused_and_nothing_is_stored(people: Cast):
    with pytest.raises(Conflict) as refusal:
        services.tenant_create(actor=an_actor(people.root), name="acme", display_name="")
    assert refusal.value.reason == "NAME_TAKEN"
    assert Tenant.objects.count() == 2
    assert verbs() == []


@pytest.mark.parametrize(
    ("name", "display_name", "limits"),
    [
        ("Acme", "", {}),
        ("x" * 41, "", {}),
        ("ok", "x" * 201, {}),
        ("ok", "", {"cpu": -1}),
        ("ok", "", {"disk": 1}),
    ],
)
def test_an_invalid_tenant_is_refused_and_nothing_is_stored(
    people: Cast, name: str, display_name: str, limits: dict[str, int]
):
    with pytest.raises(Invalid), transaction.atomic():
        services.tenant_create(
            actor=an_actor(people.root), name=name, display_name=display_name, limits=limits
        )
    assert Tenant.objects.count() == 2


def test_suspending_and_resuming_twice_leaves_one_trace_each(people: Cast, heard: list[tuple[Any, str]]):
    access = an_access(people.root, people.acme)
    assert services.tenant_suspend(access=access).state == "suspended"
    services.tenant_suspend(access=access)
    assert services.tenant_resume(access=access).state == "active"
    services.tenant_resume(access=access)
    assert verbs() == ["tenant.suspend", "tenant.resume"]
    assert heard == [(people.acme.pk, "state")] * 2


def test_a_deletion_cannot_be_undone(people: Cast):
    access = an_access(people.root, people.acme)
    assert services.tenant_delete(access=access).state == "deleting"
    assert services.tenant_delete(access=access).state == "deleting"
    for undo in (services.tenant_resume, services.tenant_suspend):
        with pytest.raises(Conflict) as refusal:
            undo(access=access)
        assert refusal.value.reason == "WRONG_PHASE"


def claim(people: Cast, amounts: Amounts) -> None:
    quota.claim_set(
        owner_id=new_id(),
        tenant_id=people.acme.pk,
        user_id=people.bob.pk,
        label="etl",
        site="local",
        amounts=amounts,
    )


def delete_whole(people: Cast) -> None:
    services.tenant_delete(access=an_access(people.root, people.acme))
    services.tenant_deleted(tenant_id=people.acme.pk)


def test_a_deleted_tenant_frees_its_name_and_is_not_found(people: Cast):
    services.token_create(actor=an_actor(people.bob), name="ci", tenant="acme", expires_in_days=1)
    delete_whole(people)
    for user in (people.alice, people.root):
        with pytest.raises(NotFound):
            tenant_for(an_actor(user), people.acme.pk)
    assert not ApiToken.objects.exists()
    again = services.tenant_create(actor=an_actor(people.root), name="acme")
    assert again.pk != people.acme.pk
    assert Tenant.objects.get(pk=people.acme.pk).deleted_at is not None


def test_ending_a_deletion_twice_has_one_effect(people: Cast):
    delete_whole(people)
    services.tenant_deleted(tenant_id=people.acme.pk)
    assert verbs() == ["tenant.delete", "tenant.deleted"]


def test_a_deletion_does_not_end_while_something_is_held(people: Cast):
    services.tenant_delete(access=an_access(people.root, people.acme))
    claim(people, Amounts(storage=1))
    with pytest.raises(Conflict) as refusal:
        services.tenant_deleted(tenant_id=people.acme.pk)
    assert refusal.value.reason == "IN_USE"
    assert Tenant.objects.get(pk=people.acme.pk).state == TenantState.DELETING
    assert Limit.objects.filter(tenant=people.acme).count() == 4


def test_after_the_end_nothing_can_be_claimed(people: Cast):
    delete_whole(people)
    with pytest.raises(NotFound):
        claim(people, Amounts(cpu=1))


def test_only_what_is_being_deleted_can_be_deleted(people: Cast):
    with pytest.raises(Conflict) as refusal:
        services.tenant_deleted(tenant_id=people.acme.pk)
    assert refusal.value.reason == "WRONG_PHASE"


def test_the_same_display_name_again_leaves_no_trace(people: Cast):
    access = an_access(people.root, people.acme)
    for _ in range(2):
        assert services.tenant_update(access=access, display_name="Research").display_name == "Research"
    assert verbs() == ["tenant.update"]


CHANGES: dict[str, Callable[[Cast, Any], object]] = {
    "create": lambda p, user: services.tenant_create(actor=an_actor(user), name="new-one"),
    "update": lambda p, user: services.tenant_update(access=an_access(user, p.acme), display_name="x"),
    "suspend": lambda p, user: services.tenant_suspend(access=an_access(user, p.acme)),
    "resume": lambda p, user: services.tenant_resume(access=an_access(user, p.acme)),
    "delete": lambda p, user: services.tenant_delete(access=an_access(user, p.acme)),
    "limits": lambda p, user: services.limits_put(access=an_access(user, p.acme), limits={"cpu": 1}),
    "user": lambda p, user: services.user_create(actor=an_actor(user), username="dave", password="x"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_only_site_admins_change_tenants(people: Cast, change: str):
    for user, refusal in [
        (people.alice, NeedsRole),
        (people.bob, NeedsRole),
        (people.carol, NeedsRole),
        (people.charlie, NeedsRole if change in ("create", "user") else NotFound),
    ]:
        with pytest.raises(refusal):
            CHANGES[change](people, user)
    assert verbs() == []


def test_a_token_without_the_scope_changes_nothing(people: Cast):
    narrow = {"tenants:read", "clusters:write"}
    tries: list[Callable[[], object]] = [
        lambda: services.tenant_create(actor=an_actor(people.root, scopes=narrow), name="new-one"),
        lambda: services.tenant_delete(access=an_access(people.root, people.acme, scopes=narrow)),
        lambda: services.member_put(
            access=an_access(people.alice, people.acme, scopes=narrow), username="charlie", role="viewer"
        ),
    ]
    for attempt in tries:
        with pytest.raises(NeedsScope):
            attempt()
    assert verbs() == []


def test_slipway_itself_may_set_up_a_tenant(people: Cast):
    services.tenant_create(actor=system_actor(), name="demo")
    access = tenant_for(system_actor(), "demo")
    services.member_put(access=access, username="bob", role="admin")
    assert an_access(people.bob, access.tenant).can("admin")


def test_a_failing_signal_receiver_undoes_the_change(people: Cast):
    def refuse(**_: object) -> None:
        raise Refused("no")

    tenant_changed.connect(refuse)
    try:
        with pytest.raises(Refused):
            services.tenant_suspend(access=an_access(people.root, people.acme))
    finally:
        tenant_changed.disconnect(refuse)
    assert Tenant.objects.get(pk=people.acme.pk).state == "active"
    assert verbs() == []
