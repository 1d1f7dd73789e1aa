"""What brings images to the machines of a site before they are needed."""

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
from tests.provisioners.kubernetes.rendered import SETTINGS, of_kind
from tests.provisioners.launching import IMAGE, until

DAEMON_SETS = "/apis/apps/v1/namespaces/slipway-images/daemonsets"
BIG = {"node_selector": {"pool": "big"}, "tolerations": [{"key": "big", "operator": "Exists"}]}


def specs(settings: SiteSettings, apps: list[App]) -> dict[str, Any]:
    """Of the pods, by the name of their DaemonSet."""
    found = of_kind(prepull(settings, apps), "DaemonSet")
    return {body["metadata"]["name"]: body["spec"]["template"]["spec"] for body in found}


def test_every_image_of_every_app_is_brought():
    [spec] = specs(SETTINGS, load()).values()
    brought = [container["image"] for container in spec["initContainers"]]
    assert brought == images(SETTINGS, load())
    assert {image.partition(":")[0] for image in brought} == {
        "localhost/slipway-dask",
        "localhost/slipway-jupyterlab",
        "localhost/slipway-spark",
    }


def test_images_come_from_where_the_site_has_them():
    settings = replace(SETTINGS, image_prefix="registry.example/", image_pull_policy="Always")
    [spec] = specs(settings, load()).values()
    for container in (*spec["initContainers"], *spec["containers"]):
        assert container["image"].startswith("registry.example/slipway-")
        assert container["imagePullPolicy"] == "Always"


def test_each_app_goes_to_the_machines_that_its_nodes_may_be_on():
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


@pytest.fixture
def admin(kubeconfig: Path) -> Iterator[Client]:
    client = Client(Reach(kubeconfig=str(kubeconfig)), purpose="test")
    yield client
    client.delete(paths.namespaces(HOME))
    until(lambda: client.get(paths.namespaces(HOME)) is None)


@pytest.mark.kube
def test_it_becomes_ready_on_every_machine(admin: Client):
    """Under Pod Security `restricted`, as the namespace has it."""
    [app] = [app for app in load() if app.name == "jupyterlab"]
    app = replace(app, runtimes=tuple(replace(runtime, image=IMAGE) for runtime in app.runtimes))
    namespace, daemon_set = yaml.safe_load_all(yaml.safe_dump_all(prepull(SETTINGS, [app])))
    admin.create(paths.namespaces(), namespace)
    # The controller makes it a moment after the namespace; no pod is let in before.
    until(lambda: admin.get(paths.service_accounts(HOME, "default")))
    admin.create(DAEMON_SETS, daemon_set)
    machines = len(admin.list(paths.nodes()).items)

    def ready() -> bool:
        found = admin.get(f"{DAEMON_SETS}/{daemon_set['metadata']['name']}") or {}
        return bool(found.get("status", {}).get("numberReady") == machines)

    assert until(ready)
