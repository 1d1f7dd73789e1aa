"""Pods that try what tenants must not be able to do, and what each attempt should come to.

Two namespaces: the first gets the walls of a tenant's, the second none, so that each wall is tried by itself. Every
attempt is made twice, before the walls are there and behind them: what fails only then was stopped by them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from controlplane.provisioners.kubernetes.objects import names, registry_secret
from controlplane.provisioners.kubernetes.objects.body import Body
from controlplane.provisioners.kubernetes.settings import SiteSettings
from controlplane.provisioners.kubernetes.site.proof import Part, ProbeOutcome, ProbeResult

# Marks the pods of one proof; not the label by which nodes of clusters are watched.
PROBE = "slipway/probe"
PORT = 8080
KUBELET = 10250
DATA = "data"
USER = 1000

_PYTHON = "/opt/runtime/bin/python"
# Any image does that has a shell, and either the Python of our own images or busybox.
LISTEN = f"""if [ -x {_PYTHON} ]; then exec {_PYTHON} -m http.server {PORT} --directory /tmp; fi
exec httpd -f -p {PORT} -h /tmp"""
# Arguments: "name host port" to connect to, "name host" to look up; says "name open" or "name closed" to each.
TRY = f"""attempt() {{
  if [ -x {_PYTHON} ]; then
    if [ -n "$2" ]; then
      {_PYTHON} -c 'import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 2)' "$1" "$2"
    else
      timeout 4 {_PYTHON} -c 'import socket, sys; socket.getaddrinfo(sys.argv[1], None)' "$1"
    fi
  elif [ -n "$2" ]; then nc -w 2 "$1" "$2"; else timeout 4 nslookup "$1"; fi </dev/null >/dev/null 2>&1
}}
for each in "$@"; do
  set -- $each; name=$1; shift
  (if attempt "$@"; then echo "$name open"; else echo "$name closed"; fi) &
done
wait"""


@dataclass(frozen=True, slots=True)
class Pod:
    """first: in the namespace that gets the walls. of: the cluster that it stands for. stores: it has a volume."""

    name: str
    first: bool
    of: str
    stores: bool = False


ASKER = Pod("asker", first=True, of="one", stores=True)
PEER = Pod("peer", first=True, of="one")
STRANGER = Pod("stranger", first=True, of="two")
OUTSIDER = Pod("outsider", first=False, of="three")
PODS = (ASKER, PEER, STRANGER, OUTSIDER)


@dataclass(frozen=True, slots=True)
class Attempt:
    """By one pod, to reach something. stays: also behind the walls."""

    name: str
    words: str
    by: Pod
    to: Pod | None = None
    stays: bool = False


ATTEMPTS = (
    Attempt("own", "a node reaches its own cluster", ASKER, PEER, stays=True),
    Attempt("dns", "DNS answers", ASKER, stays=True),
    Attempt("neighbour", "no way to another cluster of the tenant", ASKER, STRANGER),
    Attempt("neighbour-in", "no way in from another cluster of the tenant", STRANGER, ASKER),
    Attempt("tenant", "no way out to another namespace", ASKER, OUTSIDER),
    Attempt("tenant-in", "no way in from another namespace", OUTSIDER, ASKER),
    Attempt("api-server", "no way to the API server", ASKER),
    Attempt("machine", "no way to the node's own machine", ASKER),
)


def target(attempt: Attempt, status: Mapping[str, Body], domain: str) -> str:
    """As TRY reads it. status: of the running pods, by name."""
    if attempt.to:
        return f"{attempt.name} {status[attempt.to.name]['podIP']} {PORT}"
    api = f"kubernetes.default.svc.{domain}."
    if attempt.name == "dns":
        return f"{attempt.name} {api}"
    if attempt.name == "machine":
        return f"{attempt.name} {status[attempt.by.name]['hostIP']} {KUBELET}"
    return f"{attempt.name} {api} 443"


def result(attempt: Attempt, before: Mapping[str, bool], behind: Mapping[str, bool]) -> ProbeResult:
    """before, behind: name -> whether it got through, without the walls and with them."""
    opened, stopped = before.get(attempt.name), behind.get(attempt.name)
    if opened is None or stopped is None:
        outcome, detail = ProbeOutcome.UNKNOWN, "the attempt told nothing"
    elif attempt.stays:
        outcome, detail = (ProbeOutcome.HOLDS, "") if stopped else (ProbeOutcome.BROKEN, "it is stopped")
    elif stopped:
        outcome, detail = ProbeOutcome.BROKEN, "it gets through"
    elif not opened:
        outcome, detail = ProbeOutcome.UNKNOWN, "it did not answer without network policies either"
    else:
        outcome, detail = ProbeOutcome.HOLDS, ""
    return ProbeResult(attempt.words, outcome, detail, Part.CONTROL if attempt.stays else Part.WALL)


def parse_output(output: str) -> dict[str, bool]:
    """What TRY said."""
    lines = (line.split() for line in output.splitlines())
    return {line[0]: line[1] == "open" for line in lines if len(line) == 2 and line[1] in {"open", "closed"}}


def pod(which: Pod, settings: SiteSettings, image: str) -> Body:
    security = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    amounts = {"cpu": "10m", "memory": "64Mi", "ephemeral-storage": "16Mi"}
    container = {
        "name": names.CONTAINER,
        "image": image,
        "imagePullPolicy": settings.image_pull_policy,
        "command": ["sh", "-c", LISTEN],
        "securityContext": security,
        "resources": {"requests": amounts, "limits": {**amounts, "cpu": "500m"}},
        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1, "failureThreshold": 60},
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - the pod's own
    }
    volumes: list[Body] = [{"name": "tmp", "emptyDir": {"sizeLimit": "8Mi"}}]
    if which.stores:
        container["volumeMounts"] = [*container["volumeMounts"], {"name": DATA, "mountPath": "/data"}]
        volumes.append({"name": DATA, "persistentVolumeClaim": {"claimName": DATA}})
    spec = {
        **registry_secret.image_pull_secrets(
            settings, registry_secret.SECRET if settings.registry_auth else ""
        ),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 0,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "nodeSelector": dict(settings.node_selector),
        "tolerations": [dict(each) for each in settings.tolerations],
        "containers": [container],
        "volumes": volumes,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": which.name, "labels": {PROBE: which.of}},
        "spec": spec,
    }


def privileged(body: Body) -> Body:
    """The same pod as its author would like it who wants the machine."""
    [container] = body["spec"]["containers"]
    wishes = {"privileged": True, "runAsUser": 0, "runAsNonRoot": False}
    spec = {**body["spec"], "hostPID": True, "containers": [{**container, "securityContext": wishes}]}
    return {**body, "metadata": {**body["metadata"], "name": "privileged"}, "spec": spec}


def volume(settings: SiteSettings) -> Body:
    spec: Body = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    if settings.storage_class:
        spec["storageClassName"] = settings.storage_class
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": DATA}, "spec": spec}


def among_themselves(cluster: str) -> Body:
    """What lets the nodes of one cluster speak to one another."""
    mine = {"matchLabels": {PROBE: cluster}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": f"cluster-{cluster}"},
        "spec": {
            "podSelector": mine,
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [{"podSelector": mine}]}],
            "egress": [{"to": [{"podSelector": mine}]}],
        },
    }


def all_open(results: Mapping[str, bool]) -> bool:
    return all(results.get(attempt.name) for attempt in ATTEMPTS)


def all_walled(results: Mapping[str, bool]) -> bool:
    return all(results.get(attempt.name) is attempt.stays for attempt in ATTEMPTS)
