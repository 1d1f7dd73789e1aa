"""The API server in memory behaves like a real one in everything that provisioning relies on."""

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from controlplane.provisioners.base import Permanent, Temporary
from controlplane.provisioners.kubernetes.client.client import Client
from controlplane.provisioners.kubernetes.client.errors import AlreadyExists
from controlplane.provisioners.kubernetes.objects import paths
from controlplane.provisioners.kubernetes.objects.body import is_leaving
from controlplane.provisioners.kubernetes.objects.manifests import owned_by
from controlplane.provisioners.kubernetes.settings import Reach
from tests.provisioners.kubernetes.memory import MemoryApi, MemoryClient
from tests.provisioners.kubernetes.rendered import Body
from tests.provisioners.launching import IMAGE, until

PLACE = f"slipway-memory-{secrets.token_hex(4)}"
OTHER = "00000000-0000-0000-0000-000000000000"
MAPS = paths.config_maps(PLACE)


@pytest.fixture
def in_memory() -> Client:
    client = MemoryClient(MemoryApi())
    client.create(paths.namespaces(), namespace())
    return client


@pytest.fixture
def real(kubeconfig: Path) -> Iterator[Client]:
    client = Client(Reach(kubeconfig=str(kubeconfig)), purpose="test")
    client.create(paths.namespaces(), namespace())
    try:
        yield client
    finally:
        client.delete(paths.namespaces(PLACE))
        until(lambda: client.get(paths.namespaces(PLACE)) is None)


def test_the_api_in_memory_keeps_the_promises(in_memory: Client):
    for promise in PROMISES:
        promise(in_memory)


@pytest.mark.kube
def test_a_real_api_keeps_the_promises(real: Client):
    for promise in PROMISES:
        promise(real)


def an_existing_object_is_not_created_again(client: Client) -> None:
    client.create(MAPS, config_map("there"))
    with pytest.raises(AlreadyExists):
        client.create(MAPS, config_map("there"))


def nothing_is_created_in_a_missing_namespace(client: Client) -> None:
    with pytest.raises(Temporary, match="NAMESPACE_GOING"):
        client.create(paths.config_maps(f"{PLACE}-not"), config_map("there"))


def a_missing_object_is_none(client: Client) -> None:
    assert client.get(f"{MAPS}/missing") is None
    assert client.patch(f"{MAPS}/missing", {}) is None
    assert not client.delete(f"{MAPS}/missing")
    assert client.list(paths.config_maps(f"{PLACE}-not")).items == []


def a_patch_merges_and_null_removes(client: Client) -> None:
    client.create(MAPS, config_map("merged", keep="1", drop="2"))
    client.patch(f"{MAPS}/merged", {"metadata": {"labels": {"drop": None, "new": "3"}}})
    found = client.get(f"{MAPS}/merged")
    assert found
    assert found["metadata"]["labels"] == {"test": "yes", "keep": "1", "new": "3"}


def a_patch_without_a_change_keeps_the_version(client: Client) -> None:
    made = client.create(MAPS, config_map("same"))
    patched = client.patch(f"{MAPS}/same", {"metadata": {"labels": {"test": "yes"}}})
    assert patched
    assert patched["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


def a_patch_of_an_older_version_is_refused(client: Client) -> None:
    made = client.create(MAPS, config_map("version"))
    client.patch(f"{MAPS}/version", {"metadata": {"labels": {"new": "3"}}})
    old = {"resourceVersion": made["metadata"]["resourceVersion"], "labels": {"newer": "4"}}
    with pytest.raises(Temporary, match="SITE_CONFLICT"):
        client.patch(f"{MAPS}/version", {"metadata": old})


def a_patch_with_another_uid_is_a_permanent_error(client: Client) -> None:
    client.create(MAPS, config_map("patched"))
    with pytest.raises(Permanent, match="SITE_REJECTS"):
        client.patch(f"{MAPS}/patched", {"metadata": {"uid": OTHER, "labels": {"new": "3"}}})


def an_object_with_another_uid_is_not_deleted(client: Client) -> None:
    made = client.create(MAPS, config_map("deleted"))
    assert not client.delete(f"{MAPS}/deleted", uid=OTHER)
    assert client.delete(f"{MAPS}/deleted", uid=made["metadata"]["uid"])
    assert client.get(f"{MAPS}/deleted") is None


def labels_select(client: Client) -> None:
    for name, color in (("a", "red"), ("b", "red"), ("c", "blue")):
        client.create(MAPS, config_map(name, color=color))
    assert [body["metadata"]["name"] for body in client.list(MAPS, labels={"color": "red"}).items] == [
        "a",
        "b",
    ]
    assert len(client.list(paths.config_maps(), labels={"color": "", "test": "yes"}).items) == 3


def a_collection_is_deleted_by_labels(client: Client) -> None:
    client.create(MAPS, config_map("go", going="yes"))
    client.delete_collection(MAPS, labels={"going": "yes"})
    assert client.list(MAPS, labels={"going": "yes"}).items == []
    assert client.get(f"{MAPS}/there")


def an_object_without_its_owner_is_deleted(client: Client) -> None:
    """This includes an object created after its owner was deleted."""
    owner = client.create(MAPS, config_map("owner"))
    for name in ("early", "late"):
        body = config_map(name)
        body["metadata"]["ownerReferences"] = owned_by(owner)
        client.create(MAPS, body)
        client.delete(f"{MAPS}/owner")
    until(lambda: collected(client, f"{MAPS}/early") and collected(client, f"{MAPS}/late"))


def a_volume_in_use_is_deleted_after_its_pod(client: Client) -> None:
    volume, pod = paths.volumes(PLACE, "used"), paths.pods(PLACE, "user")
    client.create(paths.volumes(PLACE), claim("used"))
    client.create(paths.pods(PLACE), pod_with("user", "used"))
    until(lambda: is_scheduled(client.get(pod) or {}))
    assert client.delete(volume)
    assert is_leaving(client.get(volume) or {"metadata": {}})
    client.delete(pod, grace=1)
    until(lambda: collected(client, volume))


def is_scheduled(pod: Body) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(item["type"] == "PodScheduled" and item["status"] == "True" for item in conditions)


def collected(client: Client, path: str) -> bool:
    if isinstance(client, MemoryClient):
        client.api.collect()
    return client.get(path) is None


PROMISES: list[Callable[[Client], None]] = [
    an_existing_object_is_not_created_again,
    nothing_is_created_in_a_missing_namespace,
    a_missing_object_is_none,
    a_patch_merges_and_null_removes,
    a_patch_without_a_change_keeps_the_version,
    a_patch_of_an_older_version_is_refused,
    a_patch_with_another_uid_is_a_permanent_error,
    an_object_with_another_uid_is_not_deleted,
    labels_select,
    a_collection_is_deleted_by_labels,
    an_object_without_its_owner_is_deleted,
    a_volume_in_use_is_deleted_after_its_pod,
]


def namespace() -> Body:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PLACE}}


def claim(name: str) -> Body:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": spec,
    }


def pod_with(name: str, volume: str) -> Body:
    container = {"name": "node", "image": IMAGE, "imagePullPolicy": "Never", "command": ["sleep", "1000"]}
    volumes = [{"name": "kept", "persistentVolumeClaim": {"claimName": volume}}]
    spec = {"containers": [container], "volumes": volumes, "terminationGracePeriodSeconds": 1}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def config_map(name: str, **labels: str) -> Body:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {"test": "yes", **labels}},
    }
