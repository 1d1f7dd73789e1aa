"""The pod of one node. Pure. A new release may build another pod; pods that run already are never changed."""

from dataclasses import replace
from datetime import datetime

from controlplane.provisioners.base import Desired, DesiredNode
from controlplane.provisioners.kubernetes.objects import (
    container_layout,
    manifests,
    names,
    payload,
    registry_secret,
)
from controlplane.provisioners.kubernetes.objects.body import Body
from controlplane.provisioners.kubernetes.objects.payload import Payload
from controlplane.provisioners.kubernetes.settings import SiteSettings
from controlplane.provisioners.node_environment import (
    NodeEnvironment,
    Rendered,
    contained_path,
    expected_nodes,
    peers,
    render_node,
)
from templates.images import image_of
from templates.schema import Role
from tenants.amounts import quantity

USER = 1000
GPU = "nvidia.com/gpu"
SHARED_VOLUME = "shared"

# Space on the machine's own disk: the request, the limit, and the limit of each folder that is no volume.
DISK_REQUEST = "256Mi"
DISK_LIMIT = "24Gi"
WORK_LIMIT, TMP_LIMIT, HOME_LIMIT, SHARED_LIMIT, CONF_LIMIT = "16Gi", "2Gi", "2Gi", "1Gi", "1Mi"

PROBE_SECONDS = 5
STARTING_PERIOD, READY_PERIOD = 1, 5
# The reconciler decides how long a start may take. A probe must never end a node, so it may fail this often.
PATIENCE = 1_000_000


def all_rendered(settings: SiteSettings, desired: Desired) -> dict[str, Rendered]:
    """Node name -> what that node is given, for all nodes that the cluster has or will have again.

    So the result does not change while one of them is replaced. Raises Permanent when the app asks for something that
    does not exist.
    """
    app = desired.launch.app
    around = node_environment(settings, desired)
    without_java = replace(around, java="")
    return {
        node.name: render_node(
            desired, node, around if app.runtime(app.role(node.role).runtime).java else without_java
        )
        for node in expected_nodes(desired)
    }


def node_environment(settings: SiteSettings, desired: Desired) -> NodeEnvironment:
    """Folders, runtime and addresses as nodes of this cluster find them. Addresses are known before any node runs."""
    cluster = desired.cluster
    addresses = {
        node.name: names.hostname(
            cluster.id, desired.run, node.name, cluster.tenant_id, settings.cluster_domain
        )
        for node in expected_nodes(desired)
    }
    return NodeEnvironment(
        home=container_layout.HOME,
        work=container_layout.WORK,
        tmp=container_layout.TMP,
        shared=container_layout.SHARED,
        conf=container_layout.CONF,
        app=container_layout.APP,
        runtime=container_layout.RUNTIME,
        python=container_layout.PYTHON,
        packages=container_layout.RUNTIME,
        java=container_layout.JAVA,
        path=f"{container_layout.RUNTIME}/bin:{container_layout.JAVA}/bin:/usr/local/bin:/usr/bin:/bin",
        addresses=addresses,
        peers=peers(desired, addresses),
    )


def pod(
    settings: SiteSettings,
    desired: Desired,
    node: DesiredNode,
    given: Rendered,
    mounted: Payload,
    owner: Body,
    at: datetime,
    login: str = "",
) -> Body:
    """The pod of one node.

    given: the node's command, environment and files. mounted: what the pods of the run mount. owner: the run's root.
    at: when the pod is created. login: the name of the run's Secret with a login to registries, or "".
    """
    role = desired.launch.app.role(node.role)
    placed = settings.placement(desired.launch.app.name)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": _metadata(settings, desired, node, owner, at),
        "spec": {
            **registry_secret.image_pull_secrets(settings, login),
            **({"priorityClassName": placed.priority_class} if placed.priority_class else {}),
            **({"runtimeClassName": placed.runtime_class} if placed.runtime_class else {}),
            "restartPolicy": "Always",
            "hostname": node.name,
            "subdomain": names.run_root(desired.cluster.id, desired.run),
            "serviceAccountName": names.run_root(desired.cluster.id, desired.run),
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": role.stop_seconds,
            "nodeSelector": dict(placed.node_selector),
            "tolerations": [dict(toleration) for toleration in placed.tolerations],
            "securityContext": _user(),
            "containers": [_container(settings, desired, node, given, mounted)],
            "volumes": _volumes(settings, desired, node, given, mounted),
        },
    }


def labels(settings: SiteSettings, desired: Desired, node: DesiredNode) -> dict[str, str]:
    return {
        **manifests.labels(settings, desired.cluster, "node"),
        "app.kubernetes.io/name": desired.launch.app.name,
        names.RUN: str(desired.run),
        names.NODE: node.name,
        names.ATTEMPT: str(node.attempt),
        names.GROUP: node.group,
        names.ROLE: node.role,
    }


def _metadata(settings: SiteSettings, desired: Desired, node: DesiredNode, owner: Body, at: datetime) -> Body:
    return {
        "name": names.pod(desired.cluster.id, node.name),
        "labels": labels(settings, desired, node),
        "annotations": {
            **settings.placement(desired.launch.app.name).pod_annotations,
            names.GENERATION: str(desired.generation),
            names.APPLIED_AT: at.isoformat(),
            names.CLUSTER_NAME: desired.cluster.name,
        },
        "ownerReferences": manifests.owned_by(owner),
    }


