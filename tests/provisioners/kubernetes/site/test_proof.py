"""How results of probes become a verdict about isolation. test_check runs the probes themselves."""

from dataclasses import replace
from typing import Any

import pytest

from controlplane.provisioners.kubernetes.settings import SiteSettings
from controlplane.provisioners.kubernetes.site import probes
from controlplane.provisioners.kubernetes.site.probes import PROBES
from controlplane.provisioners.kubernetes.site.proof import Part, ProbeOutcome, ProbeResult, Proof

OPEN = {attempt.name: True for attempt in PROBES}
WALLED = {attempt.name: attempt.stays for attempt in PROBES}
SETTINGS = SiteSettings.parse({"installation": "0" * 16, "accounts": {"provision": {"kubeconfig": "/k"}}})


def proof(before: dict[str, bool], behind: dict[str, bool]) -> Proof:
    return Proof(tuple(probes.result(attempt, before, behind) for attempt in PROBES))


def test_probes_that_only_the_policies_stop_prove_isolation():
    found = proof(OPEN, WALLED)
    assert (found.isolation, found.holds) == ("proved", True)


def test_policies_that_are_not_enforced_are_reported():
    found = proof(OPEN, OPEN)
    assert (found.isolation, found.holds) == ("not enforced", False)
    assert "no way out to another namespace (it gets through)" in found.message


def test_one_probe_that_gets_through_means_not_enforced():
    for attempt in PROBES:
        if not attempt.stays:
            assert proof(OPEN, {**WALLED, attempt.name: True}).isolation == "not enforced", attempt.name


def test_a_probe_that_never_got_through_proves_nothing():
    for attempt in PROBES:
        if not attempt.stays:
            assert proof({**OPEN, attempt.name: False}, WALLED).isolation == "unknown", attempt.name


def test_policies_that_stop_every_probe_prove_nothing():
    found = proof(OPEN, dict.fromkeys(OPEN, False))
    assert (found.isolation, found.holds) == ("unknown", False)


def test_a_probe_without_a_result_proves_nothing():
    for attempt in PROBES:
        results = {name: result for name, result in WALLED.items() if name != attempt.name}
        assert proof(OPEN, results).isolation == "unknown", attempt.name


def test_without_probes_of_isolation_nothing_is_proved():
    assert Proof((ProbeResult("API server", ProbeOutcome.HOLDS),)).isolation == "unknown"


def test_the_message_starts_with_what_does_not_hold():
    results = (
        ProbeResult("storage", ProbeOutcome.HOLDS),
        ProbeResult("DNS", ProbeOutcome.BROKEN, "no answer", Part.CONTROL),
    )
    assert Proof(results).message == "Does not hold: DNS (no answer). Holds: storage."


def test_other_lines_in_the_output_of_probes_are_ignored():
    assert probes.parse_output("own open\nsh: nc: not found\ndns closed\n\n") == {"own": True, "dns": False}


def test_probes_connect_only_to_addresses_in_the_cluster():
    status = {pod.name: {"podIP": "10.1.2.3", "hostIP": "172.16.0.9"} for pod in probes.PODS}
    targets = {probes.target(attempt, status, "cluster.local").split()[1] for attempt in PROBES}
    assert targets == {"10.1.2.3", "172.16.0.9", "kubernetes.default.svc.cluster.local."}


def test_probes_have_the_placement_of_nodes():
    settings = SiteSettings.parse(
        {
            "installation": "0" * 16,
            "accounts": {"provision": {"kubeconfig": "/k"}},
            "node_selector": {"pool": "a"},
            "tolerations": [{"key": "a", "operator": "Exists"}],
        }
    )
    spec = probes.pod(probes.ASKER, settings, "image")["spec"]
    assert (spec["nodeSelector"], spec["tolerations"]) == (
        {"pool": "a"},
        [{"key": "a", "operator": "Exists"}],
    )


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({}, None),
        ({"pull_secrets": ("theirs",)}, [{"name": "theirs"}]),
        (
            {"registry_auth": "/login", "pull_secrets": ("theirs",)},
            [{"name": "theirs"}, {"name": "registry"}],
        ),
    ],
)
def test_probes_pull_their_image_as_nodes_do(given: dict[str, Any], named: list[dict[str, str]] | None):
    spec = probes.pod(probes.ASKER, replace(SETTINGS, **given), "image")["spec"]
    assert spec.get("imagePullSecrets") == named


def test_the_volume_of_the_probe_has_the_storage_class_of_nodes():
    assert "storageClassName" not in probes.volume(SETTINGS)["spec"]
    named = SiteSettings.parse(
        {"installation": "0" * 16, "accounts": {"provision": {"kubeconfig": "/k"}}, "storage_class": "fast"}
    )
    assert probes.volume(named)["spec"]["storageClassName"] == "fast"
