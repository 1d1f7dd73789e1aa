"""The full proof of a site: pods try what tenants must not be able to do. It takes half a minute."""

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

import structlog

from controlplane.provisioners.base import Permanent, Temporary
from controlplane.provisioners.kubernetes.client import registry_login
from controlplane.provisioners.kubernetes.client.client import Client
from controlplane.provisioners.kubernetes.client.errors import AlreadyExists
from controlplane.provisioners.kubernetes.client.exec import ExecResult, run
from controlplane.provisioners.kubernetes.client.parallel import in_parallel
from controlplane.provisioners.kubernetes.objects import bindings, names, paths, registry_secret, tenant
from controlplane.provisioners.kubernetes.objects.body import Body
from controlplane.provisioners.kubernetes.objects.manifests import ours
from controlplane.provisioners.kubernetes.settings import SiteSettings
from controlplane.provisioners.kubernetes.site import check, identity, permissions, probes
from controlplane.provisioners.kubernetes.site.probes import ASKER, PODS, PROBES, ProbePod
from controlplane.provisioners.kubernetes.site.proof import Part, ProbeOutcome, ProbeResult, Proof

log = structlog.get_logger(__name__)

PREFIX = f"{names.PREFIX}probe-"
STARTING_SECONDS = 90.0
SETTLING_SECONDS = 20.0
GOING_SECONDS = 60.0
TRY_SECONDS = 10.0
# Reasons of waiting containers that do not pass by themselves.
HOPELESS = {
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "CreateContainerConfigError",
}
# A part of the message of deploy/kubernetes/admission.yaml.
POLICY_WORDS = "own names only"
# A proof that was killed leaves its namespaces. A proof after this time deletes them.
LEFT_OVER = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class ProbeSite:
    """The two namespaces of one proof. first gets the network policies of a tenant, second gets none."""

    settings: SiteSettings
    first: str
    second: str

    def client(self, account: str) -> Client:
        return check.client(self.settings.reach(account))

    def namespace(self, pod: ProbePod) -> str:
        return self.first if pod.first else self.second


def prove(settings: SiteSettings, *, image: str) -> Proof:
    """Test the site, and delete everything that was created for it.

    image: has a shell, and the Python of Slipway's images or busybox. Raises Temporary when the site or its login to
    registries cannot be read, NotOurs when another installation uses the site.
    """
    identity.require_expected(settings)
    login = registry_secret.site_secret(settings, registry_login.read(settings))
    version = check.version_of(settings)
    check.claim(settings)
    clear_leftovers(settings)
    with _probe_site(settings) as site:
        lacking = _permitted(site)
        found = [
            ProbeResult("API server", ProbeOutcome.HOLDS, f"Kubernetes {version}"),
            *_permissions(site, lacking),
        ]
        if not lacking:
            found += _tried(site, image, login)
    return Proof(tuple(found))


@contextmanager
def _probe_site(settings: SiteSettings) -> Iterator[ProbeSite]:
    token = secrets.token_hex(4)
    site = ProbeSite(settings, f"{PREFIX}{token}a", f"{PREFIX}{token}b")
    namespaces = [site.first, site.second]
    try:
        for namespace in namespaces:
            check.make(
                settings, [check.namespace(namespace, settings), *bindings.role_bindings(namespace, settings)]
            )
        yield site
    finally:
        account = site.client("namespaces")
        in_parallel([partial(account.delete, paths.namespaces(namespace)) for namespace in namespaces])
        _until(
            lambda: not any(account.get(paths.namespaces(namespace)) for namespace in namespaces),
            GOING_SECONDS,
        )


def clear_leftovers(settings: SiteSettings) -> None:
    account = check.client(settings.reach("namespaces"))
    for found in account.list(paths.namespaces(), labels=ours(settings)).items:
        about = found["metadata"]
        born = datetime.fromisoformat(about["creationTimestamp"].replace("Z", "+00:00"))
        if about["name"].startswith(PREFIX) and datetime.now(UTC) - born > LEFT_OVER:
            log.info("probe_left_over", namespace=about["name"])
            account.delete(paths.namespaces(about["name"]), uid=about["uid"])


# -- permissions ----------------------------------------------------------------------------------------------------


