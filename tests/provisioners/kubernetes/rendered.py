"""The objects that `apply` creates for an app, read from an API server in memory."""

from typing import Any
from uuid import UUID

from controlplane.provisioners.base import ClusterRef, Desired, DesiredNode
from controlplane.provisioners.kubernetes.provisioner import KubernetesProvisioner
from controlplane.provisioners.kubernetes.settings import Reach, SiteSettings
from templates.schema import App, Group, Launch
from tenants.amounts import Amounts
from tests.provisioners.kubernetes.memory import MemoryAccounts, MemoryApi

Body = dict[str, Any]

OF = ClusterRef(UUID(int=1), "etl-1", UUID(int=2), "acme")
REACH = Reach(server="https://127.0.0.1:1", token_file="token")
SETTINGS = SiteSettings("0123456789abcdef", {"provision": REACH})


def whole(app: App, *, storage: int = 0) -> Desired:
    """Returns two nodes of every role that can have two, with every optional setting turned on."""
    settings = {
        name: True if schema["type"] == "boolean" else schema["default"]
        for name, schema in app.settings.items()
    }
    groups = tuple(
        Group(role.name, role.name, min(2, role.max_count), role.default + Amounts(storage=storage))
        for role in app.roles
    )
    nodes = tuple(
        DesiredNode(f"{group.name}-{index}", 1, group.name, group.role, index, group.each)
        for group in groups
        for index in range(group.count)
    )
    secrets = {name: f"{number:02d}5ec2e7" * 8 for number, name in enumerate(app.secrets)}
    return Desired(OF, 1, 1, Launch(app, groups, settings), nodes, secrets=secrets)


def objects(desired: Desired, settings: SiteSettings = SETTINGS) -> list[Body]:
    """Returns all objects that exist after `apply`, including those of the tenant."""
    api = MemoryApi()
    site = KubernetesProvisioner(settings, MemoryAccounts(api))
    site.ensure_tenant(desired.cluster.tenant_id, desired.cluster.tenant, {"cpu": 8000, "memory": 2**34})
    site.apply(desired)
    return list(api.objects.values())


def of_kind(found: list[Body], kind: str) -> list[Body]:
    return [body for body in found if body["kind"] == kind]


def strings(value: Any) -> list[str]:
    """Returns every string in a body, including keys."""
    if isinstance(value, dict):
        return [text for pair in value.items() for item in pair for text in strings(item)]
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    return [value] if isinstance(value, str) else []