def _user() -> Body:
    return {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": USER,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def locked_down() -> Body:
    """The securityContext of every container of Slipway, in addition to that of its pod."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def _container(
    settings: SiteSettings, desired: Desired, node: DesiredNode, given: Rendered, mounted: Payload
) -> Body:
    app = desired.launch.app
    role = app.role(node.role)
    runtime = app.runtime(role.runtime)
    return {
        "name": names.CONTAINER,
        "image": runtime.image or settings.image(image_of(app, runtime)),
        "imagePullPolicy": settings.image_pull_policy,
        # Images that Slipway did not build may lack tini.
        "command": [*([] if runtime.image else [container_layout.TINI, "--"]), *map(_literal, given.command)],
        "workingDir": container_layout.WORK,
        "env": [*_hooks(role), *(_variable(name, given, mounted.secret_name) for name in given.env)],
        # Informational: Kubernetes opens every port. Without names, which may have 15 letters at most.
        "ports": [{"containerPort": port, "protocol": "TCP"} for port in sorted(set(role.ports.values()))],
        "resources": _resources(settings, node),
        "volumeMounts": [
            {"name": name, "mountPath": path, **({"readOnly": True} if path in _READ_ONLY else {})}
            for name, path in _FOLDERS.items()
        ],
        "startupProbe": _probe("start", STARTING_PERIOD, PATIENCE),
        "readinessProbe": _probe("keep", READY_PERIOD, 1),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": locked_down(),
    }


_FOLDERS = {
    "home": container_layout.HOME,
    "work": container_layout.WORK,
    "tmp": container_layout.TMP,
    "shared": container_layout.SHARED,
    "conf": container_layout.CONF,
    "app": container_layout.APP,
}
_READ_ONLY = {container_layout.CONF, container_layout.APP}


def _hooks(role: Role) -> list[Body]:
    """Variables that tell the scripts of Slipway in the pod where the role's hooks are."""
    paths = {name: getattr(role.hooks, name) for name in ("ready", "drain", "busy")}
    return [
        {
            "name": f"SLIPWAY_HOOK_{name.upper()}",
            "value": f"{container_layout.APP}/{contained_path(path)}" if path else "",
        }
        for name, path in paths.items()
    ]


def _variable(name: str, given: Rendered, secret: str) -> Body:
    if name not in given.secret_env:
        return {"name": name, "value": _literal(given.env[name])}
    chosen = {"name": secret, "key": payload.key(given.env[name])}
    return {"name": name, "valueFrom": {"secretKeyRef": chosen}}


def _literal(text: str) -> str:
    """Escapes a text so that Kubernetes takes it literally: it expands $(NAME), and turns $$ into $."""
    return text.replace("$", "$$") if "$(" in text or "$$" in text else text


def _resources(settings: SiteSettings, node: DesiredNode) -> Body:
    """Memory is reserved in full. CPU that no other pod needs may be used up to `cpu_burst` times the request."""
    each = node.each
    fixed = {"memory": quantity("memory", each.memory)} | ({GPU: str(each.gpu)} if each.gpu else {})
    return {
        "requests": {"cpu": f"{each.cpu}m", "ephemeral-storage": DISK_REQUEST, **fixed},
        "limits": {"cpu": f"{each.cpu * settings.cpu_burst}m", "ephemeral-storage": DISK_LIMIT, **fixed},
    }


def _probe(mode: str, period: int, failures: int) -> Body:
    return {
        "exec": {"command": [container_layout.READY, mode]},
        "periodSeconds": period,
        "timeoutSeconds": PROBE_SECONDS,
        "failureThreshold": failures,
    }


def _volumes(
    settings: SiteSettings, desired: Desired, node: DesiredNode, given: Rendered, mounted: Payload
) -> list[Body]:
    home: Body = _scratch(HOME_LIMIT)
    if node.each.storage:
        home = _claimed(names.volume(desired.cluster.id, node.name))
    files = payload.file_items(given)
    assets = {
        "name": mounted.assets_name,
        "items": mounted.asset_items,
        "defaultMode": payload.READ,
    }
    conf = {"secretName": mounted.secret_name, "items": files, "defaultMode": payload.OWN}
    return [
        {"name": "home", **home},
        {"name": "work", **_scratch(WORK_LIMIT)},
        {"name": "tmp", **_scratch(TMP_LIMIT)},
        {
            "name": "shared",
            **(_claimed(SHARED_VOLUME) if settings.shared_storage_class else _scratch(SHARED_LIMIT)),
        },
        # A Secret volume without items would mount every key.
        {"name": "conf", **({"secret": conf} if files else _scratch(CONF_LIMIT))},
        {"name": "app", "configMap": assets},
    ]


def _scratch(limit: str) -> Body:
    return {"emptyDir": {"sizeLimit": limit}}


def _claimed(name: str) -> Body:
    return {"persistentVolumeClaim": {"claimName": name}}
