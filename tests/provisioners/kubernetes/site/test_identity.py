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
    """What somebody does who rewrites a kubeconfig."""
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


def test_a_kubernetes_is_known_by_what_cannot_be_deleted(settings: SiteSettings):
    assert identity_of(settings) == "home"


def test_a_kubernetes_without_its_known_objects_cannot_be_identified(settings: SiteSettings, home: ApiServer):
    home.objects.clear()
    with pytest.raises(Temporary, match="SITE_UNREACHABLE"):
        identity_of(settings)


def test_it_is_asked_once_and_not_with_each_call(provision: Client, home: ApiServer):
    for _ in range(5):
        assert provision.get(ROOT) is None
    assert home.calls.count(WHO) == 1


def test_one_that_another_installation_has_claimed_is_left_alone(provision: Client, home: ApiServer):
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


def test_a_site_that_is_not_known_yet_is_whichever_is_found(settings: SiteSettings, home: ApiServer):
    provision = verified_clients(replace(settings, identity="")).client("provision")
    assert provision.get(ROOT) is None
    claimed(home, by="f" * 16)
    provision.reconnect()
    with pytest.raises(Temporary, match="SITE_BELONGS_TO_ANOTHER"):
        provision.get(ROOT)


def test_another_one_is_asked_nothing_else(provision: Client, config: Path, foreign: ApiServer):
    point(config, foreign)
    for call in (lambda: provision.get(ROOT), lambda: provision.delete(ROOT)):
        with pytest.raises(Temporary, match=r"SITE_CHANGED.*foreign.*home"):
            call()
    assert set(foreign.calls) == {WHO}


def test_a_call_that_is_sent_once_more_is_not_sent_elsewhere(
    provision: Client, config: Path, home: ApiServer, foreign: ApiServer
):
    """The kubeconfig was rewritten while we ran, and only when a token is refused we read it anew."""
    assert provision.get(ROOT) is None
    point(config, foreign)
    home.fail(says(401, "Unauthorized"))
    with pytest.raises(Temporary, match="SITE_CHANGED"):
        provision.get(ROOT)
    assert set(foreign.calls) == {WHO}


def test_a_site_that_is_pointed_back_is_used_again(
    provision: Client, config: Path, home: ApiServer, foreign: ApiServer
):
    point(config, foreign)
    with pytest.raises(Temporary, match="SITE_CHANGED"):
        provision.get(ROOT)
    point(config, home)
    assert provision.get(ROOT) is None


def test_an_address_that_leads_elsewhere_from_the_next_connection_on_is_not_believed(
    provision: Client, home: ApiServer
):
    """A Kubernetes that is set up anew with its old keys accepts all credentials."""
    assert provision.get(ROOT) is None
    home.fail(away)
    with pytest.raises(Temporary, match="SITE_UNREACHABLE"):
        provision.get(ROOT)
    named(home, "foreign")
    with pytest.raises(Temporary, match="SITE_CHANGED"):
        provision.get(ROOT)


def test_a_write_does_not_reach_another_one_by_a_new_connection(provision: Client, home: ApiServer):
    assert provision.get(ROOT) is None
    # The connection is closed while it rests, and the address leads elsewhere by the time of the next one.
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


def test_a_renewed_token_changes_nothing(provision: Client, config: Path, home: ApiServer):
    assert provision.get(ROOT) is None
    home.token = "newer"
    point(config, home)
    assert provision.get(ROOT) is None
    assert home.calls.count(WHO) == 2


def test_who_cannot_be_asked_is_not_believed(provision: Client, home: ApiServer):
    home.fail(says(500, "InternalError"))
    with pytest.raises(Temporary, match="SITE_UNREACHABLE"):
        provision.get(ROOT)
    assert home.calls == [WHO]


def test_accounts_that_only_look_on_need_no_other_beside_them(settings: SiteSettings, home: ApiServer):
    """The web's processes hold the account that reads logs, and no other."""
    clients = verified_clients(settings)
    for account in set(ACCOUNTS) - {"provision", "namespaces"}:
        assert clients.client(account).text(paths.pod_log("slipway-a", "one")) == b""
    assert WHO not in home.calls


def test_a_check_claims_nothing_of_another_one(settings: SiteSettings, config: Path, foreign: ApiServer):
    point(config, foreign)
    verdict = check.check(settings)
    assert (verdict.ready, verdict.identity) == (False, "foreign")
    assert verdict.message.startswith("SITE_CHANGED: ")
    assert set(foreign.calls) == {"GET /version", WHO}
