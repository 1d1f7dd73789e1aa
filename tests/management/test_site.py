"""`manage.py site`, as the operators of a service use it."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import CommandError, call_command

from controlplane.clusters.models import Cluster, Site
from controlplane.clusters.phases import Phase
from controlplane.clusters.services.sites import site_put
from controlplane.management.commands.site import Command
from controlplane.provisioners.kubernetes.client.client import Client
from controlplane.provisioners.kubernetes.objects import paths
from controlplane.provisioners.kubernetes.settings import Reach, SiteSettings
from controlplane.provisioners.kubernetes.site import check, identity
from controlplane.reconciler.site.provisioning import installation_id
from controlplane.reconciler.site.reconcile_site import reconcile_site
from controlplane.standalone.installation.environment import ROOT, python
from controlplane.work.claim import claim, release
from controlplane.work.models import Kind, Work
from controlplane.work.wake import wake
from tests.kube.cluster import kubeconfig as kubeconfig
from tests.provisioners.kubernetes.api_server import api_server
from tests.provisioners.launching import IMAGE
from tests.reconciler.conftest import World
from tests.reconciler.conftest import world as world

pytestmark = pytest.mark.django_db
CONFIG = {
    "current-context": "one",
    "contexts": [{"name": name, "context": {"cluster": "one", "user": "one"}} for name in ("one", "two")],
    "clusters": [{"name": "one", "cluster": {"server": "https://127.0.0.1:1"}}],
    "users": [{"name": "one", "user": {"token": "x"}}],
}


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_INSTALLATION_KEY", "known" * 10)


@pytest.fixture
def config(tmp_path: Path) -> str:
    file = tmp_path / "kubeconfig"
    file.write_text(json.dumps(CONFIG))
    return str(file)


@pytest.fixture
def token(tmp_path: Path) -> str:
    (tmp_path / "token").write_text("secret")
    return str(tmp_path / "token")


def site(*arguments: str) -> None:
    call_command("site", *arguments)


def added(*arguments: str) -> dict[str, Any]:
    site("add", "k8s", *arguments)
    found: dict[str, Any] = Site.objects.get(name="k8s").settings
    SiteSettings.parse({**found, "installation": installation_id()})
    return found


def refusal(*arguments: str) -> str:
    with pytest.raises(CommandError) as caught:
        site("add", "k8s", *arguments)
    assert not Site.objects.exists()
    return str(caught.value)


def test_a_kubeconfig_is_stored_with_its_context(config: str, capsys: pytest.CaptureFixture[str]):
    assert added("--kubeconfig", config) == {
        "accounts": {"provision": {"kubeconfig": config, "context": "one"}}
    }
    assert check.SHARED in capsys.readouterr().out


def test_the_path_of_a_token_is_stored_and_never_the_token(token: str):
    reached = added("--server", "https://10.0.0.1:6443/", "--token-file", token)["accounts"]["provision"]
    assert reached == {"server": "https://10.0.0.1:6443", "token_file": token}


def test_each_account_may_have_its_own_credentials(config: str, capsys: pytest.CaptureFixture[str]):
    accounts = added("--kubeconfig", config, "--account", "exec=two", "--account", "logs=two")["accounts"]
    assert {name: reached["context"] for name, reached in accounts.items()} == {
        "provision": "one",
        "exec": "two",
        "logs": "two",
    }


def test_an_account_beside_an_address_is_the_file_of_its_token(token: str, tmp_path: Path):
    (tmp_path / "other").write_text("other")
    server = ("--server", "https://10.0.0.1", "--token-file", token, "--ca-file", token)
    accounts = added(*server, "--account", f"exec={tmp_path / 'other'}")["accounts"]
    assert accounts["exec"] == {**accounts["provision"], "token_file": str(tmp_path / "other")}


def test_the_settings_of_clusters_are_stored(config: str):
    found = added(
        *("--kubeconfig", config, "--storage-class", "fast", "--shared-storage-class", "nfs"),
        *("--node-selector", "pool=a", "--toleration", "gpu=yes:NoSchedule", "--toleration", "spot"),
        *("--egress", "10.1.0.0/16", "--dns", "169.254.20.10/32", "--cpu-burst", "2"),
        *("--image-prefix", "registry.example/slipway/"),
    )
    del found["accounts"]
    assert found == {
        "storage_class": "fast",
        "shared_storage_class": "nfs",
        "node_selector": {"pool": "a"},
        "tolerations": [
            {"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"},
            {"key": "spot", "operator": "Exists"},
        ],
        "egress": ["10.1.0.0/16"],
        "dns_cidrs": ["169.254.20.10/32"],
        "cpu_burst": 2,
        "image_prefix": "registry.example/slipway/",
    }


def test_the_settings_of_every_pod_are_stored(config: str, tmp_path: Path):
    login = tmp_path / "config.json"
    login.write_text('{"auths": {"registry.example": {"auth": "eDp5"}}}')
    found = added(
        *("--kubeconfig", config, "--registry-auth", str(login), "--pull-secret", "theirs"),
        *("--priority-class", "people", "--pod-annotation", "example.com/evict=false"),
        *("--app", "spark", "--runtime-class", "gvisor"),
    )
    del found["accounts"]
    assert found == {
        "registry_auth": str(login),
        "pull_secrets": ["theirs"],
        "priority_class": "people",
        "pod_annotations": {"example.com/evict": "false"},
        "apps": {"spark": {"runtime_class": "gvisor"}},
    }


def test_settings_that_pods_may_not_have_are_refused(config: str, token: str):
    there = ("--kubeconfig", config)
    assert "needs auths" in refusal(*there, "--registry-auth", token)
    assert "one of Slipway's own" in refusal(*there, "--pod-annotation", "slipway/attempt=2")
    assert "not a valid key of an annotation" in refusal(*there, "--pod-annotation", "a b=2")


def test_settings_of_one_app_apply_only_to_its_nodes(config: str):
    found = added(
        *("--kubeconfig", config, "--node-selector", "pool=a", "--storage-class", "slow"),
        *("--app", "spark", "--node-selector", "pool=big", "--toleration", "big", "--storage-class", "fast"),
        *("--app", "dask", "--storage-class", "nvme"),
    )
    assert (found["node_selector"], found["storage_class"]) == ({"pool": "a"}, "slow")
    assert found["apps"] == {
        "spark": {
            "node_selector": {"pool": "big"},
            "tolerations": [{"key": "big", "operator": "Exists"}],
            "storage_class": "fast",
        },
        "dask": {"storage_class": "nvme"},
    }


def test_an_invalid_setting_is_refused_with_the_allowed_ones(config: str, token: str):
    there = ("--kubeconfig", config)
    assert "there is no such file" in refusal("--kubeconfig", "/nonexistent")
    assert "is no kubeconfig" in refusal("--kubeconfig", token)
    assert "there is: one, two" in refusal(*there, "--context", "three")
    assert "needs --token-file" in refusal("--server", "https://10.0.0.1")
    assert "use an https address" in refusal("--server", "http://10.0.0.1", "--token-file", token)
    assert "does not run in a Kubernetes cluster" in refusal("--in-cluster")
    assert "use namespaces, exec, observe, logs" in refusal(*there, "--account", "admin=two")
    assert "write it as NAME=VALUE" in refusal(*there, "--account", "exec")
    assert "there is: one, two" in refusal(*there, "--account", "exec=three")
    assert "10.0.0.0/8" in refusal(*there, "--egress", "everywhere")
    assert "KEY=VALUE:NoSchedule" in refusal(*there, "--toleration", "a=b:Never")
    assert "from 1 to 64" in refusal(*there, "--cpu-burst", "0")
    assert "Always, IfNotPresent, Never" in refusal(*there, "--image-pull-policy", "Sometimes")
    assert "--shared-storage-size" in refusal(*there, "--shared-storage-size", "much")
    assert "options after --app spark" in refusal(*there, "--node-selector", "pool=a", "--app", "spark")
    assert "the apps are: dask, jupyterlab, spark" in refusal(
        *there, "--app", "sprak", "--storage-class", "x"
    )


def test_an_invalid_name_is_refused(config: str):
    with pytest.raises(CommandError, match="My Site: Use 2 to 40 characters"):
        site("add", "My Site", "--kubeconfig", config)


def test_adding_again_changes_the_site(config: str):
    added("--kubeconfig", config, "--storage-class", "fast")
    assert added("--kubeconfig", config, "--context", "two") == {
        "accounts": {"provision": {"kubeconfig": config, "context": "two"}}
    }
    assert Site.objects.count() == 1


def test_sites_are_listed_with_what_is_known(capsys: pytest.CaptureFixture[str]):
    site_put(name="local", kind="local")
    Site.objects.update(ready=True, isolation="none", message="all well")
    site("list")
    assert capsys.readouterr().out.splitlines()[1].split() == [
        "local",
        "local",
        "everyone",
        "yes",
        "none",
        "never",
        "all",
        "well",
    ]


def test_tenants_are_allowed_on_a_site_and_listed(world: World, capsys: pytest.CaptureFixture[str]):
    site("allow", "fake", "--tenant", "globex", "--tenant", "acme")
    assert capsys.readouterr().out == "fake is for acme, globex.\n"
    site("list")
    assert "acme, globex" in capsys.readouterr().out
    site("allow", "fake", "--everyone")
    assert capsys.readouterr().out == "fake is for everyone.\n"


def test_an_unknown_tenant_is_named(world: World):
    with pytest.raises(CommandError, match="no tenant initech"):
        site("allow", "fake", "--tenant", "acme", "--tenant", "initech")
    assert Site.objects.get().everyone


def test_a_site_with_clusters_may_get_another_address_of_the_same_kubernetes(
    world: World, tmp_path: Path, token: str
):
    with api_server() as home, api_server() as other:
        for server, uid in ((home, "home"), (other, "other")):
            server.token = "secret"
            server.objects[paths.namespaces("kube-system")] = {"metadata": {"uid": uid}}
        added("--server", home.url, "--token-file", token)
        moved_in(world.launch(), identity="home")
        with pytest.raises(CommandError, match="k8s has 1 clusters"):
            site("add", "k8s", "--server", other.url, "--token-file", token)
        (tmp_path / "renewed").write_text("secret")
        assert added("--server", home.url, "--token-file", str(tmp_path / "renewed"))
        assert Site.objects.get(name="k8s").identity == "home"


def test_a_site_that_is_gone_for_good_is_replaced(world: World, token: str):
    added("--server", "http://127.0.0.1:9", "--token-file", token)
    moved_in(world.launch(), identity="home")
    found = added("--server", "http://127.0.0.1:8", "--token-file", token, "--replace")
    assert found["accounts"]["provision"]["server"] == "http://127.0.0.1:8"
    assert Site.objects.get(name="k8s").identity == ""


def moved_in(cluster: Cluster, *, identity: str) -> None:
    """Move the cluster to the site k8s, whose identity a worker has recorded."""
    Site.objects.filter(name="k8s").update(identity=identity)
    Cluster.objects.filter(id=cluster.id).update(site=Site.objects.get(name="k8s"))


def test_the_local_site_needs_no_proof():
    site_put(name="local", kind="local")
    with pytest.raises(CommandError, match="does not isolate tenants"):
        site("check", "local")


def test_a_site_that_cannot_be_reached_keeps_its_verdict(token: str):
    added("--server", "http://127.0.0.1:9", "--token-file", token)
    Site.objects.update(isolation="proved")
    with pytest.raises(CommandError, match="SITE_UNREACHABLE"):
        site("check", "k8s")
    assert Site.objects.get().isolation == "proved"


def test_without_the_key_of_the_installation_no_site_is_claimed(monkeypatch: pytest.MonkeyPatch):
    site_put(name="local", kind="local")
    for name in ("SLIPWAY_INSTALLATION_KEY", "SLIPWAY_SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"{name}_FILE", raising=False)
    for action in ("check", "remove"):
        with pytest.raises(CommandError, match="Set SLIPWAY_INSTALLATION_KEY"):
            site(action, "local")


def test_an_unknown_site_is_named():
    for action in ("check", "remove"):
        with pytest.raises(CommandError, match="There is no site k8s"):
            site(action, "k8s")


def test_a_site_with_clusters_is_not_removed(world: World):
    world.launch()
    with pytest.raises(CommandError, match="fake has 1 clusters"):
        site("remove", "fake")


def test_an_unreachable_site_can_be_removed(token: str, capsys: pytest.CaptureFixture[str]):
    added("--server", "http://127.0.0.1:9", "--token-file", token)
    site("remove", "k8s")
    assert not Site.objects.exists()
    printed = capsys.readouterr()
    assert f"slipway/installation={installation_id()}" in printed.out
    assert identity.CLAIM in printed.err


def _run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DATABASE_URL")}
    command = python("manage.py", "site", *arguments)
    return subprocess.run(
        command, cwd=ROOT, env={**kept, **environment}, capture_output=True, text=True, check=False
    )


def test_the_help_describes_the_options(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        Command().create_parser("manage.py", "site").parse_args(["check", "--help"])
    assert ended.value.code == 0
    assert "by pods whose attempts must fail" in " ".join(capsys.readouterr().out.split())


def test_without_an_installation_it_says_how_to_get_one(tmp_path: Path):
    done = _run("list", "--data-dir", str(tmp_path / "none"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "start one with `up`" in done.stderr


@pytest.fixture
def real(kubeconfig: Path) -> Iterator[Client]:
    """A client of the devkube, which is the site k8s. Its claim is released at the end."""
    site("add", "k8s", "--kubeconfig", str(kubeconfig))
    settings = Site.objects.get(name="k8s").settings
    yield Client(Reach(kubeconfig=str(kubeconfig)), purpose="test")
    check.release(SiteSettings.parse({**settings, "installation": installation_id()}))


def checked_by_a_worker() -> Site:
    claimed = claim([Kind.SITE])
    assert claimed is not None
    release(claimed, next_in=reconcile_site(claimed))
    return Site.objects.get(name="k8s")


@pytest.mark.kube
def test_a_proof_is_recorded_and_the_site_free_when_it_is_removed(
    real: Client, capsys: pytest.CaptureFixture[str]
):
    site("check", "k8s", "--probe-image", IMAGE)
    found = Site.objects.get()
    assert (found.isolation, found.proved_at is not None) == ("proved", True)
    assert "isolation: proved" in capsys.readouterr().out
    found = checked_by_a_worker()
    assert (found.ready, found.isolation) == (True, "proved")
    site("remove", "k8s")
    claim = real.get(paths.namespaces(identity.CLAIM))
    assert claim is None or "deletionTimestamp" in claim["metadata"]


@pytest.mark.kube
def test_a_failed_proof_is_recorded_and_sets_the_exit_code(real: Client):
    Site.objects.update(isolation="proved")
    with pytest.raises(SystemExit) as ended:
        site("check", "k8s", "--probe-image", "localhost/none:1")
    assert ended.value.code == 1
    assert Site.objects.get().isolation == "unknown"


@pytest.mark.kube
def test_the_identity_of_a_site_is_the_one_that_a_worker_observed(real: Client):
    kube_system = real.get(paths.namespaces("kube-system"))
    assert kube_system is not None
    assert checked_by_a_worker().identity == kube_system["metadata"]["uid"]


@pytest.mark.kube
def test_another_kubernetes_is_claimed_once_no_clusters_are_left(real: Client, world: World):
    home = world.launch()
    moved_in(home, identity="home")
    Work.objects.exclude(kind=Kind.SITE).delete()
    found = checked_by_a_worker()
    assert (found.ready, found.changed, found.identity) == (False, True, "home")
    assert found.message.startswith("SITE_CHANGED: ")
    assert real.get(paths.namespaces(identity.CLAIM)) is None
    Cluster.objects.update(phase=Phase.DELETED)
    for _ in range(2):
        wake(Kind.SITE, found.id)
        found = checked_by_a_worker()
    assert (found.ready, found.changed) == (True, False)
    assert real.get(paths.namespaces(identity.CLAIM)) is not None


@pytest.mark.kube
def test_a_site_that_changed_is_not_proved(real: Client):
    Site.objects.update(identity="home")
    with pytest.raises(CommandError, match="SITE_CHANGED"):
        site("check", "k8s", "--probe-image", IMAGE)
    assert Site.objects.get().isolation == "unknown"


def test_the_manifest_that_pulls_images_is_printed(config: str, capsys: pytest.CaptureFixture[str]):
    added("--kubeconfig", config, "--image-prefix", "registry.example/")
    capsys.readouterr()
    site("prepull", "k8s")
    printed = capsys.readouterr().out
    bodies = list(yaml.safe_load_all(printed))
    assert "&id" not in printed
    assert [body["kind"] for body in bodies] == ["Namespace", "DaemonSet"]
    assert "registry.example/slipway-spark:" in str(bodies[1])


def test_the_login_to_registries_is_printed_with_that_manifest(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    login = tmp_path / "config.json"
    login.write_text('{"auths": {"registry.example": {"auth": "c2VjcmV0"}}}')
    added("--kubeconfig", config, "--registry-auth", str(login))
    capsys.readouterr()
    site("prepull", "k8s")
    printed = capsys.readouterr()
    bodies = list(yaml.safe_load_all(printed.out))
    assert [body["kind"] for body in bodies] == ["Namespace", "Secret", "DaemonSet"]
    assert f"holds the login of {login}" in printed.err


def test_a_login_that_cannot_be_read_is_named(config: str, tmp_path: Path):
    login = tmp_path / "config.json"
    login.write_text('{"auths": {"registry.example": {"auth": "c2VjcmV0"}}}')
    added("--kubeconfig", config, "--registry-auth", str(login))
    login.unlink()
    with pytest.raises(CommandError, match=f"SITE_SETTINGS: {login}: No such file"):
        site("prepull", "k8s")


def test_no_images_are_pulled_to_the_local_site():
    site_put(name="local", kind="local")
    with pytest.raises(CommandError, match="only Kubernetes sites pull images"):
        site("prepull", "local")
