"""A worker dies, repeats a call or pauses at any of its API calls; the objects created, deleted and left are the same.

Each action runs in a thread in which `in_parallel` makes its calls one after the other, so that a worker can die
between any two calls.
"""

import copy
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from controlplane.provisioners.base import Desired, NodeRef, NotYet, Permanent, Temporary
from controlplane.provisioners.kubernetes.objects import names, paths
from controlplane.provisioners.kubernetes.provisioner import KubernetesProvisioner
from controlplane.provisioners.kubernetes.settings import Reach, SiteSettings
from tests.provisioners.kubernetes.memory import Died, MemoryAccounts, MemoryApi
from tests.provisioners.launching import cluster, desired, first, with_attempt

SETTINGS = SiteSettings(
    "0123456789abcdef", {"provision": Reach(server="https://127.0.0.1:1", token_file="t")}
)
OF = cluster()
LIMITS = {"cpu": 4000, "memory": 2**34}

Action = Callable[[KubernetesProvisioner], object]


def wish(count: int, **fields: Any) -> Desired:
    return desired(OF, count, **fields)


def ensure(site: KubernetesProvisioner) -> None:
    site.ensure_tenant(OF.tenant_id, OF.tenant, LIMITS)


def removed(site: KubernetesProvisioner) -> None:
    site.remove(OF)


# Name -> (actions that prepare the site, the action under test).
CASES: dict[str, tuple[list[Action], Action]] = {
    "ensure_tenant": ([], ensure),
    "ensure_tenant with other limits": (
        [ensure],
        lambda site: site.ensure_tenant(OF.tenant_id, OF.tenant, {"cpu": 1000}),
    ),
    "remove_tenant": ([ensure], lambda site: site.remove_tenant(OF.tenant_id)),
    "apply": ([ensure], lambda site: site.apply(wish(3))),
    "apply to grow": (
        [ensure, lambda site: site.apply(wish(1))],
        lambda site: site.apply(wish(3, generation=2)),
    ),
    "apply to shrink": (
        [ensure, lambda site: site.apply(wish(3))],
        lambda site: site.apply(wish(1, generation=2)),
    ),
    "apply of a later run": (
        [ensure, lambda site: site.apply(wish(3)), lambda site: site.end_run(OF, 1)],
        lambda site: site.apply(wish(2, run=2, generation=2, has_data=True)),
    ),
    "begin_drain": (
        [ensure, lambda site: site.apply(wish(2))],
        lambda site: site.begin_drain(OF, [NodeRef("worker-0", 1), NodeRef("worker-1", 1)], 10),
    ),
    "end_run": ([ensure, lambda site: site.apply(wish(3))], lambda site: site.end_run(OF, 1)),
    "end_run of what was never made": ([ensure], lambda site: site.end_run(OF, 1)),
    "remove": ([ensure, lambda site: site.apply(wish(3))], removed),
    "remove of what was never made": ([ensure], removed),
}


def prepared(name: str) -> KubernetesProvisioner:
    """Returns a new provisioner of a site on which the preparing actions of the case have been executed."""
    api = MemoryApi()
    site = KubernetesProvisioner(SETTINGS, MemoryAccounts(api))
    for action in CASES[name][0]:
        action(site)
        api.collect()
    return KubernetesProvisioner(SETTINGS, MemoryAccounts(copy.deepcopy(api)))


def api_of(site: KubernetesProvisioner) -> MemoryApi:
    assert isinstance(site.accounts, MemoryAccounts)
    return site.accounts.api


