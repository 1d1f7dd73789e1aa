"""DaemonSets that pull the images of apps on the machines of a site before they are needed."""

import base64
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from controlplane.provisioners.kubernetes.client.client import Client
from controlplane.provisioners.kubernetes.objects import paths
from controlplane.provisioners.kubernetes.settings import Reach, SiteSettings
from controlplane.provisioners.kubernetes.site.prepull import HOME, images, prepull
from templates.catalog import load
from templates.schema import App
from tests.kube.registry import Registry
from tests.provisioners.kubernetes.rendered import SETTINGS, of_kind
from tests.provisioners.launching import IMAGE, until

DAEMON_SETS = "/apis/apps/v1/namespaces/slipway-images/daemonsets"
BIG = {"node_selector": {"pool": "big"}, "tolerations": [{"key": "big", "operator": "Exists"}]}


def specs(settings: SiteSettings, apps: list[App]) -> dict[str, Any]:
    """Returns the pod specs by the name of their DaemonSet."""
    found = of_kind(prepull(settings, apps), "DaemonSet")
    return {body["metadata"]["name"]: body["spec"]["template"]["spec"] for body in found}


def test_every_image_of_every_app_is_pulled():
    [spec] = specs(SETTINGS, load()).values()
    brought = [container["image"] for container in spec["initContainers"]]
    assert brought == images(SETTINGS, load())
    assert {image.partition(":")[0] for image in brought} == {
        "localhost/slipway-dask",
        "localhost/slipway-jupyterlab",
        "localhost/slipway-spark",
    }


def test_images_have_the_prefix_of_the_site():
    settings = replace(SETTINGS, image_prefix="registry.example/", image_pull_policy="Always")
    [spec] = specs(settings, load()).values()
    for container in (*spec["initContainers"], *spec["containers"]):
        assert container["image"].startswith("registry.example/slipway-")
        assert container["imagePullPolicy"] == "Always"


def test_images_are_pulled_on_the_machines_where_nodes_can_run():
    settings = SiteSettings.parse(
        {
            "installation": "0" * 16,
            "accounts": {"provision": {"kubeconfig": "/nowhere"}},
            "node_selector": {"pool": "a"},
            "apps": {"spark": BIG, "dask": {"storage_class": "fast"}},
        }
    )
    found = specs(settings, load())
    assert {name: spec["nodeSelector"]["pool"] for name, spec in found.items()} == {
        "images": "a",
        "images-spark": "big",
    }
    assert found["images-spark"]["tolerations"] == BIG["tolerations"]


def test_images_are_pulled_with_the_registry_login_of_the_site(tmp_path: Path):
    file = tmp_path / "config.json"
    file.write_text('{"auths": {"registry.example": {"auth": "c2VjcmV0"}}}')
    settings = replace(SETTINGS, registry_auth=str(file), pull_secrets=("theirs",))
    [spec], [login] = specs(settings, load()).values(), of_kind(prepull(settings, load()), "Secret")
    assert base64.b64decode(login["data"][".dockerconfigjson"]) == file.read_bytes()
    assert login["metadata"]["namespace"] == HOME
    assert spec["imagePullSecrets"] == [{"name": "theirs"}, {"name": login["metadata"]["name"]}]


@pytest.fixture
def admin(kubeconfig: Path) -> Iterator[Client]:
    client = Client(Reach(kubeconfig=str(kubeconfig)), purpose="test")
    yield client
    client.delete(paths.namespaces(HOME))
    until(lambda: client.get(paths.namespaces(HOME)) is None)


@pytest.mark.kube
def test_the_daemon_set_becomes_ready_on_every_machine(admin: Client):
    """The namespace enforces Pod Security `restricted`."""
    apply(admin, SETTINGS, IMAGE)
    assert until(lambda: is_on_every_machine(admin))


@pytest.mark.kube
def test_the_daemon_set_becomes_ready_with_an_image_of_a_private_registry(
    admin: Client, registry: Registry, tmp_path: Path
):
    image = registry.image()
    apply(admin, replace(SETTINGS, registry_auth=registry.login(tmp_path)), image)
    assert until(lambda: is_on_every_machine(admin))
    assert registry.gave(image)


def apply(admin: Client, settings: SiteSettings, image: str) -> None:
    """Applies the manifests for one app that uses this image."""
    [app] = [app for app in load() if app.name == "jupyterlab"]
    app = replace(app, runtimes=tuple(replace(runtime, image=image) for runtime in app.runtimes))
    namespace, *bodies = yaml.safe_load_all(yaml.safe_dump_all(prepull(settings, [app])))
    admin.create(paths.namespaces(), namespace)
    # A controller creates this account a moment after the namespace; pods are refused before.
    until(lambda: admin.get(paths.service_accounts(HOME, "default")))
    for body in bodies:
        admin.create(DAEMON_SETS if body["kind"] == "DaemonSet" else paths.secrets(HOME), body)


def is_on_every_machine(admin: Client) -> bool:
    found = admin.get(f"{DAEMON_SETS}/images") or {}
    return bool(found.get("status", {}).get("numberReady") == len(admin.list(paths.nodes()).items))
