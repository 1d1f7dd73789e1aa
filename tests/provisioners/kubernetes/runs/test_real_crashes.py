"""A worker dies, loses a reply or pauses at some of its calls, on a real API server: a sample of test_crashes.

Each sampled call has its own cluster; all belong to one tenant and run in parallel. In the end, each has the objects
of an undisturbed cluster, as many objects of each kind were created, and none was deleted twice.
"""

import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from controlplane.provisioners.base import ClusterRef, Permanent, Temporary
from controlplane.provisioners.kubernetes.client.client import Client
from controlplane.provisioners.kubernetes.client.errors import unreachable
from controlplane.provisioners.kubernetes.objects import manifests, names, paths
from controlplane.provisioners.kubernetes.provisioner import KubernetesProvisioner
from controlplane.provisioners.kubernetes.settings import Reach, SiteSettings
from tenants.amounts import Amounts
from tests.provisioners.kubernetes.counted import CountedAccounts, nothing
from tests.provisioners.kubernetes.memory import Died
from tests.provisioners.kubernetes.runs.test_crashes import in_order
from tests.provisioners.launching import desired, states, tenant_removed, until

pytestmark = [pytest.mark.kube, pytest.mark.timeout(180)]

# Numbers of calls to sample; fewer in cases that wait for pods to run.
SAMPLES, SAMPLES_THAT_RUN = 9, 4
# Small enough that all clusters fit on a small machine.
EACH = Amounts(cpu=10, memory=2**25, storage=2**20)
# No machine has this label, so pods stay pending and are deleted at once.
NOWHERE = {"slipway/test": "nowhere"}
AT_ONCE = 8
KINDS = {
    "configmaps": paths.config_maps,
    "secrets": paths.secrets,
    "serviceaccounts": paths.service_accounts,
    "services": paths.services,
    "networkpolicies": paths.network_policies,
    "persistentvolumeclaims": paths.volumes,
    "pods": paths.pods,
    "leases": paths.leases,
}
# The objects of a cluster: (kind, node) -> count.
VOLUMES = {("persistentvolumeclaims", "worker-0"): 1, ("persistentvolumeclaims", "worker-1"): 1}
RUNS = {("secrets", ""): 1, ("serviceaccounts", ""): 1, ("services", ""): 1, ("networkpolicies", ""): 1}
PODS = {("pods", "worker-0"): 1, ("pods", "worker-1"): 1}
There = Counter[tuple[str, str]]


def start(site: KubernetesProvisioner, of: ClusterRef) -> None:
    whole = desired(of, 2)
    site.apply(replace(whole, nodes=tuple(replace(node, each=EACH) for node in whole.nodes)))


@dataclass(frozen=True)
class Case:
    """started: start the cluster before the action. runs: its pods run. end: the objects that exist afterwards.

    gone: objects that workers delete at most, by kind. The garbage collector may delete some of them first, once
    their owner is gone.
    """

    action: Callable[[KubernetesProvisioner, ClusterRef], object]
    started: bool
    runs: bool
    end: There
    gone: Counter[str]


CASES = {
    # This case comes first because its pods must start, which is fastest on an idle machine.
    "stop": Case(
        action=lambda site, of: site.end_run(of, 1),
        started=True,
        runs=True,
        end=Counter({**VOLUMES, ("configmaps", ""): 1}),
        gone=Counter(pods=2, configmaps=1),
    ),
    "start": Case(
        action=start,
        started=False,
        runs=False,
        end=Counter({**RUNS, **PODS, **VOLUMES, ("configmaps", ""): 3}),
        gone=Counter(),
    ),
    "remove": Case(
        action=lambda site, of: site.remove(of),
        started=True,
        runs=False,
        end=Counter({("leases", ""): 1}),
        gone=Counter(pods=2, configmaps=2, persistentvolumeclaims=2),
    ),
}


def die(number: int) -> None:
    raise Died


def lose_the_reply(number: int) -> None:
    raise unreachable("the reply was lost")


# Name -> (the hook of the client, the failure there).
DEATHS = {
    "killed before": ("before", die),
    "killed after": ("after", die),
    "reply lost": ("after", lose_the_reply),
}


@dataclass(frozen=True)
class Tenant:
    """A tenant on a real API server, with new workers for each case. admin: a client that only the test uses."""

    settings: SiteSettings
    id: UUID
    admin: Client

    def cluster(self) -> ClusterRef:
        return ClusterRef(uuid4(), "etl-1", self.id, "acme")

    def worker(self, case: str) -> KubernetesProvisioner:
        settings = self.settings if CASES[case].runs else replace(self.settings, node_selector=NOWHERE)
        return KubernetesProvisioner(settings, CountedAccounts(settings.reach("provision")))

    def there(self, of: ClusterRef) -> There:
        """Returns the number of objects of the cluster by (kind, node)."""
        place, labels = names.namespace(self.id), manifests.of_cluster(of)
        listed = {kind: self.admin.list(path(place), labels=labels).items for kind, path in KINDS.items()}
        return Counter(
            (kind, body["metadata"]["labels"].get(names.NODE, ""))
            for kind, bodies in listed.items()
            for body in bodies
        )

    @contextmanager
    def prepared(self, case: str) -> Iterator[ClusterRef]:
        """Yields a cluster for the case, then waits until it has the expected objects, and removes it."""
        of, worker = self.cluster(), self.worker(case)
        if CASES[case].started:
            carry_out("start", worker, of)
            until(lambda: not CASES[case].runs or set(states(worker, of).values()) == {"ready"})
        yield of
        until(lambda: self.there(of) == CASES[case].end)
        worker.remove(of, force=True)


