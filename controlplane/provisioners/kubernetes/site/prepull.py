"""Manifests that pull the images of apps to every machine of a site before the first launch.

The site's admin applies them: Slipway's own accounts may not run pods on every machine.
"""

from collections.abc import Iterable
from dataclasses import replace

from controlplane.provisioners.kubernetes.client import registry_login
from controlplane.provisioners.kubernetes.objects import manifests, names, pods, registry_secret
from controlplane.provisioners.kubernetes.objects.body import Body
from controlplane.provisioners.kubernetes.settings import Placement, SiteSettings
from controlplane.provisioners.kubernetes.site import check
from templates.images import image_of
from templates.schema import App

HOME = f"{names.PREFIX}images"
COMPONENT = "images"
LITTLE = {"cpu": "1m", "memory": "16Mi"}
MOST = {"cpu": "100m", "memory": "64Mi"}


def prepull(settings: SiteSettings, apps: Iterable[App]) -> list[Body]:
    """A namespace, a Secret if the site has a login to registries, and a DaemonSet for each set of machines.

    Raises SiteUnknown SITE_SETTINGS when the file with the login cannot be used.
    """
    placed: list[tuple[Placement, list[App]]] = []
    for app in apps:
        placement = _machines(settings, app.name)
        group = next((found for known, found in placed if known == placement), None)
        if group is None:
            placed.append((placement, group := []))
        group.append(app)
    return [
        check.namespace(HOME, settings),
        *_logins(settings),
        *(_daemon_set(settings, *each) for each in placed),
    ]


def _logins(settings: SiteSettings) -> list[Body]:
    """The Secret with the login to registries, if the site has one."""
    found = registry_secret.site_secret(settings, registry_login.read(settings))
    return [{**found, "metadata": {**found["metadata"], "namespace": HOME}}] if found else []


def _machines(settings: SiteSettings, app: str) -> Placement:
    """The part of an app's placement that chooses machines. app "": of apps without a placement of their own."""
    placed = settings.placement(app)
    return replace(placed, storage_class="", priority_class="", runtime_class="", pod_annotations={})


def images(settings: SiteSettings, apps: Iterable[App]) -> list[str]:
    """The images of the apps, each once and in the order of the apps."""
    found = (
        runtime.image or settings.image(image_of(app, runtime)) for app in apps for runtime in app.runtimes
    )
    return list(dict.fromkeys(found))


def _daemon_set(settings: SiteSettings, placement: Placement, apps: list[App]) -> Body:
    labels = {**manifests.ours(settings), names.COMPONENT: COMPONENT}
    # A stable name: when the manifests are applied again with other apps, they replace the same DaemonSet.
    usual = placement == _machines(settings, "")
    name = COMPONENT if usual else f"{COMPONENT}-{apps[0].name}"
    chosen = {**labels, "app.kubernetes.io/instance": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": HOME, "labels": chosen},
        "spec": {
            "selector": {"matchLabels": chosen},
            # A new release is pulled by all machines at once.
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "100%"}},
            "template": {"metadata": {"labels": chosen}, "spec": _spec(settings, placement, apps)},
        },
    }


def _spec(settings: SiteSettings, placement: Placement, apps: list[App]) -> Body:
    brought = images(settings, apps)
    return {
        **registry_secret.image_pull_secrets(
            settings, registry_secret.SECRET if settings.registry_auth else ""
        ),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 0,
        "nodeSelector": dict(placement.node_selector),
        "tolerations": [dict(toleration) for toleration in placement.tolerations],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": pods.USER,
            "runAsGroup": pods.USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "initContainers": [
            _container(settings, f"image-{number}", image, ["true"]) for number, image in enumerate(brought)
        ],
        # A kubelet never deletes an image in use. It may delete the other images when the disk is full.
        "containers": [_container(settings, "rest", brought[0], ["sleep", "infinity"])],
    }


def _container(settings: SiteSettings, name: str, image: str, command: list[str]) -> Body:
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": settings.image_pull_policy,
        "command": command,
        "resources": {"requests": LITTLE, "limits": MOST},
        "securityContext": pods.locked_down(),
    }
