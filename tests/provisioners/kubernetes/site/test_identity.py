"""When a site's address leads to another Kubernetes than before, only its identity is read."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from controlplane.provisioners.base import Temporary
from controlplane.provisioners.kubernetes.client.client import Client
from controlplane.provisioners.kubernetes.objects import names, paths
from controlplane.provisioners.kubernetes.settings import ACCOUNTS, SiteSettings
from controlplane.provisioners.kubernetes.site import check, identity
from controlplane.provisioners.kubernetes.site.identity import identity_of, verified_clients
from tests.provisioners.kubernetes.api_server import ApiServer, Handler, api_server, away, says

INSTALLATION = "0" * 16
WHO = "GET /api/v1/namespaces/kube-system"
ROOT = paths.config_maps("slipway-a", "one")


def named(server: ApiServer, uid: str) -> ApiServer:
    server.objects[paths.namespaces("kube-system")] = {"metadata": {"name": "kube-system", "uid": uid}}
    server.objects["/version"] = {"gitVersion": "v1.34.2", "major": "1", "minor": "34"}
    return server


@pytest.fixture
def home(api: ApiServer) -> ApiServer:
    return named(api, "home")


@pytest.fixture
def foreign() -> Iterator[ApiServer]:
    with api_server() as server:
        yield named(server, "foreign")


def point(config: Path, server: ApiServer) -> None:
    """Writes a kubeconfig that leads to this server."""
    config.write_text(
        json.dumps(
            {
                "current-context": "one",
                "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}],
                "clusters": [{"name": "one", "cluster": {"server": server.url}}],
                "users": [{"name": "one", "user": {"token": server.token}}],
            }
        )
    )


@pytest.fixture
def config(tmp_path: Path, home: ApiServer) -> Path:
    point(tmp_path / "config", home)
    return tmp_path / "config"


@pytest.fixture
def settings(config: Path) -> SiteSettings:
    accounts = {"provision": {"kubeconfig": str(config), "context": "one"}}
    return SiteSettings.parse({"installation": INSTALLATION, "accounts": accounts, "identity": "home"})


@pytest.fixture
def provision(settings: SiteSettings) -> Client:
    return verified_clients(settings).client("provision")


def test_the_identity_is_the_uid_of_kube_system(settings: SiteSettings):
    assert identity_of(settings) == "home"


def test_a_kubernetes_without_its_known_objects_cannot_be_identified(settings: SiteSettings, home: ApiServer):
    home.objects.clear()
    with pytest.raises(Temporary, match="SITE_UNREACHABLE"):
        identity_of(settings)


def test_the_identity_is_read_once_and_not_with_each_call(provision: Client, home: ApiServer):
    for _ in range(5):
        assert provision.get(ROOT) is None
    assert home.calls.count(WHO) == 1


def test_a_kubernetes_claimed_by_another_installation_gets_no_call(provision: Client, home: ApiServer):
    claimed(home, by="f" * 16)
    with pytest.raises(Temporary, match="SITE_BELONGS_TO_ANOTHER"):
        provision.get(ROOT)
    assert f"GET {ROOT}" not in home.calls
    claimed(home, by=INSTALLATION)
    assert provision.get(ROOT) is None


def claimed(server: ApiServer, *, by: str) -> None:
    labels = {names.INSTALLATION: by}
    server.objects[paths.namespaces(identity.CLAIM)] = {
        "metadata": {"name": identity.CLAIM, "labels": labels}
    }


def test_a_site_without_a_recorded_identity_accepts_any_kubernetes(settings: SiteSettings, home: ApiServer):
    provision = verified_clients(replace(settings, identity="")).client("provision")
    assert provision.get(ROOT) is None
    claimed(home, by="f" * 16)
    provision.reconnect()
    with pytest.raises(Temporary, match="SITE_BELONGS_TO_ANOTHER"):
        provision.get(ROOT)


def test_another_kubernetes_gets_no_other_call(provision: Client, config: Path, foreign: ApiServer):
    point(config, foreign)
    for call in (lambda: provision.get(ROOT), lambda: provision.delete(ROOT)):
        with pytest.raises(Temporary, match=r"SITE_CHANGED.*foreign.*home"):
            call()
    assert set(foreign.calls) == {WHO}


def test_a_repeated_call_is_not_sent_to_another_kubernetes(
    provision: Client, config: Path, home: ApiServer, foreign: ApiServer
):
    """The kubeconfig changes while the process runs, and is read again only after a token was refused."""
    assert provision.get(ROOT) is None
    point(config, foreign)
    home.fail(says(401, "Unauthorized"))
    with pytest.raises(Temporary, match="SITE_CHANGED"):
        provision.get(ROOT)
    assert set(foreign.calls) == {WHO}


def test_a_site_that_leads_back_is_used_again(
    provision: Client, config: Path, home: ApiServer, foreign: ApiServer
):
    point(config, foreign)
    with pytest.raises(Temporary, match="SITE_CHANGED"):
        provision.get(ROOT)
    point(config, home)
    assert provision.get(ROOT) is None


def test_the_identity_is_verified_on_each_connection(provision: Client, home: ApiServer):
    """A Kubernetes that was installed again with its old keys accepts the old credentials."""
    assert provision.get(ROOT) is None
    home.fail(away)
    with pytest.raises(Temporary, match="SITE_UNREACHABLE"):
        provision.get(ROOT)
    named(home, "foreign")
    with pytest.raises(Temporary, match="SITE_CHANGED"):
        provision.get(ROOT)


def test_a_write_on_a_new_connection_does_not_reach_another_kubernetes(provision: Client, home: ApiServer):
    assert provision.get(ROOT) is None
    # The server closes the idle connection, and the next one leads to another Kubernetes.
    home.fail(closes)
    assert provision.get(ROOT) is None
    named(home, "foreign")
    with pytest.raises(Temporary, match="SITE_CHANGED"):
        provision.create(paths.config_maps("slipway-a"), {"metadata": {"name": "one"}})
    assert ROOT not in home.objects
    assert not [call for call in home.calls if call.startswith("POST")]


def closes(handler: Handler, do: Callable[[], None]) -> None:
    do()
    handler.close_connection = True


def test_the_identity_is_verified_again_with_a_renewed_token(
    provision: Client, config: Path, home: ApiServer
):
    assert provision.get(ROOT) is None
    home.token = "newer"
    point(config, home)
    assert provision.get(ROOT) is None
    assert home.calls.count(WHO) == 2


def test_a_call_fails_if_the_identity_cannot_be_read(provision: Client, home: ApiServer):
    home.fail(says(500, "InternalError"))
    with pytest.raises(Temporary, match="SITE_UNREACHABLE"):
        provision.get(ROOT)
    assert home.calls == [WHO]


def test_accounts_that_only_read_work_without_the_others(settings: SiteSettings, home: ApiServer):
    """Web processes hold only the account that reads logs."""
    clients = verified_clients(settings)
    for account in set(ACCOUNTS) - {"provision", "namespaces"}:
        assert clients.client(account).text(paths.pod_log("slipway-a", "one")) == b""
    assert WHO not in home.calls


def test_a_check_does_not_claim_another_kubernetes(settings: SiteSettings, config: Path, foreign: ApiServer):
    point(config, foreign)
    verdict = check.check(settings)
    assert (verdict.ready, verdict.identity) == (False, "foreign")
    assert verdict.message.startswith("SITE_CHANGED: ")
    assert set(foreign.calls) == {"GET /version", WHO}
