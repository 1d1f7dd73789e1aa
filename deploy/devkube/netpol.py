"""Enforces the NetworkPolicies of one node's pods by nftables (IPv4): netpol.py NODE KUBECONFIG READY-FILE

It replaces one table in one transaction at every change. Established connections survive a change, and the node
always reaches its pods, for probes. The node runs it by `python -I`: it imports only the standard library.
"""

import base64
import json
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

Json = dict[str, Any]
Known = dict[str, Json]
KINDS = (
    "api/v1/pods?fieldSelector=spec.nodeName={node}",
    "api/v1/namespaces?",
    "apis/networking.k8s.io/v1/networkpolicies?",
)
TABLE = "inet devkube-netpol"
DIRECTIONS = (("Ingress", "from", "daddr", "saddr"), ("Egress", "to", "saddr", "daddr"))


def ruleset(pods: list[Json], namespaces: list[Json], policies: list[Json]) -> str:
    """Returns the input of nft. pods: those of the node; pods without an address, or ended, are ignored."""
    # Addresses are used again: each belongs to the newest pod that has it.
    pods = list(
        {
            pod["status"]["podIP"]: pod
            for pod in pods
            if pod["status"].get("podIP")
            and pod["status"].get("phase") not in {"Succeeded", "Failed"}
            and not pod["spec"].get("hostNetwork")
        }.values()
    )
    labels = {namespace["metadata"]["name"]: _labels(namespace) for namespace in namespaces}
    chains, jumps = "", {"saddr": "", "daddr": ""}
    for pod in pods:
        address = pod["status"]["podIP"]
        for direction, peers, own, other in DIRECTIONS:
            if governing := [policy for policy in policies if _governs(policy, pod, direction)]:
                allowed = [
                    f"{match} {port} return\n"
                    for policy in governing
                    for rule in policy["spec"].get(direction.lower()) or ()
                    for peer in rule.get(peers) or [None]
                    for match, target in _peers(peer, policy, other, pods, labels)
                    for port in _ports(rule.get("ports"), pod if direction == "Ingress" else target)
                ]
                chain = f"{direction}_{address.replace('.', '_')}"
                chains += f"chain {chain} {{\n{''.join(allowed)}counter drop\n}}\n"
                jumps[own] += f"{address} : jump {chain}, "
    sending, receiving = (f"ip {own} vmap {{ {to} }}\n" if to else "" for own, to in jumps.items())
    hook = "type filter hook {0} priority 10\nct state established,related accept\n"
    # Frames from pod to pod on the bridge pass the forward hook too, after DNAT and before SNAT.
    forward = f"chain forward {{\n{hook.format('forward')}{sending}{receiving}}}\n"
    arriving = f"chain input {{\n{hook.format('input')}{sending}}}\n"
    return f"add table {TABLE}\ndelete table {TABLE}\ntable {TABLE} {{\n{chains}{forward}{arriving}}}\n"


def _labels(thing: Json) -> dict[str, str]:
    return thing["metadata"].get("labels") or {}


def _governs(policy: Json, pod: Json, direction: str) -> bool:
    spec = policy["spec"]
    types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if spec.get("egress") else [])]
    near = policy["metadata"]["namespace"] == pod["metadata"]["namespace"]
    return near and direction in types and _selects(spec.get("podSelector") or {}, _labels(pod))


def _selects(selector: Json, labels: dict[str, str]) -> bool:
    exact = (selector.get("matchLabels") or {}).items() <= labels.items()
    return exact and all(_fits(each, labels) for each in selector.get("matchExpressions") or ())


def _fits(expression: Json, labels: dict[str, str]) -> bool:
    there = expression["key"] in labels
    if "values" in expression:
        there = labels.get(expression["key"]) in expression["values"]
    return there is (expression["operator"] in {"In", "Exists"})


def _peers(
    peer: Json | None, policy: Json, side: str, pods: list[Json], labels: dict[str, dict[str, str]]
) -> Iterator[tuple[str, Json | None]]:
    """How nft knows a peer, and the pod it is, if it is one: named ports are looked up there."""
    if peer and (block := peer.get("ipBlock")):
        if ":" not in block["cidr"]:
            excepted = ", ".join(block.get("except") or ())
            yield f"ip {side} {block['cidr']}" + (f" ip {side} != {{ {excepted} }}" if excepted else ""), None
        return
    if not peer:
        yield "", None
    for pod in pods:
        namespace = pod["metadata"]["namespace"]
        if peer and (wanted := peer.get("namespaceSelector")) is not None:
            near = _selects(wanted, labels.get(namespace, {}))
        else:
            near = not peer or namespace == policy["metadata"]["namespace"]
        if near and _selects((peer or {}).get("podSelector") or {}, _labels(pod)):
            yield f"ip {side} {pod['status']['podIP']}", pod


def _ports(ports: list[Json] | None, target: Json | None) -> Iterator[str]:
    if not ports:
        yield ""
    for entry in ports or ():
        protocol, port = entry.get("protocol", "TCP"), entry.get("port")
        if port is None:
            yield f"meta l4proto {protocol.lower()}"
        elif isinstance(port, int):
            yield f"{protocol.lower()} dport {port}-{entry.get('endPort', port)}"
        elif target:
            spec = target["spec"]
            for container in (*spec["containers"], *spec.get("initContainers", ())):
                for named in container.get("ports", ()):
                    if (named.get("name"), named.get("protocol", "TCP")) == (port, protocol):
                        yield f"{protocol.lower()} dport {named['containerPort']}"


def follow(ask: Callable[[str], Any], kind: str, known: dict[str, Known], changed: threading.Event) -> None:
    """Keep `known[kind]`, by uid, as the API server has it; for ever."""
    while True:
        try:
            with ask(kind) as answer:
                listed = json.load(answer)
            objects = known[kind] = {item["metadata"]["uid"]: item for item in listed["items"]}
            changed.set()
            version = listed["metadata"]["resourceVersion"]
            with ask(f"{kind}&watch=1&timeoutSeconds=300&resourceVersion={version}") as stream:
                for event in map(json.loads, stream):
                    if event["type"] == "ERROR":
                        break
                    uid = event["object"]["metadata"]["uid"]
                    objects.pop(uid, None)
                    if event["type"] != "DELETED":
                        objects[uid] = event["object"]
                    changed.set()
        except (OSError, ValueError) as error:
            print(f"{kind}: {error}", flush=True)
            time.sleep(1)


def main(node: str, kubeconfig: str, ready: str) -> None:
    config = json.loads(Path(kubeconfig).read_text())
    cluster, token = config["clusters"][0]["cluster"], config["users"][0]["user"]["token"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    context = ssl.create_default_context(cadata=authority)

    def ask(path: str) -> Any:
        request = Request(f"{cluster['server']}/{path}", headers={"Authorization": f"Bearer {token}"})  # noqa: S310
        return urlopen(request, context=context, timeout=330)  # noqa: S310

    changed, known, loaded = threading.Event(), dict[str, Known](), ""
    kinds = [kind.format(node=node) for kind in KINDS]
    for kind in kinds:
        threading.Thread(target=follow, args=(ask, kind, known, changed), daemon=True).start()
    while changed.wait():
        time.sleep(0.02)
        changed.clear()
        if len(known) < len(kinds):
            continue
        rules = ruleset(*(list(known[kind].values()) for kind in kinds))
        if rules != loaded:
            subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)
            loaded = rules
            Path(ready).touch()


if __name__ == "__main__":
    main(*sys.argv[1:])
