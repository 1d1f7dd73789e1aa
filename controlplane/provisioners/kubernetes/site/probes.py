"""Probes of a site: pods that try what tenants must not be able to do, and the expected results.

There are two namespaces. The first gets the network policies of a tenant, the second none, so that each direction is
tested by itself. Every probe runs twice, without and with the policies: what fails only with them was stopped by them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from controlplane.provisioners.kubernetes.objects import names, registry_secret
from controlplane.provisioners.kubernetes.objects.body import Body
from controlplane.provisioners.kubernetes.settings import SiteSettings
from controlplane.provisioners.kubernetes.site.proof import Part, ProbeOutcome, ProbeResult

# Label of the pods of a proof. Nodes of clusters have another label, so these pods are not watched as nodes.
PROBE = "slipway/probe"
PORT = 8080
KUBELET = 10250
DATA = "data"
USER = 1000

_PYTHON = "/opt/runtime/bin/python"
# The image needs a shell, and either the Python of Slipway's images or busybox.
LISTEN = f"""if [ -x {_PYTHON} ]; then exec {_PYTHON} -m http.server {PORT} --directory /tmp; fi
exec httpd -f -p {PORT} -h /tmp"""
# Arguments: "name host port" to connect, "name host" for a DNS lookup. Prints "name open" or "name closed" for each.
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
class ProbePod:
    """first: it is in the namespace with policies. of: the cluster that it represents. stores: it has a volume."""

    name: str
    first: bool
    of: str
    stores: bool = False


ASKER = ProbePod("asker", first=True, of="one", stores=True)
PEER = ProbePod("peer", first=True, of="one")
STRANGER = ProbePod("stranger", first=True, of="two")
OUTSIDER = ProbePod("outsider", first=False, of="three")
PODS = (ASKER, PEER, STRANGER, OUTSIDER)


@dataclass(frozen=True, slots=True)
class Probe:
    """One pod tries to reach something. stays: it must also succeed with the policies."""

    name: str
    words: str
    by: ProbePod
    to: ProbePod | None = None
    stays: bool = False


PROBES = (
    Probe("own", "a node reaches its own cluster", ASKER, PEER, stays=True),
    Probe("dns", "DNS answers", ASKER, stays=True),
    Probe("neighbour", "no way to another cluster of the tenant", ASKER, STRANGER),
    Probe("neighbour-in", "no way in from another cluster of the tenant", STRANGER, ASKER),
    Probe("tenant", "no way out to another namespace", ASKER, OUTSIDER),
    Probe("tenant-in", "no way in from another namespace", OUTSIDER, ASKER),
    Probe("api-server", "no way to the API server", ASKER),
    Probe("machine", "no way to the node's own machine", ASKER),
)


def target(probe: Probe, status: Mapping[str, Body], domain: str) -> str:
    """The argument of TRY for a probe. status: pod name -> status of the running pod."""
    if probe.to:
        return f"{probe.name} {status[probe.to.name]['podIP']} {PORT}"
    api = f"kubernetes.default.svc.{domain}."
    if probe.name == "dns":
        return f"{probe.name} {api}"
    if probe.name == "machine":
        return f"{probe.name} {status[probe.by.name]['hostIP']} {KUBELET}"
    return f"{probe.name} {api} 443"


def result(probe: Probe, before: Mapping[str, bool], behind: Mapping[str, bool]) -> ProbeResult:
    """before, behind: probe name -> whether it succeeded, without and with the policies."""
    was_open, is_open = before.get(probe.name), behind.get(probe.name)
    if was_open is None or is_open is None:
        outcome, detail = ProbeOutcome.UNKNOWN, "the probe gave no result"
    elif probe.stays:
        outcome, detail = (ProbeOutcome.HOLDS, "") if is_open else (ProbeOutcome.BROKEN, "it is stopped")
    elif is_open:
        outcome, detail = ProbeOutcome.BROKEN, "it gets through"
    elif not was_open:
        outcome, detail = ProbeOutcome.UNKNOWN, "it did not answer without network policies either"
    else:
        outcome, detail = ProbeOutcome.HOLDS, ""
    return ProbeResult(probe.words, outcome, detail, Part.CONTROL if probe.stays else Part.WALL)


def parse_output(output: str) -> dict[str, bool]:
    """Probe name -> whether it succeeded, from the output of TRY."""
    lines = (line.split() for line in output.splitlines())
    return {line[0]: line[1] == "open" for line in lines if len(line) == 2 and line[1] in {"open", "closed"}}


def pod(which: ProbePod, settings: SiteSettings, image: str) -> Body:
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
    """The same pod with privileges that would give it control of the machine."""
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
    """The policy that allows traffic between the nodes of one cluster."""
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
    return all(results.get(probe.name) for probe in PROBES)


def all_walled(results: Mapping[str, bool]) -> bool:
    return all(results.get(probe.name) is probe.stays for probe in PROBES)
