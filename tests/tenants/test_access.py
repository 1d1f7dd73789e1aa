"""Access control: every permission for every role and for site admins, and the answers to outsiders."""

from itertools import product

import pytest

from tenants.access import (
    PERMISSIONS,
    SCOPE_OF,
    Permission,
    allow,
    require_scope,
    require_site_admin,
    tenant_for,
)
from tenants.actors import SCOPES
from tenants.errors import Conflict, NeedsRole, NeedsScope, NotFound
from tenants.ids import new_id
from tenants.models import Membership, Role, TenantState
from tests.cast import Cast, an_access, an_actor, cast

pytestmark = pytest.mark.django_db

# The table of permissions, written a second time: v(iewer), m(ember), a(dmin), s(ite admin who is not a member).
EXPECTED = {
    "tenant.read": "vmas",
    "tenant.write": "s",
    "tenant.write_limits": "s",
    "members.read": "vmas",
    "members.write": "as",
    "member_limits.write": "as",
    "audit.read": "as",
    "templates.read": "vmas",
    "templates.read_unpublished": "as",
    "templates.write": "as",
    "connections.read": "vmas",
    "connections.write": "as",
    "cluster.read": "vmas",
    "cluster.launch": "ma",
    "cluster.launch_unpublished": "as",
    "cluster.operate_own": "ma",
    "cluster.operate_any": "as",
    "cluster.logs_own": "ma",
    "cluster.logs_any": "as",
    "cluster.open_own": "ma",
    "cluster.open_any": "",
    "cluster.release": "s",
}


@pytest.fixture
def people() -> Cast:
    return cast()


def test_every_permission_for_every_seat(people: Cast):
    seats = {"v": people.carol, "m": people.bob, "a": people.alice, "s": people.root}
    accesses = {seat: an_access(user, people.acme) for seat, user in seats.items()}
    assert set(EXPECTED) == set(PERMISSIONS) == set(SCOPE_OF)
    tried = 0
    for (seat, access), permission in product(accesses.items(), PERMISSIONS):
        assert access.may(permission) == (seat in EXPECTED[permission]), (seat, permission)
        tried += 1
    print(f"{tried} cases")
    assert tried == 4 * len(EXPECTED)


def test_a_site_admin_who_is_a_member_has_both(people: Cast):
    Membership.objects.create(tenant=people.acme, user=people.root, role=Role.MEMBER)
    access = an_access(people.root, people.acme)
    assert access.may("cluster.launch")
    assert access.may("tenant.write_limits")


@pytest.mark.parametrize(
    ("permission", "role", "granted_by"),
    [
        ("cluster.launch", "member", "admin of the tenant"),
        ("members.write", "admin", "admin of the tenant"),
        ("tenant.write", "site admin", "site admin"),
        ("cluster.open_any", "owner", "owner"),
    ],
)
def test_a_missing_role_is_named_with_who_can_grant_it(
    people: Cast, permission: Permission, role: str, granted_by: str
):
    with pytest.raises(NeedsRole) as refusal:
        allow(an_access(people.carol, people.acme), permission)
    assert refusal.value.extra["role"] == role
    assert granted_by in refusal.value.extra["granted_by"]


def test_by_name_and_by_id(people: Cast):
    bob = an_actor(people.bob)
    for key in ("acme", str(people.acme.pk), people.acme.pk):
        access = tenant_for(bob, key)
        assert (access.tenant, access.role) == (people.acme, Role.MEMBER)


def test_foreign_missing_deleted_and_malformed_names_get_equal_answers(people: Cast):
    bob = an_actor(people.bob)
    gone = cast_off(people)
    for key in ("globex", people.globex.pk, gone, "nothing", new_id(), "", "a\x00b", "é", "x" * 10_000):
        with pytest.raises(NotFound) as refusal:
            tenant_for(bob, key)
        assert refusal.value.by_access
        assert str(refusal.value) == str(NotFound())


def cast_off(people: Cast) -> str:
    people.acme.name = "gone"
    people.acme.state = TenantState.DELETED
    people.acme.save()
    return "gone"


