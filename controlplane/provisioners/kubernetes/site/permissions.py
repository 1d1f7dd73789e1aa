"""The table of permissions that each account of Slipway has on a Kubernetes site.

deploy/kubernetes grants exactly these; tests compare both, and `site check` compares the table with the API server.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from controlplane.provisioners.kubernetes.objects.bindings import BOUND, RBAC, role
from controlplane.provisioners.kubernetes.objects.body import Body


@dataclass(frozen=True, slots=True)
class Rule:
    """verbs on a resource ("pods", "pods/exec") of an API group. only: names of objects; empty: all objects.

    spare: the site also works without this rule, but knows less.
    """

    group: str
    resource: str
    verbs: tuple[str, ...]
    only: tuple[str, ...] = ()
    spare: bool = False


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One verb of a rule."""

    group: str
    resource: str
    verb: str
    name: str = ""

    def __str__(self) -> str:
        resource = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{self.verb} {resource}" + (f" {self.name}" if self.name else "")


# An API server lets every authenticated account ask about itself.
OF_EVERYBODY = {
    Right("authorization.k8s.io", "selfsubjectaccessreviews", "create"),
    Right("authorization.k8s.io", "selfsubjectrulesreviews", "create"),
    Right("authentication.k8s.io", "selfsubjectreviews", "create"),
}

EVERYWHERE = ("namespaces", "observe")

PERMISSIONS: Mapping[str, tuple[Rule, ...]] = {
    "provision": (
        Rule("", "pods", ("get", "list", "create", "patch", "delete", "deletecollection")),
        Rule("", "configmaps", ("get", "list", "create", "patch", "delete")),
        Rule("", "persistentvolumeclaims", ("list", "create", "delete")),
        # Never read: their content is derived again each time.
        Rule("", "secrets", ("create",)),
        Rule("", "services", ("get", "create", "patch", "delete")),
        Rule("", "serviceaccounts", ("get", "create", "patch")),
        Rule("", "resourcequotas", ("get", "create", "patch")),
        # For the reason why a pod waits.
        Rule("", "events", ("list",)),
        Rule("", "limitranges", ("get", "create", "patch")),
        Rule("networking.k8s.io", "networkpolicies", ("get", "create", "patch")),
        Rule("coordination.k8s.io", "leases", ("get", "create", "delete")),
    ),
    "namespaces": (
        Rule("", "namespaces", ("get", "list", "create", "patch", "delete")),
        Rule(RBAC, "rolebindings", ("get", "create", "patch", "delete")),
        Rule(RBAC, "clusterroles", ("bind",), only=tuple(role(account) for account in BOUND)),
    ),
    # The WebSocket handshake is a GET: servers before 1.35 require get, later ones also create.
    "exec": (Rule("", "pods/exec", ("get", "create")),),
    # One LIST per kind for the whole site. Never of Secrets.
    "observe": (
        Rule("", "pods", ("list", "watch")),
        # For the sizes of machines.
        Rule("", "nodes", ("list",), spare=True),
        Rule("", "configmaps", ("list",)),
        Rule("", "persistentvolumeclaims", ("list",)),
        Rule("", "services", ("list",)),
        Rule("", "serviceaccounts", ("list",)),
        Rule("", "resourcequotas", ("list",)),
        Rule("", "limitranges", ("list",)),
        Rule("networking.k8s.io", "networkpolicies", ("list",)),
        Rule(RBAC, "rolebindings", ("list",)),
        Rule("coordination.k8s.io", "leases", ("list",)),
    ),
    "logs": (Rule("", "pods/log", ("get",)),),
}


def rights(account: str, *, spare: bool = True) -> Iterator[Right]:
    """Every right of the account. spare: also rights without which the site works."""
    for rule in PERMISSIONS[account]:
        if rule.spare and not spare:
            continue
        for verb in rule.verbs:
            for name in rule.only or ("",):
                yield Right(rule.group, rule.resource, verb, name)


def is_granted(right: Right, rules: Iterable[Body]) -> bool:
    """Whether rules of a SelfSubjectRulesReview allow this right."""
    return any(
        _covers(rule.get("verbs"), right.verb)
        and _covers(rule.get("apiGroups"), right.group)
        and _covers(rule.get("resources"), right.resource)
        and (not rule.get("resourceNames") or right.name in rule["resourceNames"])
        for rule in rules
    )


def _covers(granted: list[str] | None, wanted: str) -> bool:
    subresource = wanted.partition("/")[2]
    spellings = {"*", wanted, *([f"*/{subresource}"] if subresource else [])}
    return not spellings.isdisjoint(granted or ())


def granted(rules: Iterable[Body]) -> set[Right]:
    """Every right that such rules allow. Wildcards are not expanded."""
    return {
        Right(group, resource, verb, name)
        for rule in rules
        for group in rule.get("apiGroups") or ()
        for resource in rule.get("resources") or ()
        for verb in rule.get("verbs") or ()
        for name in rule.get("resourceNames") or ("",)
    }