def _permitted(site: ProbeSite) -> dict[str, list[permissions.Right]]:
    """Account -> missing rights, after the API server had time to apply the new bindings."""
    lacking: dict[str, list[permissions.Right]] = {}

    def settled() -> bool:
        nonlocal lacking
        lacking = check.missing(site.settings, site.first) or check.missing(site.settings, site.second)
        return not lacking

    _until(settled, SETTLING_SECONDS)
    return lacking


def _permissions(site: ProbeSite, lacking: Mapping[str, list[permissions.Right]]) -> Iterator[ProbeResult]:
    name, more = "each account may do its work", "no account may do more than that"
    if lacking:
        yield ProbeResult(name, ProbeOutcome.BROKEN, check.lacking_message(dict(lacking)))
    else:
        yield ProbeResult(name, ProbeOutcome.HOLDS)
    if site.settings.shares_accounts:
        yield ProbeResult(more, ProbeOutcome.UNKNOWN, check.SHARED)
    elif excess := check.excess(site.settings, site.first):
        yield ProbeResult(more, ProbeOutcome.BROKEN, check.excess_message(excess))
    else:
        yield ProbeResult(more, ProbeOutcome.HOLDS)
    if not site.settings.shares_accounts:
        yield namespaces_are_restricted(site.settings)


def namespaces_are_restricted(settings: SiteSettings) -> ProbeResult:
    """Whether the account `namespaces` may only create namespaces with Slipway's names. Uses a dry run.

    RBAC cannot restrict names. deploy/kubernetes/admission.yaml does, and only this probe shows when it is missing.
    """
    name = "the account that makes namespaces is limited to Slipway's own"
    strange = check.namespace(f"{names.PREFIX}strange", settings)
    try:
        check.client(settings.reach("namespaces")).create(f"{paths.namespaces()}?dryRun=All", strange)
    except (Temporary, Permanent) as error:
        if POLICY_WORDS in error.message:
            return ProbeResult(name, ProbeOutcome.HOLDS)
        return ProbeResult(name, ProbeOutcome.UNKNOWN, error.message)
    return ProbeResult(name, ProbeOutcome.BROKEN, "apply deploy/kubernetes/admission.yaml")


# -- pods -----------------------------------------------------------------------------------------------------------


def _tried(site: ProbeSite, image: str, login: Body | None) -> Iterator[ProbeResult]:
    """The results of the probes with pods, in this order. A probe that needs an earlier one may be left out or unknown.

    login: the Secret with which the pods pull their image.
    """
    if login:
        for namespace in (site.first, site.second):
            site.client("provision").create(paths.secrets(namespace), login)
    pods = {pod: probes.pod(pod, site.settings, image) for pod in PODS}
    _admit(site, ASKER, pods[ASKER])
    yield _pod_security(site, pods[ASKER])
    site.client("provision").create(paths.volumes(site.first), probes.volume(site.settings))
    for pod in PODS:
        _admit(site, pod, pods[pod], dry=False)
    status, problem = _started(site)
    if problem:
        yield ProbeResult("pods start", ProbeOutcome.BROKEN, problem)
        yield ProbeResult("storage and network policies", ProbeOutcome.UNKNOWN, part=Part.WALL)
        return
    yield ProbeResult("pods start", ProbeOutcome.HOLDS)
    yield _storage(site)
    before = _run_probes(site, status, until=probes.all_open)
    for policy in walls(site.settings):
        site.client("provision").create(paths.network_policies(site.first), policy)
    behind = _run_probes(site, status, until=probes.all_walled)
    for probe in PROBES:
        yield probes.result(probe, before, behind)


def walls(settings: SiteSettings) -> list[Body]:
    """The network policies of every tenant and of every cluster."""
    no_tenant = UUID(int=0)
    tenants = [tenant.default_deny(settings, no_tenant), tenant.dns(settings, no_tenant)]
    return [*tenants, probes.among_themselves(ASKER.of)]


def _admit(site: ProbeSite, pod: ProbePod, body: Body, *, dry: bool = True) -> None:
    """Create the pod. It is refused until Kubernetes has created the default ServiceAccount of the namespace."""
    path = paths.pods(site.namespace(pod)) + ("?dryRun=All" if dry else "")
    until = time.monotonic() + SETTLING_SECONDS
    while True:
        try:
            site.client("provision").create(path, body)
        except AlreadyExists:
            return
        except Temporary:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
        else:
            return