def counts(site: KubernetesProvisioner) -> Any:
    assert isinstance(site.accounts, CountedAccounts)
    return site.accounts.counted


@pytest.fixture(scope="module")
def tenant(kubeconfig: Path) -> Iterator[Tenant]:
    reach = Reach(kubeconfig=str(kubeconfig))
    settings = SiteSettings(secrets.token_hex(8), {"provision": reach})
    made = Tenant(settings, uuid4(), Client(reach, purpose="test"))
    made.worker("start").ensure_tenant(made.id, "acme", {})
    yield made
    tenant_removed(made.worker("start"), made.id)


@dataclass(frozen=True)
class Undisturbed:
    case: str
    calls: int
    made: Counter[str]


@pytest.fixture(scope="module", params=CASES)
def expected(tenant: Tenant, request: pytest.FixtureRequest) -> Undisturbed:
    return undisturbed(tenant, request.param)


def undisturbed(tenant: Tenant, case: str) -> Undisturbed:
    worker = tenant.worker(case)
    with tenant.prepared(case) as of:
        carry_out(case, worker, of)
    counted = counts(worker)
    return Undisturbed(case, len(counted.calls), counted.made)


def carry_out(case: str, worker: KubernetesProvisioner, of: ClusterRef) -> None:
    """Repeats the action after temporary errors, as the reconciler does; other workers can cause them."""

    def done() -> bool:
        error = in_order(lambda site: CASES[case].action(site, of), worker)
        assert error is None or isinstance(error, Temporary), error
        return error is None

    until(done)


def disturbed(tenant: Tenant, case: str, death: str, number: int) -> tuple[Counter[str], Counter[str]]:
    """Returns the objects created and deleted by the worker that failed and by its successor, by kind."""
    first, second = tenant.worker(case), tenant.worker(case)
    moment, happens = DEATHS[death]
    setattr(counts(first), moment, lambda call: happens(call) if call == number else nothing(call))
    with tenant.prepared(case) as of:
        error = in_order(lambda site: CASES[case].action(site, of), first)
        assert isinstance(error, Died | Temporary), error
        carry_out(case, second, of)
    both = [counts(first), counts(second)]
    return both[0].made + both[1].made, both[0].gone + both[1].gone


def sample(undisturbed: Undisturbed) -> list[int]:
    """Returns call numbers from the first to the last, evenly spread."""
    steps = (SAMPLES_THAT_RUN if CASES[undisturbed.case].runs else SAMPLES) - 1
    return sorted({round(at * (undisturbed.calls - 1) / steps) for at in range(steps + 1)})


def side_by_side(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


def test_the_next_worker_completes_an_action_interrupted_at_any_call(tenant: Tenant, expected: Undisturbed):
    moments = list(zip(cycle(DEATHS), sample(expected), strict=False))
    found = side_by_side([partial(disturbed, tenant, expected.case, *moment) for moment in moments])
    for moment, (made, gone) in zip(moments, found, strict=True):
        assert made == expected.made, moment
        assert gone <= CASES[expected.case].gone, moment
    print(f"{expected.case}: {len(moments)} moments in {expected.calls} calls")


def test_every_action_is_idempotent(tenant: Tenant, expected: Undisturbed):
    worker = tenant.worker(expected.case)
    with tenant.prepared(expected.case) as of:
        carry_out(expected.case, worker, of)
        carry_out(expected.case, worker, of)
    assert counts(worker).made == expected.made
    assert counts(worker).gone <= CASES[expected.case].gone


@pytest.mark.parametrize("end", ["stop", "remove"])
def test_a_paused_start_creates_nothing_for_what_was_ended_meanwhile(tenant: Tenant, end: str):
    numbers = sample(undisturbed(tenant, "start"))
    side_by_side([partial(paused, tenant, number, end) for number in numbers])


def paused(tenant: Tenant, number: int, end: str) -> None:
    """Pauses a start before this call until another worker has ended the cluster, then lets it continue."""
    of, worker, other = tenant.cluster(), tenant.worker("start"), tenant.worker(end)

    def sleep(call: int) -> None:
        if call == number:
            CASES[end].action(other, of)

    counts(worker).before = sleep
    error = in_order(lambda site: start(site, of), worker)
    assert error is None or isinstance(error, Temporary | Permanent), error
    until(lambda: tenant.there(of) <= CASES[end].end)
    other.remove(of)
