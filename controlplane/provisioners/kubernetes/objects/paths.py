"""URL paths of the kinds that Slipway uses.

Without a name, a function returns the path of the collection; without a namespace, that of all namespaces.
"""

from urllib.parse import quote

CORE = "/api/v1"
NETWORKING = "/apis/networking.k8s.io/v1"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
COORDINATION = "/apis/coordination.k8s.io/v1"


def namespaces(name: str = "") -> str:
    return _join(f"{CORE}/namespaces", name)


def webhooks() -> tuple[str, str]:
    """The paths of the mutating and of the validating webhook configurations."""
    return f"{ADMISSION}/mutatingwebhookconfigurations", f"{ADMISSION}/validatingwebhookconfigurations"


def nodes(name: str = "") -> str:
    return _join(f"{CORE}/nodes", name)


def pods(namespace: str = "", name: str = "") -> str:
    return namespaced(CORE, namespace, "pods", name)


def pod_log(namespace: str, name: str) -> str:
    return pods(namespace, name) + "/log"


def pod_exec(namespace: str, name: str) -> str:
    return pods(namespace, name) + "/exec"


def config_maps(namespace: str = "", name: str = "") -> str:
    return namespaced(CORE, namespace, "configmaps", name)


def secrets(namespace: str = "", name: str = "") -> str:
    return namespaced(CORE, namespace, "secrets", name)


def services(namespace: str = "", name: str = "") -> str:
    return namespaced(CORE, namespace, "services", name)


def service_accounts(namespace: str = "", name: str = "") -> str:
    return namespaced(CORE, namespace, "serviceaccounts", name)


def volumes(namespace: str = "", name: str = "") -> str:
    return namespaced(CORE, namespace, "persistentvolumeclaims", name)


def quotas(namespace: str = "", name: str = "") -> str:
    return namespaced(CORE, namespace, "resourcequotas", name)


def limit_ranges(namespace: str = "", name: str = "") -> str:
    return namespaced(CORE, namespace, "limitranges", name)


def network_policies(namespace: str = "", name: str = "") -> str:
    return namespaced(NETWORKING, namespace, "networkpolicies", name)


def role_bindings(namespace: str = "", name: str = "") -> str:
    return namespaced(RBAC, namespace, "rolebindings", name)


def events(namespace: str) -> str:
    return namespaced(CORE, namespace, "events")


def leases(namespace: str = "", name: str = "") -> str:
    return namespaced(COORDINATION, namespace, "leases", name)


def namespaced(group: str, namespace: str, kind: str, name: str = "") -> str:
    """The path of a namespaced kind. group: "/api/v1" or "/apis/GROUP/VERSION"."""
    return _join(f"{_join(f'{group}/namespaces', namespace) if namespace else group}/{kind}", name)


def _join(path: str, name: str) -> str:
    return f"{path}/{quote(name, safe='')}" if name else path
