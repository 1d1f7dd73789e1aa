"""The objects of the tests: namespace `one` is restricted and has servers, `two` has clients, `four` has policies."""

from typing import Any

IMAGE = {"image": "localhost/busybox:1", "imagePullPolicy": "Never"}
# What the Pod Security level `restricted` requires.
NOBODY = {
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "fsGroup": 1000,
    "seccompProfile": {"type": "RuntimeDefault"},
}
LOCKED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
SERVE = ["sh", "-c", "hostname > /www/index.html; echo started; exec httpd -f -p 8080 -h /www"]
ENDURE = ["sleep", "infinity"]
LISTENING = {
    "ports": [{"name": "http", "containerPort": 8080}],
    "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
}
WEB_LABELS = {"app": "web"}
FILES = (
    {"name": "www", "emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}},
    {"name": "config", "configMap": {"name": "config"}},
    {"name": "secret", "secret": {"secretName": "secret"}},
    {
        "name": "token",
        "projected": {"sources": [{"serviceAccountToken": {"audience": "vault", "path": "token"}}]},
    },
)


def thing(kind: str, name: str, namespace: str = "", *, api: str = "v1", **body: Any) -> dict[str, Any]:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {}), **body.pop("metadata", {})}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **body}


def pod(
    name: str, namespace: str, command: list[str], *, container: Any = None, **spec: Any
) -> dict[str, Any]:
    """A pod labelled with its own name."""
    containers = [{"name": "c", **IMAGE, "command": command, **(container or {})}]
    metadata = {"labels": {"app": name}}
    body = {"terminationGracePeriodSeconds": 0, "containers": containers, **spec}
    return thing("Pod", name, namespace, metadata=metadata, spec=body)


def world() -> list[dict[str, Any]]:
    restricted = {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}
    return [
        thing("Namespace", "one", metadata=restricted),
        thing("Namespace", "two"),
        thing("Namespace", "four"),
        thing("ConfigMap", "config", "one", data={"k": "v1"}),
        thing("Secret", "secret", "one", stringData={"p": "hunter2"}),
        _service("web", "one", WEB_LABELS),
        _service("each", "one", WEB_LABELS, clusterIP="None", publishNotReadyAddresses=True),
        _service("outside", "one", WEB_LABELS, type="NodePort"),
        _web(0),
        _web(1),
        _claim("kept"),
        _claim("theirs"),
        _with_volume("cli", "kept"),
        _with_volume("member", "theirs", securityContext=NOBODY),
        pod("on-node", "two", ENDURE, hostNetwork=True, container={"securityContext": {"privileged": True}}),
        _service("server", "four", {"app": "server"}),
        server(),
        *(pod(name, "four", ENDURE) for name in ("good", "evil", "mute")),
    ]


def server() -> dict[str, Any]:
    return pod("server", "four", ["httpd", "-f", "-p", "8080", "-h", "/etc"], container=LISTENING)


def policy(name: str, pods: dict[str, Any], **rules: Any) -> dict[str, Any]:
    """A NetworkPolicy of `four`. rules: `ingress` and `egress`; an empty list lets no traffic through."""
    spec = {"podSelector": pods, "policyTypes": [kind.capitalize() for kind in rules]}
    allowed = {kind: rule for kind, rule in rules.items() if rule}
    return thing("NetworkPolicy", name, "four", api="networking.k8s.io/v1", spec={**spec, **allowed})


def app(name: str) -> dict[str, Any]:
    return {"matchLabels": {"app": name}}


def space(name: str) -> dict[str, Any]:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


def _web(index: int) -> dict[str, Any]:
    mounts = [{"name": volume["name"], "mountPath": f"/{volume['name']}"} for volume in FILES]
    container = {"securityContext": LOCKED, "volumeMounts": mounts, **LISTENING}
    names = {"hostname": f"web-{index}", "subdomain": "each"}
    made = pod(
        f"web-{index}", "one", SERVE, container=container, securityContext=NOBODY, volumes=FILES, **names
    )
    made["metadata"]["labels"] = WEB_LABELS
    return made


def _with_volume(name: str, claim: str, **spec: Any) -> dict[str, Any]:
    volumes = [{"name": "d", "persistentVolumeClaim": {"claimName": claim}}]
    mounted = {"volumeMounts": [{"name": "d", "mountPath": "/d"}]}
    return pod(name, "two", ENDURE, container=mounted, volumes=volumes, **spec)


def _claim(name: str) -> dict[str, Any]:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Mi"}}}
    return thing("PersistentVolumeClaim", name, "two", spec=spec)


def _service(name: str, namespace: str, selector: dict[str, str], **spec: Any) -> dict[str, Any]:
    ports = [{"port": 80, "targetPort": 8080}]
    return thing("Service", name, namespace, spec={"selector": selector, "ports": ports, **spec})
