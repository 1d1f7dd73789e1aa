"""What Slipway recorded having written, on the object itself, and whether the live object still says it.

Every object that a pod's isolation or name depends on carries a digest of the fields that Slipway decided. The API
server adds defaults and other controllers add fields of theirs: those are not part of the digest.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from controlplane.provisioners.kubernetes.objects import names
from controlplane.provisioners.kubernetes.objects.body import Body
from tenants.amounts import parse_bytes, parse_cpu
from tenants.errors import Invalid

POD_SECURITY = "pod-security.kubernetes.io/"


def stamped(body: Body) -> Body:
    """The body with the digest of what it says, as it is to be sent."""
    about = body["metadata"]
    annotations = {**(about.get("annotations") or {}), names.WRITTEN: digest(body)}
    return {**body, "metadata": {**about, "annotations": annotations}}


def is_as_written(kind: str, live: Body) -> bool:
    """kind: because the items of a list do not name theirs. False as well when no digest was ever recorded."""
    return recorded(live) == digest({**live, "kind": kind})


def digest(body: Body) -> str:
    decided = json.dumps(essence(body["kind"], body), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(decided.encode()).hexdigest()[:16]


def essence(kind: str, body: Body) -> Any:
    """The fields that Slipway decides, spelled in one way whether they were sent or read."""
    return _plain(_ESSENCE[kind](body))


def recorded(live: Body) -> str:
    """The digest that was written down when the object was last written; "" when none was."""
    return str((live["metadata"].get("annotations") or {}).get(names.WRITTEN) or "")


def repair(kind: str, live: Body, wanted: Body) -> Body:
    """A JSON merge patch that makes `live` say what `wanted` says. {}: it does already."""
    patch: Body = _difference(essence(kind, live), essence(kind, wanted))
    about: Body = dict(patch.get("metadata") or {})
    for part in ("labels", "annotations"):
        if lacking := _missing(live, wanted, part):
            about[part] = {**about.get(part, {}), **lacking}
    return patch | ({"metadata": about} if about else {})


def _missing(live: Body, wanted: Body, part: str) -> Body:
    had = live["metadata"].get(part) or {}
    return {
        key: value for key, value in (wanted["metadata"].get(part) or {}).items() if had.get(key) != value
    }


def _difference(found: Any, meant: Any) -> Any:
    if not isinstance(found, dict) or not isinstance(meant, dict):
        return meant
    gone: Body = dict.fromkeys(found.keys() - meant.keys())
    changed = {
        key: _difference(found.get(key), value) for key, value in meant.items() if found.get(key) != value
    }
    return gone | changed


def _plain(value: Any) -> Any:
    """Without fields that say nothing. An empty object says something: it selects everything."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items() if item is not None and item not in ([], "")}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _spec(body: Body) -> Body:
    return {"spec": body.get("spec") or {}}


def _namespace(body: Body) -> Body:
    labels = body["metadata"].get("labels") or {}
    return {"metadata": {"labels": {key: labels[key] for key in labels if key.startswith(POD_SECURITY)}}}


_SERVICE: Body = {"clusterIP": None, "type": "ClusterIP", "publishNotReadyAddresses": False, "selector": {}}
_OPENING = ("externalIPs", "externalName", "loadBalancerIP", "ports")


def _service(body: Body) -> Body:
    spec = body.get("spec") or {}
    decided = {key: spec.get(key, otherwise) for key, otherwise in _SERVICE.items()}
    return {"spec": decided | {key: spec.get(key) for key in _OPENING}}


def _service_account(body: Body) -> Body:
    return {"automountServiceAccountToken": body.get("automountServiceAccountToken")}


def _quota(body: Body) -> Body:
    """The API spells amounts in its own way: 5000 is 5k."""
    hard = (body.get("spec") or {}).get("hard") or {}
    return {"spec": {"hard": {key: _amount(key, str(value)) for key, value in hard.items()}}}


def _amount(key: str, text: str) -> str:
    try:
        return f"{parse_cpu(text)}m" if key.endswith(".cpu") else str(parse_bytes(text))
    except Invalid:
        return text


def _binding(body: Body) -> Body:
    return {"roleRef": body.get("roleRef"), "subjects": body.get("subjects")}


_ESSENCE: Mapping[str, Callable[[Body], Body]] = {
    "Namespace": _namespace,
    "NetworkPolicy": _spec,
    "ResourceQuota": _quota,
    "LimitRange": _spec,
    "RoleBinding": _binding,
    "Service": _service,
    "ServiceAccount": _service_account,
}
