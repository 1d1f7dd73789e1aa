"""Names for URLs: of objects that exist, that another tenant has, that were deleted, and that never existed."""

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from controlplane.clusters.models import Cluster
from controlplane.clusters.services import cluster_delete, cluster_share
from templates.services import template_create, template_delete
from tenants.access import tenant_for
from tenants.actors import actor_for
from tenants.models import ApiToken, Role, User
from tests import launchable
from tests.cast import a_member, a_user
from tests.reconciler.settling import settle

if TYPE_CHECKING:
    from tests.api.conftest import World


# A member who is in no column of the matrix.
SHARED_WITH = "fred"
# A service account.
ROBOT = "robot"


@dataclass
class Things:
    """URL parameter -> name. there: exists in acme. foreign: exists in globex. deleted: was in acme."""

    there: dict[str, str]
    foreign: dict[str, str]
    deleted: dict[str, str]
    random: dict[str, str]


def things_of(world: "World") -> Things:
    gone, _, pending = _deleted(world), world.ready("one"), world.launch("two")
    a_member(world.people.acme, a_user(SHARED_WITH), Role.MEMBER)
    cluster_share(access=world.bob_access, cluster="one", username=SHARED_WITH)
    a_user("erin")
    User.objects.filter(pk=a_user(ROBOT).pk).update(is_service=True)
    return Things(
        there={
            "tenant": "acme",
            "token": _token_of(world, "bob"),
            "user": "carol",
            "template": "pair",
            "cluster": "one",
            "node": "hand-0",
            "operation": str(pending.operations.get().pk),
        },
        foreign=_foreign(world),
        deleted={
            "tenant": "acme",
            "token": str(uuid4()),
            "user": "erin",
            "template": _deleted_template(world),
            "cluster": str(gone.pk),
            "node": "hand-0",
            "operation": str(gone.operations.order_by("id").last().pk),  # type: ignore[union-attr]
        },
        random={"tenant": "acme"}
        | dict.fromkeys(("token", "template", "cluster", "operation"), str(uuid4()))
        | {
            "user": "zoe",
            "node": "hand-9",
        },
    )


def _token_of(world: "World", name: str) -> str:
    return str(ApiToken.objects.get(user__username=name).id)


def _deleted(world: "World") -> Cluster:
    world.ready("gone")
    return settle(cluster_delete(access=world.bob_access, cluster="gone", force=True))


def _deleted_template(world: "World") -> str:
    alice = tenant_for(actor_for(world.people.alice), "acme")
    made = template_create(access=alice, name="gone", body=launchable.TEMPLATE)
    template_delete(access=alice, template=made.pk)
    return str(made.pk)


def _foreign(world: "World") -> dict[str, str]:
    charlie = tenant_for(actor_for(world.people.charlie), "globex")
    template = launchable.a_template(charlie)
    cluster = launchable.a_cluster(charlie, "secret")
    return {
        "tenant": "acme",
        "token": _token_of(world, "charlie"),
        "user": "unknown-user",
        "template": str(template.pk),
        "cluster": str(cluster.pk),
        "node": "hand-0",
        "operation": str(cluster.operations.get().pk),
    }
