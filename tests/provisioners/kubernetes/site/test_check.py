"""The check of a site and the proof of its isolation, on a real API server with real pods."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from controlplane.provisioners.base import Permanent, Temporary
from controlplane.provisioners.kubernetes.objects import bindings, paths
from controlplane.provisioners.kubernetes.objects.manifests import ours
from controlplane.provisioners.kubernetes.settings import Reach, SiteSettings
from controlplane.provisioners.kubernetes.site import check, identity, prove
from controlplane.provisioners.kubernetes.site.permissions import Right
from controlplane.provisioners.kubernetes.site.proof import ProbeOutcome, Proof
from controlplane.provisioners.kubernetes.site.prove import namespaces_are_restricted
from tests.kube.registry import WRONG, Registry
from tests.provisioners.kubernetes.shipped import (
    COLLECTIONS,
    INSTALLATION,
    Shipped,
    apply,
    documents,
    eventually,
    shipped,
)
from tests.provisioners.launching import IMAGE

pytestmark = pytest.mark.kube


@pytest.fixture(scope="module")
def site(kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shipped]:
    with shipped(kubeconfig, tmp_path_factory.mktemp("accounts")) as accounts:
        yield accounts


@pytest.fixture(scope="module")
def proof(site: Shipped) -> Proof:
    return prove.prove(site.settings, image=IMAGE)


@pytest.fixture
def admin(kubeconfig: Path) -> SiteSettings:
    accounts = {"provision": {"kubeconfig": str(kubeconfig)}}
    return SiteSettings.parse({"installation": INSTALLATION, "accounts": accounts})


def outcomes(proof: Proof) -> dict[str, ProbeOutcome]:
    return {result.name: result.outcome for result in proof.results}


def test_the_shipped_accounts_are_all_that_a_site_needs(site: Shipped):
    verdict = check.check(site.settings)
    assert (verdict.ready, verdict.isolation) == (True, "unknown")
    assert check.SHARED not in verdict.message


def test_one_account_for_all_work_is_reported(site: Shipped, admin: SiteSettings):
    verdict = check.check(admin)
    assert verdict.ready
    assert check.SHARED in verdict.message


def test_a_second_installation_is_refused(site: Shipped):
    check.check(site.settings)
    with pytest.raises(Permanent, match=f"SITE_BELONGS_TO_ANOTHER.*{INSTALLATION}"):
        check.check(replace(site.settings, installation="f" * 16))


def test_a_released_site_has_no_claim(site: Shipped):
    check.check(site.settings)
    check.release(replace(site.settings, installation="f" * 16))
    assert site.admin.get(paths.namespaces(identity.CLAIM)) is not None
    check.release(site.settings)
    assert eventually(lambda: site.admin.get(paths.namespaces(identity.CLAIM)) is None)


def test_missing_permissions_are_named_with_their_account(site: Shipped):
    accounts = {**site.settings.accounts, "observe": site.settings.reach("logs")}
    verdict = check.check(replace(site.settings, accounts=accounts))
    assert not verdict.ready
    assert verdict.message.startswith("Accounts lack permissions: observe may not list ")
    assert "list pods, watch pods" in verdict.message


def test_deleted_bindings_are_created_again(site: Shipped):
    check.check(site.settings)
    for account in bindings.BOUND:
        site.admin.delete(paths.role_bindings(identity.CLAIM, bindings.role(account)))
    assert eventually(lambda: "exec" in check.missing(site.settings, identity.CLAIM))
    assert "exec may not" in check.check(site.settings).message
    assert eventually(lambda: check.check(site.settings).ready)


def test_an_invalid_token_is_a_temporary_error(site: Shipped, tmp_path: Path):
    wrong = tmp_path / "token"
    wrong.write_text("nonsense")
    reach = replace(site.settings.reach("provision"), token_file=str(wrong))
    with pytest.raises(Temporary, match="SITE_REFUSES_US"):
        check.check(replace(site.settings, accounts={"provision": reach}))


def test_an_unreachable_site_is_a_temporary_error(site: Shipped):
    away = Reach(server="http://127.0.0.1:9", token_file=site.settings.reach("provision").token_file)
    with pytest.raises(Temporary, match="SITE_UNREACHABLE"):
        check.check(replace(site.settings, accounts={"provision": away}))


def test_an_isolated_site_is_proved(proof: Proof):
    print(proof.message)
    assert (proof.isolation, proof.holds) == ("proved", True)
    assert set(outcomes(proof).values()) == {ProbeOutcome.HOLDS}
    assert len(proof.results) > 10


def test_a_proof_leaves_no_namespace(site: Shipped, proof: Proof):
    left = site.admin.list(paths.namespaces(), labels=ours(site.settings)).items
    assert not [body for body in left if body["metadata"]["name"].startswith(prove.PREFIX)]


def test_policies_without_effect_are_not_enforced(site: Shipped, monkeypatch: pytest.MonkeyPatch):
    """Open policies stand for a network plug-in that accepts policies and does not enforce them."""
    monkeypatch.setattr(prove, "SETTLING_SECONDS", 3.0)
    everything = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [{}], "egress": [{}]}
    opened = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "spec": everything}
    monkeypatch.setattr(prove, "walls", lambda _: [{**opened, "metadata": {"name": "open"}}])
    found = prove.prove(site.settings, image=IMAGE)
    assert (found.isolation, found.holds) == ("not enforced", False)
    assert "no way to the API server (it gets through)" in found.message


def test_excess_permissions_are_named_with_their_account(site: Shipped, admin: SiteSettings):
    accounts = {**site.settings.accounts, "observe": admin.reach("provision")}
    found = check.excess(replace(site.settings, accounts=accounts), identity.CLAIM)
    assert list(found) == ["observe"]
    assert Right("*", "*", "*") in found["observe"]


def test_an_account_without_restrictions_is_reported(site: Shipped):
    binding = f"{COLLECTIONS['ValidatingAdmissionPolicyBinding']}/slipway-namespaces"
    assert namespaces_are_restricted(site.settings).outcome is ProbeOutcome.HOLDS
    site.admin.delete(binding)
    try:
        assert eventually(lambda: namespaces_are_restricted(site.settings).outcome is ProbeOutcome.BROKEN)
    finally:
        for body in documents("admission"):
            apply(site.admin, body)
    assert eventually(lambda: namespaces_are_restricted(site.settings).outcome is ProbeOutcome.HOLDS)


def test_a_missing_image_leaves_the_isolation_unknown(site: Shipped):
    settings = replace(site.settings, image_pull_policy="Never")
    found = prove.prove(settings, image="localhost/none:1")
    assert (found.isolation, found.holds) == ("unknown", False)
    assert "ErrImageNeverPull" in found.message


def test_a_site_is_proved_with_an_image_of_its_private_registry(
    site: Shipped, registry: Registry, tmp_path: Path
):
    image = registry.image()
    found = prove.prove(replace(site.settings, registry_auth=registry.login(tmp_path)), image=image)
    assert (found.isolation, found.holds) == ("proved", True)
    assert registry.gave(image)


def test_a_proof_with_a_wrong_login_says_that_the_registry_refuses_it(
    site: Shipped, registry: Registry, tmp_path: Path
):
    login = registry.login(tmp_path, password=WRONG)
    found = prove.prove(replace(site.settings, registry_auth=login), image=registry.image())
    assert (found.isolation, outcomes(found)["pods start"]) == ("unknown", ProbeOutcome.BROKEN)
    assert "401 Unauthorized" in found.message


def test_the_next_proof_deletes_what_a_killed_one_left(site: Shipped, monkeypatch: pytest.MonkeyPatch):
    name = f"{prove.PREFIX}00000000a"
    check.make(site.settings, [check.namespace(name, site.settings)])
    prove.clear_leftovers(site.settings)
    assert site.admin.get(paths.namespaces(name)) is not None
    monkeypatch.setattr(prove, "LEFT_OVER", -prove.LEFT_OVER)
    prove.clear_leftovers(site.settings)
    assert eventually(lambda: site.admin.get(paths.namespaces(name)) is None)
