"""The full proof of a site, by pods of our own that try what tenants must not be able to do. Takes half a minute."""

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
from controlplane.provisioners.kubernetes.site.probes import ASKER, ATTEMPTS, PODS, Pod
from controlplane.provisioners.kubernetes.site.proof import Part, ProbeOutcome, ProbeResult, Proof

log = structlog.get_logger(__name__)

PREFIX = f"{names.PREFIX}probe-"
STARTING_SECONDS = 90.0
SETTLING_SECONDS = 20.0
GOING_SECONDS = 60.0
TRY_SECONDS = 10.0
# What no waiting mends.
HOPELESS = {
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "CreateContainerConfigError",
}
# How deploy/kubernetes/admission.yaml puts it.
HELD_WORDS = "own names only"
# A proof that was killed leaves its namespaces; the next one after this long takes them away.
LEFT_OVER = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Ground:
    """Where one proof takes place. first gets the walls, second none."""

    settings: SiteSettings
    first: str
    second: str

    def client(self, account: str) -> Client:
        return check.client(self.settings.reach(account))

    def home(self, pod: Pod) -> str:
        return self.first if pod.first else self.second


def prove(settings: SiteSettings, *, image: str) -> Proof:
    """image: has a shell, and the Python of our own images or busybox. Leaves nothing behind.

    Raises Temporary where the site cannot be asked or its login to registries not be read, Permanent where it is not
    ours: then nothing was found out.
    """
    identity.require_expected(settings)
    login = registry_secret.site_secret(settings, registry_login.read(settings))
    version = check.version_of(settings)
    check.claim(settings)
    clear_leftovers(settings)
    with _ground(settings) as ground:
        lacking = _permitted(ground)
        found = [
            ProbeResult("API server", ProbeOutcome.HOLDS, f"Kubernetes {version}"),
            *_permissions(ground, lacking),
        ]
        if not lacking:
            found += _tried(ground, image, login)
    return Proof(tuple(found))


@contextmanager
def _ground(settings: SiteSettings) -> Iterator[Ground]:
    token = secrets.token_hex(4)
    ground = Ground(settings, f"{PREFIX}{token}a", f"{PREFIX}{token}b")
    homes = [ground.first, ground.second]
    try:
        for home in homes:
            check.make(settings, [check.namespace(home, settings), *bindings.role_bindings(home, settings)])
        yield ground
    finally:
        account = ground.client("namespaces")
        in_parallel([partial(account.delete, paths.namespaces(home)) for home in homes])
        _until(lambda: not any(account.get(paths.namespaces(home)) for home in homes), GOING_SECONDS)


def clear_leftovers(settings: SiteSettings) -> None:
    account = check.client(settings.reach("namespaces"))
    for found in account.list(paths.namespaces(), labels=ours(settings)).items:
        about = found["metadata"]
        born = datetime.fromisoformat(about["creationTimestamp"].replace("Z", "+00:00"))
        if about["name"].startswith(PREFIX) and datetime.now(UTC) - born > LEFT_OVER:
            log.info("probe_left_over", namespace=about["name"])
            account.delete(paths.namespaces(about["name"]), uid=about["uid"])


# -- permissions ----------------------------------------------------------------------------------------------------


def _permitted(ground: Ground) -> dict[str, list[permissions.Right]]:
    """What is lacking still once the API server has had the time to learn of the bindings."""
    lacking: dict[str, list[permissions.Right]] = {}

    def settled() -> bool:
        nonlocal lacking
        lacking = check.missing(ground.settings, ground.first) or check.missing(
            ground.settings, ground.second
        )
        return not lacking

    _until(settled, SETTLING_SECONDS)
    return lacking


def _permissions(ground: Ground, lacking: Mapping[str, list[permissions.Right]]) -> Iterator[ProbeResult]:
    name, more = "each account may do its work", "no account may do more than that"
    if lacking:
        yield ProbeResult(name, ProbeOutcome.BROKEN, check.lacking_words(dict(lacking)))
    else:
        yield ProbeResult(name, ProbeOutcome.HOLDS)
    if ground.settings.shares_accounts:
        yield ProbeResult(more, ProbeOutcome.UNKNOWN, check.SHARED)
    elif excess := check.excess(ground.settings, ground.first):
        yield ProbeResult(more, ProbeOutcome.BROKEN, check.excess_words(excess))
    else:
        yield ProbeResult(more, ProbeOutcome.HOLDS)
    if not ground.settings.shares_accounts:
        yield held_in(ground.settings)


def held_in(settings: SiteSettings) -> ProbeResult:
    """Whether the account that makes namespaces is refused one of a strange name, which is tried without making it.

    RBAC cannot refuse it; deploy/kubernetes/admission.yaml does, and nothing else shows when that is not there.
    """
    name = "the account that makes namespaces is held to our own"
    strange = check.namespace(f"{names.PREFIX}strange", settings)
    try:
        check.client(settings.reach("namespaces")).create(f"{paths.namespaces()}?dryRun=All", strange)
    except (Temporary, Permanent) as error:
        held = HELD_WORDS in error.message
        return (
            ProbeResult(name, ProbeOutcome.HOLDS)
            if held
            else ProbeResult(name, ProbeOutcome.UNKNOWN, error.message)
        )
    return ProbeResult(name, ProbeOutcome.BROKEN, "apply deploy/kubernetes/admission.yaml")


# -- pods -----------------------------------------------------------------------------------------------------------


