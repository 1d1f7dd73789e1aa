"""The Kubernetes objects of every app in the catalogue."""

import base64
import json
import re
from dataclasses import replace

import pytest

from controlplane.provisioners.base import Permanent
from controlplane.provisioners.kubernetes.objects import names
from templates import catalog
from templates.schema import App, Asset
from tests.provisioners.kubernetes.golden import APP, FILE, golden
from tests.provisioners.kubernetes.rendered import SETTINGS, Body, objects, of_kind, strings, whole

APPS = {app.name: app for app in [*catalog.load(), APP]}
NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
LABEL = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
DNS_LABEL = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")


@pytest.fixture(params=APPS)
def app(request: pytest.FixtureRequest) -> App:
    return APPS[request.param]


@pytest.fixture
def made(app: App) -> list[Body]:
    return objects(whole(app, storage=2**30))


@pytest.fixture
def pods(made: list[Body]) -> list[Body]:
    return of_kind(made, "Pod")


def test_every_role_becomes_pods(app: App, pods: list[Body]):
    assert {pod["metadata"]["labels"][names.ROLE] for pod in pods} == {role.name for role in app.roles}


def test_the_objects_are_those_in_golden_json():
    assert golden() == json.loads(FILE.read_text())


def test_every_pod_is_restricted(pods: list[Body]):
    for pod in pods:
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


def test_no_pod_has_access_to_its_machine(pods: list[Body]):
    allowed = {"persistentVolumeClaim", "emptyDir", "configMap", "secret"}
    for pod in pods:
        assert not {"hostNetwork", "hostPID", "hostIPC", "hostAliases"} & set(pod["spec"])
        assert {kind for volume in pod["spec"]["volumes"] for kind in set(volume) - {"name"}} <= allowed
        assert not any("hostPort" in port for port in pod["spec"]["containers"][0]["ports"])


def test_no_account_is_mounted(made: list[Body], pods: list[Body]):
    accounts = of_kind(made, "ServiceAccount")
    assert accounts
    assert not any(account["automountServiceAccountToken"] for account in accounts)
    assert not any(pod["spec"]["automountServiceAccountToken"] for pod in pods)


def test_no_service_is_open_to_the_outside(made: list[Body]):
    assert [service["spec"]["clusterIP"] for service in of_kind(made, "Service")] == ["None"]


def test_every_container_is_bounded(pods: list[Body]):
    for pod in pods:
        (container,) = pod["spec"]["containers"]
        bounds = container["resources"]
        for resource in ("cpu", "memory", "ephemeral-storage"):
            assert bounds["requests"][resource]
            assert bounds["limits"][resource]
        assert bounds["requests"]["memory"] == bounds["limits"]["memory"]


def test_every_scratch_folder_is_bounded(pods: list[Body]):
    scratch = [
        volume["emptyDir"] for pod in pods for volume in pod["spec"]["volumes"] if "emptyDir" in volume
    ]
    assert scratch
    assert all(folder["sizeLimit"] for folder in scratch)


def test_secrets_are_in_the_secret_alone(app: App, made: list[Body]):
    values = list(whole(app).secrets.values())
    others = [text for body in made if body["kind"] != "Secret" for text in strings(body)]
    for value in values:
        assert not any(value in text for text in others)
        assert not any(base64.b64encode(value.encode()).decode()[:40] in text for text in others)
    texts = [
        base64.b64decode(text).decode() for body in of_kind(made, "Secret") for text in body["data"].values()
    ]
    assert all(any(value in text for text in texts) for value in values)


def test_every_mounted_key_exists(made: list[Body], pods: list[Body]):
    content = {body["metadata"]["name"]: set(body.get("data") or ()) for body in made}
    for pod in pods:
        for volume in pod["spec"]["volumes"]:
            mounted = volume.get("secret") or volume.get("configMap") or {"items": []}
            name = mounted.get("secretName") or mounted.get("name")
            assert {item["key"] for item in mounted["items"]} <= content.get(name, set())


def test_names_and_labels_are_valid_in_kubernetes(made: list[Body]):
    for body in made:
        about = body["metadata"]
        assert NAME.fullmatch(about["name"])
        assert all(LABEL.fullmatch(value) for value in about["labels"].values())
    for pod in of_kind(made, "Pod"):
        assert DNS_LABEL.fullmatch(pod["spec"]["hostname"])
        assert DNS_LABEL.fullmatch(pod["spec"]["subdomain"])


def test_every_object_has_the_labels_of_its_installation(made: list[Body]):
    for body in made:
        labels = body["metadata"]["labels"]
        assert labels["app.kubernetes.io/managed-by"] == "slipway"
        assert labels[names.INSTALLATION] == SETTINGS.installation


