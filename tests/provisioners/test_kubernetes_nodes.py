"""The environment, folders, addresses and isolation of nodes on Kubernetes."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controlplane.provisioners.base import ClusterRef, Desired, Load, Temporary
from controlplane.provisioners.kubernetes.objects import manifests, names, paths
from templates import catalog
from templates.schema import App, Hooks
from tests.kube.cluster import kubeconfig
from tests.provisioners.kubernetes.rendered import objects, of_kind, whole
from tests.provisioners.launching import (
    RUN,
    app,
    cluster,
    desired,
    first,
    hook,
    make_ready,
    removed,
    role,
    states,
    until,
    with_attempt,
)
from tests.provisioners.pods import Pods, pods_site

__all__ = ["kubeconfig"]

pytestmark = [pytest.mark.kube, pytest.mark.timeout(180)]

SECRET = "5ec2e7" * 10
PORT = 7777


@pytest.fixture
def here(kubeconfig: Path) -> Iterator[Pods]:
    with pods_site(kubeconfig, image_pull_policy="Never") as made:
        yield made


def test_a_node_is_ready_when_its_hook_says_so(here: Pods):
    body = app(
        role(hooks=Hooks(ready="hooks/ready"), stop_seconds=1),
        assets=[hook("hooks/ready", "[ -e /work/go ]")],
    )
    wish = desired(cluster(here.site), body=body)
    here.site.apply(wish)
    until(lambda: states(here.site, wish.cluster) == {("worker-0", 1): "starting"})
    here.shell(wish.cluster, "worker-0", "touch /work/go")
    until(lambda: states(here.site, wish.cluster) == {("worker-0", 1): "ready"})


def test_a_ready_node_becomes_unready_at_the_second_failed_check(here: Pods):
    body = app(
        role(hooks=Hooks(ready="hooks/ready"), stop_seconds=1),
        assets=[hook("hooks/ready", "[ ! -e /work/no ]")],
    )
    wish = desired(cluster(here.site), body=body)
    make_ready(here.site, wish)
    ask = "touch /work/no; for n in 1 2; do /app/.slipway/ready keep && echo yes || echo no; done"
    assert here.shell(wish.cluster, "worker-0", ask).split() == ["yes", "no"]


def test_the_busy_hook_gives_the_load(here: Pods):
    busy = hook("hooks/busy", """echo '{"tasks": 3}'""")
    wish = desired(
        cluster(here.site), body=app(role(hooks=Hooks(busy="hooks/busy"), stop_seconds=1), assets=[busy])
    )
    make_ready(here.site, wish)
    assert here.site.load(wish.cluster, [first(wish)]) == {"worker-0": Load(True, 3)}


def test_a_drain_report_has_the_numbers_of_its_hook(here: Pods):
    once = "[ -e /work/tried ] || { touch /work/tried; exit 1; }"
    report = """echo '{"tasks_start": 2, "tasks_end": 0, "blocks_moved": null}'"""
    drain = hook("hooks/moves", f"{once}; {report}")
    body = app(role(hooks=Hooks(drain="hooks/moves"), stop_seconds=1), assets=[drain])
    wish = desired(cluster(here.site), body=body)
    make_ready(here.site, wish)
    here.site.begin_drain(wish.cluster, [first(wish)], 20)
    here.site.begin_drain(wish.cluster, [first(wish)], 20)
    until(lambda: states(here.site, wish.cluster) == {("worker-0", 1): "drained"})
    (node,) = here.site.look(wish.cluster, ()).nodes
    assert node.drain
    assert (node.drain.tasks_start, node.drain.tasks_end, node.drain.blocks_moved) == (2, 0, None)
    assert 1 <= node.drain.seconds < 10


def test_a_secret_reaches_the_node_and_is_not_in_the_pod_spec(here: Pods):
    body = app(role(f"echo $KEY; {RUN}", env={"KEY": "{secret.spark}"}, stop_seconds=1), secrets=("spark",))
    wish = desired(cluster(here.site), body=body, secrets={"spark": SECRET})
    make_ready(here.site, wish)
    assert SECRET.encode() in here.site.logs(wish.cluster, first(wish), tail_bytes=1000)
    pod = here.client.get(
        paths.pods(names.namespace(wish.cluster.tenant_id), names.pod(wish.cluster.id, "worker-0"))
    )
    assert SECRET not in str(pod)


def test_files_in_the_home_outlive_a_stop(here: Pods):
    wish = desired(cluster(here.site))
    make_ready(here.site, wish)
    here.shell(wish.cluster, "worker-0", "echo kept > $HOME/note; echo lost > $SLIPWAY_DIR_WORK/note")
    here.site.end_run(wish.cluster, 1)
    until(lambda: not states(here.site, wish.cluster))
    make_ready(here.site, replace(wish, run=2, has_data=True))
    assert here.shell(wish.cluster, "worker-0", "cat $HOME/note; ls $SLIPWAY_DIR_WORK") == "kept\n"


def test_a_new_node_does_not_get_the_files_of_a_removed_one_of_its_name(here: Pods):
    wish = desired(cluster(here.site), 2)
    make_ready(here.site, wish)
    here.shell(wish.cluster, "worker-1", "echo old > $HOME/note")
    here.site.apply(replace(wish, nodes=wish.nodes[:1], keeps=frozenset({"worker-0"}), generation=2))
    grown = replace(
        wish, nodes=(wish.nodes[0], *with_attempt(wish, 2).nodes[1:]), generation=3, has_data=True
    )
    until(lambda: try_apply(here, grown) and states(here.site, wish.cluster).get(("worker-1", 2)) == "ready")
    assert here.shell(wish.cluster, "worker-1", "ls $HOME") == ""


def try_apply(here: Pods, wish: Desired) -> bool:
    """Calls `apply` and returns whether it succeeded."""
    try:
        here.site.apply(wish)
    except Temporary:
        return False
    return True


def test_clusters_of_a_tenant_share_a_folder_where_the_site_has_one(kubeconfig: Path):
    with pods_site(kubeconfig, shared_storage_class="standard", shared_storage_size="16Mi") as here:
        wish = desired(cluster(here.site))
        other = desired(replace(wish.cluster, id=cluster().id))
        make_ready(here.site, wish)
        make_ready(here.site, other)
        here.shell(wish.cluster, "worker-0", "echo model > $SLIPWAY_DIR_SHARED/model")
        assert here.shell(other.cluster, "worker-0", "cat $SLIPWAY_DIR_SHARED/model") == "model\n"


def test_a_node_can_write_only_in_its_own_folders(here: Pods):
    wish = desired(cluster(here.site))
    make_ready(here.site, wish)
    assert (
        here.shell(wish.cluster, "worker-0", "id -u; touch /work/a /tmp/a /home/slipway/a /shared/a")
        == "1000\n"
    )
    for folder in ("/", "/app", "/conf", "/bin"):
        assert here.execute(wish.cluster, "worker-0", "touch", f"{folder}/a").exit_code != 0


def test_only_nodes_of_the_same_cluster_reach_one_another(here: Pods):
    serve = f"(while :; do echo hello | nc -l -p {PORT}; done) & {RUN}"
    body = app(role(serve, ports={"rpc": PORT}, stop_seconds=1))
    wish, other = desired(cluster(here.site), 2, body=body), desired(cluster(here.site), body=body)
    beside = desired(replace(wish.cluster, id=cluster().id), body=body)
    for each in (wish, other, beside):
        here.site.apply(each)
    for each in (wish, other, beside):
        until(lambda each=each: set(states(here.site, each.cluster).values()) == {"ready"})  # type: ignore[misc]
    at = address(wish)
    assert hears(here, wish.cluster, "worker-1", at)
    assert not hears(here, beside.cluster, "worker-0", at)
    assert not hears(here, other.cluster, "worker-0", at)
    assert hears(here, other.cluster, "worker-0", address(other))


def address(wish: Desired) -> str:
    of = wish.cluster
    return names.hostname(of.id, wish.run, "worker-0", of.tenant_id, "cluster.local")


def hears(here: Pods, of: ClusterRef, name: str, host: str) -> bool:
    ran = here.execute(of, name, "/bin/sh", "-c", f"nc -w 2 {host} {PORT} < /dev/null")
    return ran.stdout == b"hello\n"


def test_no_object_of_a_removed_cluster_is_left(here: Pods):
    wish = desired(cluster(here.site), 2)
    # Kubernetes itself adds these to a new namespace.
    own = {("configmaps", "kube-root-ca.crt"), ("serviceaccounts", "default")}
    until(lambda: everything(here, wish.cluster) >= own)
    before = everything(here, wish.cluster)
    make_ready(here.site, wish)
    assert len(everything(here, wish.cluster) - before) > 8
    until(lambda: removed(here.site, wish.cluster))
    until(lambda: everything(here, wish.cluster) == before)


def everything(here: Pods, of: ClusterRef) -> set[tuple[str, str]]:
    """Returns (kind, name) of every object in the tenant's namespace, except events and leases."""
    place = names.namespace(of.tenant_id)
    found: set[tuple[str, str]] = set()
    for group in [{"groupVersion": "v1"}, *preferred(here)]:
        version = group["groupVersion"]
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        for kind in (here.client.get(root) or {})["resources"]:
            if kind["namespaced"] and "list" in kind["verbs"] and kind["name"] not in {"events", "leases"}:
                listed = here.client.list(paths.namespaced(root, place, kind["name"])).items
                found |= {(kind["name"], body["metadata"]["name"]) for body in listed}
    return found