def _tried(ground: Ground, image: str, login: Body | None) -> Iterator[ProbeResult]:
    """In this order; what cannot be tried without the one before it is left unknown.

    login: the Secret by which the pods pull their image.
    """
    if login:
        for home in (ground.first, ground.second):
            ground.client("provision").create(paths.secrets(home), login)
    pods = {pod: probes.pod(pod, ground.settings, image) for pod in PODS}
    _admit(ground, ASKER, pods[ASKER])
    yield _pod_security(ground, pods[ASKER])
    ground.client("provision").create(paths.volumes(ground.first), probes.volume(ground.settings))
    for pod in PODS:
        _admit(ground, pod, pods[pod], dry=False)
    status, trouble = _started(ground)
    if trouble:
        yield ProbeResult("pods start", ProbeOutcome.BROKEN, trouble)
        yield ProbeResult("storage and network policies", ProbeOutcome.UNKNOWN, part=Part.WALL)
        return
    yield ProbeResult("pods start", ProbeOutcome.HOLDS)
    yield _storage(ground)
    before = _attempt(ground, status, until=probes.all_open)
    for policy in walls(ground.settings):
        ground.client("provision").create(paths.network_policies(ground.first), policy)
    behind = _attempt(ground, status, until=probes.all_walled)
    for attempt in ATTEMPTS:
        yield probes.result(attempt, before, behind)


def walls(settings: SiteSettings) -> list[Body]:
    """Those of every tenant, and those of every cluster."""
    nobody = UUID(int=0)
    tenants = [tenant.default_deny(settings, nobody), tenant.dns(settings, nobody)]
    return [*tenants, probes.among_themselves(ASKER.of)]


def _admit(ground: Ground, pod: Pod, body: Body, *, dry: bool = True) -> None:
    """Make it, once the namespace has the account that every pod gets."""
    path = paths.pods(ground.home(pod)) + ("?dryRun=All" if dry else "")
    until = time.monotonic() + SETTLING_SECONDS
    while True:
        try:
            ground.client("provision").create(path, body)
        except AlreadyExists:
            return
        except Temporary:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
        else:
            return


def _pod_security(ground: Ground, body: Body) -> ProbeResult:
    """The restricted one was let in just now."""
    name = "Pod Security refuses a pod that wants the machine"
    try:
        ground.client("provision").create(paths.pods(ground.first) + "?dryRun=All", probes.privileged(body))
    except (Temporary, Permanent) as error:
        refused = "violates PodSecurity" in error.message
        outcome = ProbeOutcome.HOLDS if refused else ProbeOutcome.UNKNOWN
        return ProbeResult(name, outcome, "" if refused else error.message, Part.WALL)
    return ProbeResult(name, ProbeOutcome.BROKEN, "it is let in", Part.WALL)


def _started(ground: Ground) -> tuple[dict[str, Body], str]:
    """(status by name, "") when all are ready, or ({}, why not)."""
    account = ground.client("provision")
    found: dict[str, Body] = {pod.name: {} for pod in PODS}

    def decided() -> bool:
        pods = [*account.list(paths.pods(ground.first)).items, *account.list(paths.pods(ground.second)).items]
        found.update({pod["metadata"]["name"]: pod.get("status") or {} for pod in pods})
        return any(map(_is_hopeless, found.values())) or all(_is_ready(found[pod.name]) for pod in PODS)

    _until(decided, STARTING_SECONDS)
    late = sorted((status for status in found.values() if not _is_ready(status)), key=_is_hopeless)
    return ({}, _why(late[-1])) if late else (found, "")


def _is_hopeless(status: Body) -> bool:
    return any(state.get("reason") in HOPELESS for state in _waiting(status))


def _is_ready(status: Body) -> bool:
    return any(
        each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions") or ()
    )


def _waiting(status: Body) -> list[Body]:
    states = (each.get("state", {}).get("waiting") for each in status.get("containerStatuses") or ())
    return [state for state in states if state]


def _why(status: Body) -> str:
    """What the pod itself says; a volume or an image that is not there above all."""
    words = [f"{state.get('reason')} {state.get('message', '')}" for state in _waiting(status)]
    words += [
        f"{each.get('reason')} {each.get('message', '')}"
        for each in status.get("conditions") or ()
        if each["status"] != "True" and each.get("message")
    ]
    return (words or ["no reason is told"])[0].strip()[:300]


def _storage(ground: Ground) -> ProbeResult:
    """Its pod has started, so the volume was bound."""
    name = "a volume is bound and can be written"
    wrote = _run(ground, ASKER, ["sh", "-c", "echo 1 > /data/probe && cat /data/probe"])
    return ProbeResult(
        name, ProbeOutcome.HOLDS if wrote.exit_code == 0 else ProbeOutcome.BROKEN, _said(wrote.stderr)
    )


# -- network --------------------------------------------------------------------------------------------------------


def _attempt(
    ground: Ground, status: Mapping[str, Body], *, until: Callable[[Mapping[str, bool]], bool]
) -> dict[str, bool]:
    """What got through when all was as it should be, or else at the end of the time that walls take to stand."""
    results: dict[str, bool] = {}

    def settled() -> bool:
        results.clear()
        for parse_output in in_parallel([partial(_attempts_of, ground, pod, status) for pod in PODS]):
            results.update(parse_output)
        return until(results)

    _until(settled, SETTLING_SECONDS)
    return results


def _attempts_of(ground: Ground, pod: Pod, status: Mapping[str, Body]) -> dict[str, bool]:
    domain = ground.settings.cluster_domain
    targets = [probes.target(attempt, status, domain) for attempt in ATTEMPTS if attempt.by is pod]
    if not targets:
        return {}
    return probes.parse_output(_run(ground, pod, ["sh", "-c", probes.TRY, "try", *targets]).stdout.decode())


def _run(ground: Ground, pod: Pod, command: list[str]) -> ExecResult:
    return run(ground.client("exec"), ground.home(pod), pod.name, command, seconds=TRY_SECONDS)


def _said(output: bytes) -> str:
    return output.decode(errors="replace").strip()[:200]


def _until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True
