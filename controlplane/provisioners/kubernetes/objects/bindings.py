"""RoleBindings that let the accounts of a site into one namespace."""

from controlplane.provisioners.kubernetes.objects import names
from controlplane.provisioners.kubernetes.objects.body import Body
from controlplane.provisioners.kubernetes.objects.manifests import of_installation
from controlplane.provisioners.kubernetes.settings import SiteSettings

# The shipped accounts live in a namespace that holds nothing else: who may start pods there could use any of them.
HOME = "slipway"
RBAC = "rbac.authorization.k8s.io"
# Accounts that have rights only in the namespaces to which the account `namespaces` binds them.
BOUND = ("provision", "exec", "logs")


def role(account: str) -> str:
    """The name of the ClusterRole, and of its binding, of one account."""
    return f"{names.PREFIX}{account}"


def role_bindings(namespace: str, settings: SiteSettings) -> list[Body]:
    """One RoleBinding for each bound account.

    An account that is the same as `namespaces` gets none: it has the rights of an admin already.
    """
    admin = settings.reach("namespaces")
    return [
        {
            "apiVersion": f"{RBAC}/v1",
            "kind": "RoleBinding",
            "metadata": {
                "name": role(account),
                "namespace": namespace,
                "labels": of_installation(settings.installation),
            },
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role(account)},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": HOME}],
        }
        for account in BOUND
        if settings.reach(account) != admin
    ]