def in_order(action: Action, site: KubernetesProvisioner) -> BaseException | None:
    """Runs the action with its API calls in sequence. Returns the exception that it raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            action(site)
        except BaseException as error:  # noqa: BLE001 - catches Died, too
            raised.append(error)

    thread = threading.Thread(target=run, name="kubernetes-call-test")
    thread.start()
    thread.join()
    return raised[0] if raised else None


def outcome(site: KubernetesProvisioner) -> tuple[dict[str, Any], list[str], list[str], set[tuple[str, ...]]]:
    """Returns the objects left, the paths created, the paths deleted, and the commands run in pods."""
    api = api_of(site)
    api.collect()
    return (
        {path: stable(body) for path, body in api.objects.items()},
        sorted(api.made),
        sorted(api.gone),
        set(api.ran),
    )


def stable(body: Any) -> Any:
    """Returns the body without the fields that differ between two runs of a test."""
    if isinstance(body, dict):
        varying = {"uid", "resourceVersion", "slipway/applied-at"}
        return {key: stable(value) for key, value in body.items() if key not in varying}
    return [stable(item) for item in body] if isinstance(body, list) else body


def undisturbed(name: str) -> KubernetesProvisioner:
    site = prepared(name)
    assert in_order(CASES[name][1], site) is None
    return site


def die(api: MemoryApi, number: int, *, after: bool) -> None:
    """Makes the worker die at this call, before the API receives it or after the API has executed it."""

    def hook(call: object) -> None:
        if len(api.calls) == number + 1:
            raise Died

    if after:
        api.after = hook
    else:
        api.before = hook


def revived(site: KubernetesProvisioner) -> KubernetesProvisioner:
    """Returns a new worker on the same API, without failures."""
    api = api_of(site)
    api.before = api.after = lambda call: None
    return KubernetesProvisioner(SETTINGS, MemoryAccounts(api))


@pytest.mark.parametrize("name", CASES)
def test_the_next_worker_completes_an_action_interrupted_at_any_call(name: str):
    expected = outcome(undisturbed(name))
    calls = list(api_of(undisturbed(name)).calls)
    for number in range(len(calls)):
        for after in (False, True):
            site = prepared(name)
            die(api_of(site), number, after=after)
            assert isinstance(in_order(CASES[name][1], site), Died)
            assert in_order(CASES[name][1], revived(site)) is None
            assert outcome(site) == expected, (calls[number], after)
    print(f"{name}: died before and after each of {len(calls)} calls")


@pytest.mark.parametrize("name", CASES)
def test_every_action_is_idempotent(name: str):
    once = outcome(undisturbed(name))
    site = undisturbed(name)
    assert in_order(CASES[name][1], site) is None
    assert outcome(site) == once


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("apply")])
@pytest.mark.parametrize("end", ["end_run", "remove", "remove_tenant"])
def test_a_paused_apply_creates_nothing_for_what_was_ended_meanwhile(name: str, end: str):
    calls = len(api_of(undisturbed(name)).calls)
    for number in range(calls):
        site = prepared(name)
        pause(site, number, end)
        error = in_order(CASES[name][1], site)
        assert error is None or isinstance(error, (Temporary, Permanent)), error
        assert left(site, end) == [], (number, end)
    print(f"{name}: paused before each of {calls} calls, {end} meanwhile")


def pause(site: KubernetesProvisioner, number: int, end: str) -> None:
    """Pauses the worker before this call, while another worker ends the run, the cluster or the tenant."""
    api = api_of(site)

    def hook(call: object) -> None:
        if len(api.calls) == number + 1:
            api.before = lambda call: None
            other = KubernetesProvisioner(SETTINGS, MemoryAccounts(api))
            {
                "end_run": lambda: other.end_run(OF, 2),
                "remove": lambda: other.remove(OF),
                "remove_tenant": lambda: other.remove_tenant(OF.tenant_id),
            }[end]()
            api.collect()

    api.before = hook


def left(site: KubernetesProvisioner, end: str) -> list[str]:
    api = api_of(site)
    api.collect()
    place = names.namespace(OF.tenant_id)
    kept = {
        "end_run": {
            paths.config_maps(place, names.cluster_root(OF.id)),
            *(path for path in api.objects if "persistentvolumeclaims" in path),
        },
        "remove": {paths.leases(place, names.cluster_root(OF.id))},
        "remove_tenant": set(),
    }[end]
    return [path for path in api.objects if names.CLUSTER in labels(api.objects[path]) and path not in kept]


def labels(body: Any) -> dict[str, str]:
    return body["metadata"].get("labels") or {}


def test_a_late_apply_of_an_earlier_generation_changes_nothing():
    site = prepared("apply to grow")
    site.apply(wish(3, generation=2))
    before = outcome(site)
    site.apply(wish(1, generation=1))
    assert outcome(site) == before


def test_volumes_of_nodes_that_are_kept_stay():
    site = prepared("end_run")
    site.end_run(OF, 1)
    some = replace(wish(3, run=2, has_data=True), nodes=wish(1).nodes)
    site.apply(some)
    assert len(api_of(site).of_kind("persistentvolumeclaims")) == 3


def test_a_volume_that_was_lost_is_not_replaced_by_an_empty_one():
    site = prepared("end_run")
    site.end_run(OF, 1)
    api_of(site).drop(paths.volumes(names.namespace(OF.tenant_id), names.volume(OF.id, "worker-1")))
    with pytest.raises(Permanent, match="worker-1 is gone"):
        site.apply(wish(3, run=2, has_data=True))


def test_a_lost_record_of_volumes_counts_as_lost_volumes():
    site = prepared("end_run")
    api_of(site).drop(paths.config_maps(names.namespace(OF.tenant_id), names.cluster_root(OF.id)))
    with pytest.raises(Permanent, match="STORAGE_LOST"):
        site.apply(wish(3, run=2, has_data=True))


@pytest.mark.parametrize(
    "action", [ensure, lambda site: site.apply(wish(3)), lambda site: site.end_run(OF, 1)]
)
def test_objects_of_another_installation_are_refused(action: Action):
    site = prepared("end_run")
    before = outcome(site)
    with pytest.raises(Permanent, match="SITE_BELONGS_TO_ANOTHER"):
        action(stranger(site))
    assert outcome(site) == before


def test_removing_leaves_objects_of_another_installation():
    site = prepared("end_run")
    before = outcome(site)
    stranger(site).remove(OF)
    assert before[0].items() <= outcome(site)[0].items()


def stranger(site: KubernetesProvisioner) -> KubernetesProvisioner:
    return KubernetesProvisioner(replace(SETTINGS, installation="f" * 16), site.accounts)


def test_a_drain_is_started_once():
    site = prepared("begin_drain")
    site.begin_drain(OF, [first(wish(2))], 10)
    site.begin_drain(OF, [first(wish(2))], 10)
    assert [words[-1] for words in api_of(site).ran] == ["10"]


def test_a_removed_attempt_is_not_created_again_and_the_next_one_is():
    site = prepared("apply")
    site.apply(wish(1))
    site.apply(replace(wish(1), nodes=()))
    site.apply(wish(1))
    assert api_of(site).of_kind("pods") == []
    site.apply(with_attempt(wish(1), 2))
    assert [body["metadata"]["labels"][names.ATTEMPT] for body in api_of(site).of_kind("pods")] == ["2"]


FAILURES = [
    ("SITE_UNREACHABLE", False),
    ("SITE_UNREACHABLE", True),
    ("SITE_BUSY", False),
    ("SITE_REFUSES_US", False),
]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("reason", "after"), FAILURES)
def test_an_action_whose_call_fails_succeeds_when_it_is_repeated(name: str, reason: str, *, after: bool):
    """after: the API executes the call, and its reply is lost."""
    expected = outcome(undisturbed(name))
    calls = list(api_of(undisturbed(name)).calls)
    for number in range(len(calls)):
        site = prepared(name)
        fail(api_of(site), number, NotYet(reason, "not now"), after=after)
        raised = in_order(CASES[name][1], site)
        assert isinstance(raised, Temporary), (calls[number], raised)
        assert in_order(CASES[name][1], revived(site)) is None
        assert outcome(site) == expected, calls[number]


def fail(api: MemoryApi, number: int, error: Exception, *, after: bool) -> None:
    """Makes this call raise `error`, before or after the API executes it."""

    def hook(call: object) -> None:
        if len(api.calls) == number + 1:
            raise error

    if after:
        api.after = hook
    else:
        api.before = hook


@pytest.mark.parametrize("reason", ["SITE_UNREACHABLE", "SITE_BUSY", "SITE_REFUSES_US", "SITE_FORBIDS"])
def test_an_object_that_cannot_be_read_is_not_reported_as_gone(reason: str):
    site = prepared("end_run")
    assert in_order(look, site) is None
    for number in range(len(api_of(site).calls)):
        failing = prepared("end_run")
        fail(api_of(failing), number, NotYet(reason, "not now"), after=False)
        assert str(in_order(look, failing)).startswith(reason)


def look(site: KubernetesProvisioner) -> object:
    return site.look(OF, ())