def _pod_security(site: ProbeSite, body: Body) -> ProbeResult:
    """Whether a privileged pod is refused, where the restricted pod was just accepted."""
    name = "Pod Security refuses a pod that wants the machine"
    try:
        site.client("provision").create(paths.pods(site.first) + "?dryRun=All", probes.privileged(body))
    except (Temporary, Permanent) as error:
        refused = "violates PodSecurity" in error.message
        outcome = ProbeOutcome.HOLDS if refused else ProbeOutcome.UNKNOWN
        return ProbeResult(name, outcome, "" if refused else error.message, Part.WALL)
    return ProbeResult(name, ProbeOutcome.BROKEN, "it is let in", Part.WALL)


def _started(site: ProbeSite) -> tuple[dict[str, Body], str]:
    """(pod name -> status, "") when all pods are ready, or ({}, the reason why not)."""
    account = site.client("provision")
    found: dict[str, Body] = {pod.name: {} for pod in PODS}

    def decided() -> bool:
        pods = [*account.list(paths.pods(site.first)).items, *account.list(paths.pods(site.second)).items]
        found.update({pod["metadata"]["name"]: pod.get("status") or {} for pod in pods})
        return any(map(_is_hopeless, found.values())) or all(_is_ready(found[pod.name]) for pod in PODS)

    _until(decided, STARTING_SECONDS)
    late = sorted((status for status in found.values() if not _is_ready(status)), key=_is_hopeless)
    return ({}, _reason(late[-1])) if late else (found, "")


def _is_hopeless(status: Body) -> bool:
    return any(state.get("reason") in HOPELESS for state in _waiting(status))


def _is_ready(status: Body) -> bool:
    return any(
        each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions") or ()
    )


def _waiting(status: Body) -> list[Body]:
    states = (each.get("state", {}).get("waiting") for each in status.get("containerStatuses") or ())
    return [state for state in states if state]


def _reason(status: Body) -> str:
    """Why the pod is not ready, such as a missing volume or image."""
    words = [f"{state.get('reason')} {state.get('message', '')}" for state in _waiting(status)]
    words += [
        f"{each.get('reason')} {each.get('message', '')}"
        for each in status.get("conditions") or ()
        if each["status"] != "True" and each.get("message")
    ]
    return (words or ["its status gives no reason"])[0].strip()[:300]


def _storage(site: ProbeSite) -> ProbeResult:
    """Whether the volume can be written. It is bound, because its pod has started."""
    name = "a volume is bound and can be written"
    wrote = _run(site, ASKER, ["sh", "-c", "echo 1 > /data/probe && cat /data/probe"])
    return ProbeResult(
        name,
        ProbeOutcome.HOLDS if wrote.exit_code == 0 else ProbeOutcome.BROKEN,
        wrote.stderr.decode(errors="replace").strip()[:200],
    )


# -- network --------------------------------------------------------------------------------------------------------


def _run_probes(
    site: ProbeSite, status: Mapping[str, Body], *, until: Callable[[Mapping[str, bool]], bool]
) -> dict[str, bool]:
    """Probe name -> whether it succeeded. Repeats the probes until `until` is true, SETTLING_SECONDS at most."""
    results: dict[str, bool] = {}

    def settled() -> bool:
        results.clear()
        for parse_output in in_parallel([partial(_run_probes_of, site, pod, status) for pod in PODS]):
            results.update(parse_output)
        return until(results)

    _until(settled, SETTLING_SECONDS)
    return results


def _run_probes_of(site: ProbeSite, pod: ProbePod, status: Mapping[str, Body]) -> dict[str, bool]:
    domain = site.settings.cluster_domain
    targets = [probes.target(probe, status, domain) for probe in PROBES if probe.by is pod]
    if not targets:
        return {}
    return probes.parse_output(_run(site, pod, ["sh", "-c", probes.TRY, "try", *targets]).stdout.decode())


def _run(site: ProbeSite, pod: ProbePod, command: list[str]) -> ExecResult:
    return run(site.client("exec"), site.namespace(pod), pod.name, command, seconds=TRY_SECONDS)


def _until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True