def test_the_root_of_a_run_owns_its_objects(made: list[Body]):
    uids = {body["metadata"]["name"]: body["metadata"]["uid"] for body in of_kind(made, "ConfigMap")}
    run = uids[names.run_root(whole(APP).cluster.id, 1)]
    for kind in ("Pod", "Service", "ServiceAccount", "Secret"):
        assert {body["metadata"]["ownerReferences"][0]["uid"] for body in of_kind(made, kind)} == {run}


def test_volumes_outlive_a_run(made: list[Body]):
    (root,) = {
        body["metadata"]["ownerReferences"][0]["name"] for body in of_kind(made, "PersistentVolumeClaim")
    }
    assert root == names.cluster_root(whole(APP).cluster.id)


def test_a_node_knows_its_own_address_and_its_peers():
    pod = next(pod for pod in of_kind(objects(whole(APP)), "Pod") if pod["metadata"]["name"].endswith("-0"))
    address = ".".join([pod["spec"]["hostname"], pod["spec"]["subdomain"], pod["metadata"]["namespace"]])
    assert pod["spec"]["containers"][0]["command"][3] == f"{address}.svc.cluster.local"


def test_variables_in_a_command_are_escaped():
    (container,) = of_kind(objects(whole(APP)), "Pod")[0]["spec"]["containers"]
    assert container["command"][-1] == "$$(not) $$$$ ours"


def test_many_nodes_with_the_same_file_are_one_entry():
    spark = whole(APPS["spark"])
    (secret,) = of_kind(objects(spark), "Secret")
    workers = [node for node in spark.nodes if node.role == "worker"]
    assert len(workers) == 2
    (more,) = of_kind(
        objects(replace(spark, nodes=(*spark.nodes, replace(workers[0], name="worker-7")))), "Secret"
    )
    assert set(more["data"]) == set(secret["data"])


def test_an_asset_that_leads_out_of_its_folder_is_refused():
    with pytest.raises(Permanent, match="leads out of its folder"):
        objects(whole(replace(APP, assets=(Asset("../evil", ""),))))


def test_an_image_of_the_app_wins_over_ours():
    runtime = replace(APP.runtimes[0], image="registry.example/tiny@sha256:0")
    pod = of_kind(objects(whole(replace(APP, runtimes=(runtime,)))), "Pod")[0]
    assert pod["spec"]["containers"][0]["image"] == "registry.example/tiny@sha256:0"


def test_a_site_chooses_where_its_pods_run():
    placed = replace(
        SETTINGS, node_selector={"pool": "spark"}, tolerations=({"key": "spark", "operator": "Exists"},)
    )
    pod = of_kind(objects(whole(APP), placed), "Pod")[0]
    assert pod["spec"]["nodeSelector"] == {"pool": "spark"}
    assert pod["spec"]["tolerations"] == [{"key": "spark", "operator": "Exists"}]


def test_an_app_can_have_its_own_placement_on_a_site():
    own = {"node_selector": {"pool": "big"}, "storage_class": "fast"}
    toleration = {"key": "all", "operator": "Exists"}
    placed = replace(SETTINGS, node_selector={"pool": "all"}, tolerations=(toleration,), apps={APP.name: own})
    other = replace(APP, name="other")
    mine, others = objects(whole(APP, storage=2**30), placed), objects(whole(other, storage=2**30), placed)
    pools = [{pod["spec"]["nodeSelector"]["pool"] for pod in of_kind(made, "Pod")} for made in (mine, others)]
    assert pools == [{"big"}, {"all"}]
    assert all(pod["spec"]["tolerations"] == [toleration] for pod in of_kind(mine, "Pod"))
    assert {body["spec"].get("storageClassName") for body in of_kind(mine, "PersistentVolumeClaim")} == {
        "fast"
    }
    assert {body["spec"].get("storageClassName") for body in of_kind(others, "PersistentVolumeClaim")} == {
        None
    }


def test_storage_classes_are_the_sites_choice():
    placed = replace(SETTINGS, storage_class="fast", shared_storage_class="wide")
    found = {
        body["metadata"]["name"]: body["spec"]["storageClassName"]
        for body in of_kind(objects(whole(APP, storage=1), placed), "PersistentVolumeClaim")
    }
    assert found.pop("shared") == "wide"
    assert set(found.values()) == {"fast"}


def test_gpus_are_requested_as_an_extended_resource():
    wish = whole(APP)
    nodes = tuple(replace(node, each=replace(node.each, gpu=2)) for node in wish.nodes)
    (container,) = of_kind(objects(replace(wish, nodes=nodes)), "Pod")[0]["spec"]["containers"]
    resources = container["resources"]
    assert resources["requests"]["nvidia.com/gpu"] == resources["limits"]["nvidia.com/gpu"] == "2"


def test_secrets_stay_the_same_while_a_node_is_replaced():
    spark = whole(APPS["spark"])
    without = replace(spark, nodes=tuple(node for node in spark.nodes if node.role != "notebook"))
    names_of = [
        {body["metadata"]["name"] for body in of_kind(objects(wish), "Secret")} for wish in (spark, without)
    ]
    assert names_of[0] == names_of[1]