def test_foreign_and_missing_cost_the_same_one_query(people: Cast, django_assert_num_queries):
    bob = an_actor(people.bob)
    for key in ("acme", "globex", "nothing", new_id()):
        with django_assert_num_queries(1):
            try:
                tenant_for(bob, key)
            except NotFound:
                continue


def test_a_site_admin_enters_every_tenant_without_a_role(people: Cast):
    access = an_access(people.root, people.globex)
    assert access.role is None
    assert not access.can("viewer")


def test_roles_include_those_below(people: Cast):
    bob = an_access(people.bob, people.acme)
    bob.require("viewer")
    bob.require(Role.MEMBER)
    with pytest.raises(NeedsRole):
        bob.require("admin")


def test_a_bound_token_finds_no_other_tenant(people: Cast):
    Membership.objects.create(tenant=people.globex, user=people.bob, role=Role.ADMIN)
    bound = an_actor(people.bob, bound_to=people.acme)
    assert tenant_for(bound, "acme").role == Role.MEMBER
    with pytest.raises(NotFound):
        tenant_for(bound, "globex")


def test_a_site_admins_bound_token_has_no_power_above_its_tenant(people: Cast):
    bound = an_actor(people.root, bound_to=people.acme)
    access = tenant_for(bound, "acme")
    assert access.may("cluster.operate_any")
    for permission in ("tenant.write", "tenant.write_limits"):
        with pytest.raises(NeedsRole):
            allow(access, permission)
    with pytest.raises(NeedsRole):
        require_site_admin(bound)
    with pytest.raises(NotFound):
        tenant_for(bound, "globex")


def test_every_permission_needs_its_scope(people: Cast):
    for permission, scope in SCOPE_OF.items():
        assert scope in SCOPES
        others = set(SCOPES) - {scope, scope.replace(":read", ":write")}
        with pytest.raises(NeedsScope) as refusal:
            allow(an_access(people.alice, people.acme, scopes=others), permission)
        assert refusal.value.extra["scope"] == scope


def test_the_permissions_of_a_token_are_those_of_its_scopes(people: Cast):
    tried = 0
    for user, scope, permission in product((people.carol, people.bob, people.alice), SCOPES, PERMISSIONS):
        access = an_access(user, people.acme, scopes={scope})
        try:
            allow(access, permission)
            allowed = True
        except (NeedsScope, NeedsRole):
            allowed = False
        assert access.may(permission) == allowed, (user.username, scope, permission)
        tried += 1
    print(f"{tried} cases")
    assert tried == 3 * len(SCOPES) * len(PERMISSIONS)


def test_a_scope_gives_no_role(people: Cast):
    with pytest.raises(NeedsRole):
        allow(an_access(people.carol, people.acme, scopes=set(SCOPES)), "cluster.launch")


def test_writing_includes_reading_and_not_the_other_way(people: Cast):
    require_scope(an_actor(people.bob, scopes={"clusters:write"}), "clusters:read")
    with pytest.raises(NeedsScope):
        require_scope(an_actor(people.bob, scopes={"clusters:read"}), "clusters:write")


def test_objects_without_a_tenant_need_a_site_admin(people: Cast):
    require_site_admin(an_actor(people.root))
    with pytest.raises(NeedsRole) as refusal:
        require_site_admin(an_actor(people.alice))
    assert refusal.value.extra["role"] == "site admin"
    with pytest.raises(NeedsScope):
        require_site_admin(an_actor(people.root, scopes={"clusters:write"}))


@pytest.mark.parametrize(
    ("state", "reason"), [("suspended", "TENANT_SUSPENDED"), ("deleting", "WRONG_PHASE")]
)
def test_an_inactive_tenant_admits_nothing_new(people: Cast, state: str, reason: str):
    access = an_access(people.bob, people.acme)
    access.require_active()
    access.tenant.state = state
    with pytest.raises(Conflict) as refusal:
        access.require_active()
    assert refusal.value.reason == reason
