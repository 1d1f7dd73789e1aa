"""One node as a pod. Pure: a release that changed what comes out here would still change no running pod."""

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
from controlplane.provisioners.rendering import NodeEnvironment, Rendered, peers, places, rendered
from controlplane.provisioners.rendering import inside as within
from templates.images import image_of
from templates.schema import Role
from tenants.amounts import quantity

USER = 1000
GPU = "nvidia.com/gpu"
SHARED_VOLUME = "shared"

# Room on the machine's own disk: what is asked for, and at most, for each folder that is no volume.
DISK_REQUEST = "256Mi"
DISK_LIMIT = "24Gi"
WORK_LIMIT, TMP_LIMIT, HOME_LIMIT, SHARED_LIMIT, CONF_LIMIT = "16Gi", "2Gi", "2Gi", "1Gi", "1Mi"

PROBE_SECONDS = 5
STARTING_PERIOD, READY_PERIOD = 1, 5
# How long a start may take is the reconciler's to say: a probe never ends a node.
PATIENCE = 1_000_000


def all_rendered(settings: SiteSettings, desired: Desired) -> dict[str, Rendered]:
    """By node, of all that the cluster has or will have again: so it is the same while one of them is replaced.

    Raises Permanent when the app asks for something that is not there.
    """
    app = desired.launch.app
    around = surroundings(settings, desired)
    without_java = replace(around, java="")
    return {
        node.name: rendered(
            desired, node, around if app.runtime(app.role(node.role).runtime).java else without_java
        )
        for node in places(desired)
    }


def surroundings(settings: SiteSettings, desired: Desired) -> NodeEnvironment:
    """Addresses are known before anything runs."""
    cluster = desired.cluster
    addresses = {
        node.name: names.hostname(
            cluster.id, desired.run, node.name, cluster.tenant_id, settings.cluster_domain
        )
        for node in places(desired)
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
    """owner: the run's root. at: when it is asked for. login: the run's own Secret with a login to registries."""
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
    """Of every container of ours, beside what its pod says."""
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
        # An image of somebody else's need not have an init of its own.
        "command": [*([] if runtime.image else [container_layout.TINI, "--"]), *map(_literal, given.command)],
        "workingDir": container_layout.WORK,
        "env": [*_hooks(role), *(_variable(name, given, mounted.secret_name) for name in given.env)],
        "ports": _ports(role),
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
    """For our own scripts in the pod."""
    paths = {name: getattr(role.hooks, name) for name in ("ready", "drain", "busy")}
    return [
        {
            "name": f"SLIPWAY_HOOK_{name.upper()}",
            "value": f"{container_layout.APP}/{within(path)}" if path else "",
        }
        for name, path in paths.items()
    ]


def _variable(name: str, given: Rendered, secret: str) -> Body:
    if name not in given.secret_env:
        return {"name": name, "value": _literal(given.env[name])}
    chosen = {"name": secret, "key": payload.key(given.env[name])}
    return {"name": name, "valueFrom": {"secretKeyRef": chosen}}


def _literal(text: str) -> str:
    """As it stands: $(NAME) would be replaced, and $$ is a $ there."""
    return text.replace("$", "$$") if "$(" in text or "$$" in text else text


def _ports(role: Role) -> list[Body]:
    """For people who look: a port that is not named here is as open as one that is. Names have at most 15 letters."""
    return [{"containerPort": port, "protocol": "TCP"} for port in sorted(set(role.ports.values()))]


def _resources(settings: SiteSettings, node: DesiredNode) -> Body:
    """Memory is given in full: what a node was promised is there. A CPU that nobody needs may be borrowed."""
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
        # No items at all would be all of them.
        {"name": "conf", **({"secret": conf} if files else _scratch(CONF_LIMIT))},
        {"name": "app", "configMap": assets},
    ]


def _scratch(limit: str) -> Body:
    return {"emptyDir": {"sizeLimit": limit}}


def _claimed(name: str) -> Body:
    return {"persistentVolumeClaim": {"claimName": name}}
