"""The manifests grant each account exactly the permissions in the table of the product."""

from typing import Any

from controlplane.provisioners.kubernetes.objects import bindings
from controlplane.provisioners.kubernetes.objects.bindings import BOUND
from controlplane.provisioners.kubernetes.settings import ACCOUNTS, SiteSettings
from controlplane.provisioners.kubernetes.site import permissions
from controlplane.provisioners.kubernetes.site.permissions import EVERYWHERE, PERMISSIONS, Right
from tests.provisioners.kubernetes.shipped import documents

ROLES = {body["metadata"]["name"]: body for body in documents("roles") if body["kind"] == "ClusterRole"}
ADMIN = {"kubeconfig": "/admin"}


def settings(**accounts: Any) -> SiteSettings:
    return SiteSettings.parse({"installation": "0" * 16, "accounts": {"provision": ADMIN, **accounts}})


def test_every_account_is_granted_what_it_needs_and_nothing_else():
    assert set(ROLES) == {bindings.role(account) for account in ACCOUNTS}
    assert set(PERMISSIONS) == set(ACCOUNTS) == {*BOUND, *EVERYWHERE}
    for account in ACCOUNTS:
        granted = permissions.granted(ROLES[bindings.role(account)]["rules"])
        assert granted == set(permissions.rights(account)), account


def test_nothing_is_granted_by_a_wildcard():
    rules = [rule for body in ROLES.values() for rule in body["rules"]]
    assert len(rules) > 10
    assert not [rule for rule in rules if "*" in {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}]


def test_only_the_accounts_that_need_all_namespaces_are_bound_in_all_of_them():
    cluster_wide = [body for body in documents("roles") if body["kind"] == "ClusterRoleBinding"]
    assert {body["roleRef"]["name"] for body in cluster_wide} == {bindings.role(name) for name in EVERYWHERE}
    assert {body["subjects"][0]["name"] for body in cluster_wide} == set(EVERYWHERE)


def test_every_account_is_shipped_without_a_token_in_its_pods():
    accounts = [body for body in documents("accounts") if body["kind"] == "ServiceAccount"]
    assert {body["metadata"]["name"] for body in accounts} == set(ACCOUNTS)
    assert {body["metadata"]["namespace"] for body in accounts} == {bindings.HOME}
    assert {body["automountServiceAccountToken"] for body in accounts} == {False}


def test_every_account_has_a_token_secret():
    tokens = documents("tokens")
    owners = {body["metadata"]["annotations"]["kubernetes.io/service-account.name"] for body in tokens}
    assert owners == set(ACCOUNTS)


def test_secrets_are_never_read():
    verbs = {
        right.verb
        for account in ACCOUNTS
        for right in permissions.rights(account)
        if right.resource == "secrets"
    }
    assert verbs == {"create"}


def test_separate_accounts_are_bound_in_each_namespace():
    own = {account: {"kubeconfig": f"/{account}"} for account in ACCOUNTS[1:]}
    bodies = bindings.role_bindings("slipway-x", settings(**own))
    assert [body["roleRef"]["name"] for body in bodies] == [bindings.role(account) for account in BOUND]
    assert {body["metadata"]["namespace"] for body in bodies} == {"slipway-x"}
    assert [body["subjects"][0]["name"] for body in bodies] == list(BOUND)


def test_a_single_admin_account_needs_no_binding():
    assert bindings.role_bindings("slipway-x", settings()) == []


def test_wildcards_of_an_admin_count_as_granted():
    everything = [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
    assert all(
        permissions.is_granted(right, everything) for name in ACCOUNTS for right in permissions.rights(name)
    )


def test_a_grant_for_one_name_does_not_cover_others():
    rules = [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["one"]}]
    assert permissions.is_granted(Right("", "pods", "get", "one"), rules)
    assert not permissions.is_granted(Right("", "pods", "get"), rules)


def test_a_grant_on_pods_does_not_cover_exec():
    rules = [{"verbs": ["create"], "apiGroups": [""], "resources": ["pods"]}]
    assert not permissions.is_granted(Right("", "pods/exec", "create"), rules)
    assert permissions.is_granted(Right("", "pods/exec", "create"), [{**rules[0], "resources": ["*/exec"]}])
