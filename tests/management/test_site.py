"""`manage.py site`, as whoever runs a service uses it."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from controlplane.clusters.models import Site
from controlplane.clusters.services.sites import site_put
from controlplane.management.commands.site import Command
from controlplane.provisioners.kubernetes import check, paths
from controlplane.provisioners.kubernetes.client import Client
from controlplane.provisioners.kubernetes.settings import Reach, SiteSettings
from controlplane.reconciler.provisioning import installation_id
from controlplane.reconciler.sites import reconcile_site
from controlplane.standalone.environment import ROOT, python
from controlplane.work.claim import claim
from controlplane.work.models import Kind
from tests.kube.cluster import kubeconfig as kubeconfig
from tests.provisioners.launching import IMAGE
from tests.reconciler.conftest import World
from tests.reconciler.conftest import world as world

pytestmark = pytest.mark.django_db
CONFIG = {"current-context": "one", "contexts": [{"name": "one"}, {"name": "two"}]}


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


def test_a_kubeconfig_is_written_down_with_its_context(config: str, capsys: pytest.CaptureFixture[str]):
    assert added("--kubeconfig", config) == {
        "accounts": {"provision": {"kubeconfig": config, "context": "one"}}
    }
    assert check.SHARED in capsys.readouterr().out


def test_the_path_of_a_token_is_written_down_and_never_the_token(token: str):
    reached = added("--server", "https://10.0.0.1:6443/", "--token-file", token)["accounts"]["provision"]
    assert reached == {"server": "https://10.0.0.1:6443", "token_file": token}


def test_each_account_may_be_reached_in_its_own_way(config: str, capsys: pytest.CaptureFixture[str]):
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


def test_what_clusters_get_is_written_down(config: str):
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


def test_what_cannot_be_meant_is_refused_with_what_may_be(config: str, token: str):
    there = ("--kubeconfig", config)
    assert "No such file" in refusal("--kubeconfig", "/nonexistent")
    assert "is no kubeconfig" in refusal("--kubeconfig", token)
    assert "there is: one, two" in refusal(*there, "--context", "three")
    assert "needs a --token-file" in refusal("--server", "https://10.0.0.1")
    assert "use an https address" in refusal("--server", "http://10.0.0.1", "--token-file", token)
    assert "does not run inside" in refusal("--in-cluster")
    assert "use namespaces, exec, observe, logs" in refusal(*there, "--account", "admin=two")
    assert "write it as NAME=VALUE" in refusal(*there, "--account", "exec")
    assert "there is: one, two" in refusal(*there, "--account", "exec=three")
    assert "10.0.0.0/8" in refusal(*there, "--egress", "everywhere")
    assert "KEY=VALUE:NoSchedule" in refusal(*there, "--toleration", "a=b:Never")
    assert "from 1 to 64" in refusal(*there, "--cpu-burst", "0")
    assert "Always, IfNotPresent, Never" in refusal(*there, "--image-pull-policy", "Sometimes")
    assert "--shared-storage-size" in refusal(*there, "--shared-storage-size", "much")


def test_a_name_that_is_none_is_refused(config: str):
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
        "yes",
        "none",
        "never",
        "all",
        "well",
    ]


def test_the_local_site_has_nothing_to_be_proved():
    site_put(name="local", kind="local")
    with pytest.raises(CommandError, match="shuts nobody off"):
        site("check", "local")


def test_a_site_that_cannot_be_asked_keeps_its_verdict(token: str):
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


def test_who_is_not_there_is_told():
    for action in ("check", "remove"):
        with pytest.raises(CommandError, match="There is no site k8s"):
            site(action, "k8s")


def test_a_site_with_clusters_is_not_removed(world: World):
    world.launch()
    with pytest.raises(CommandError, match="fake has 1 clusters"):
        site("remove", "fake")


def test_a_site_that_is_away_can_be_forgotten(token: str, capsys: pytest.CaptureFixture[str]):
    added("--server", "http://127.0.0.1:9", "--token-file", token)
    site("remove", "k8s")
    assert not Site.objects.exists()
    told = capsys.readouterr()
    assert f"slipway/installation={installation_id()}" in told.out
    assert check.CLAIM in told.err


def _run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DATABASE_URL")}
    command = python("manage.py", "site", *arguments)
    return subprocess.run(
        command, cwd=ROOT, env={**kept, **environment}, capture_output=True, text=True, check=False
    )


def test_help_explains_it(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        Command().create_parser("manage.py", "site").parse_args(["check", "--help"])
    assert ended.value.code == 0
    assert "pods that try and must fail" in " ".join(capsys.readouterr().out.split())


def test_without_an_installation_it_says_how_to_get_one(tmp_path: Path):
    done = _run("list", "--data-dir", str(tmp_path / "none"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "start one with `up`" in done.stderr


@pytest.fixture
def real(kubeconfig: Path) -> Iterator[Client]:
    """The devkube is a site; what is claimed there is let go of again."""
    site("add", "k8s", "--kubeconfig", str(kubeconfig))
    settings = Site.objects.get().settings
    yield Client(Reach(kubeconfig=str(kubeconfig)), purpose="test")
    check.release(SiteSettings.parse({**settings, "installation": installation_id()}))


def checked_by_a_worker() -> Site:
    claimed = claim([Kind.SITE])
    assert claimed is not None
    reconcile_site(claimed)
    return Site.objects.get()


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
    claim = real.get(paths.namespaces(check.CLAIM))
    assert claim is None or "deletionTimestamp" in claim["metadata"]


@pytest.mark.kube
def test_a_proof_that_fails_is_recorded_and_told_by_exit_code(real: Client):
    Site.objects.update(isolation="proved")
    with pytest.raises(SystemExit) as ended:
        site("check", "k8s", "--probe-image", "localhost/none:1")
    assert ended.value.code == 1
    assert Site.objects.get().isolation == "unknown"