def preferred(here: Pods) -> list[dict[str, str]]:
    groups = (here.client.get("/apis") or {})["groups"]
    return [group["preferredVersion"] for group in groups if group["name"] != "metrics.k8s.io"]


@pytest.mark.parametrize("body", catalog.load(), ids=lambda body: body.name)
def test_every_app_is_admitted_under_restricted(here: Pods, body: App):
    wish = replace(whole(body, storage=2**24), cluster=cluster(here.site))
    here.site.apply(wish)
    found = here.client.list(
        paths.pods(names.namespace(wish.cluster.tenant_id)), labels=manifests.of_cluster(wish.cluster)
    )
    assert len(found.items) == len(wish.nodes)


@pytest.mark.parametrize("body", catalog.load(), ids=lambda body: body.name)
def test_every_choice_of_an_app_is_admitted_under_restricted(here: Pods, body: App):
    wish = replace(whole(body, storage=2**24), cluster=cluster(here.site))
    # The objects that pods refer to must exist; the pods themselves are created as a dry run.
    here.site.apply(wish)
    dry_run = paths.pods(names.namespace(wish.cluster.tenant_id)) + "?dryRun=All"
    for name, value in choices(body):
        settings = {**wish.launch.settings, name: value}
        chosen = replace(wish, launch=replace(wish.launch, settings=settings))
        for pod in of_kind(objects(chosen, here.site.settings), "Pod"):
            pod["metadata"]["name"] += "-dry-run"
            assert here.client.create(dry_run, pod)["metadata"]["name"] == pod["metadata"]["name"]


def choices(body: App) -> list[tuple[str, Any]]:
    """Returns (setting, value) for every choice, and for the bounds of every number."""
    return [
        (name, value)
        for name, schema in body.settings.items()
        for value in schema.get("enum") or CORNERS[schema["type"]](schema)
    ]


CORNERS: dict[str, Callable[[Mapping[str, Any]], list[Any]]] = {
    "boolean": lambda schema: [False, True],
    "integer": lambda schema: [schema["minimum"], schema["maximum"]],
}
