"""Compares a live object with the digest of what Slipway wrote, which is stored in an annotation of the object.

Every object on which the isolation or the DNS name of a pod depends has this annotation. The digest covers the fields
that Slipway decides, and neither the defaults of the API server nor the fields of other controllers.
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
    """The body with its own digest in the annotation WRITTEN, ready to be sent."""
    about = body["metadata"]
    annotations = {**(about.get("annotations") or {}), names.WRITTEN: digest(body)}
    return {**body, "metadata": {**about, "annotations": annotations}}


def is_as_written(kind: str, live: Body) -> bool:
    """Whether the object still has what Slipway wrote. False when it has no digest.

    kind: items of a list do not contain their kind.
    """
    return recorded(live) == digest({**live, "kind": kind})


def digest(body: Body) -> str:
    """16 hexadecimal digits of the fields that Slipway decides."""
    decided = json.dumps(decided_fields(body["kind"], body), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(decided.encode()).hexdigest()[:16]


def decided_fields(kind: str, body: Body) -> Any:
    """The fields that Slipway decides, in one spelling for bodies that are sent and bodies that were read."""
    return _without_empty(_DECIDED[kind](body))


def recorded(live: Body) -> str:
    """The digest in the annotation of the object, "" when it has none."""
    return str((live["metadata"].get("annotations") or {}).get(names.WRITTEN) or "")


def repair(kind: str, live: Body, wanted: Body) -> Body:
    """A JSON merge patch that makes `live` equal to `wanted` in the decided fields. {} when it is equal already."""
    patch: Body = _merge_patch(decided_fields(kind, live), decided_fields(kind, wanted))
    metadata: Body = dict(patch.get("metadata") or {})
    for part in ("labels", "annotations"):
        has, needs = live["metadata"].get(part) or {}, wanted["metadata"].get(part) or {}
        if missing := {key: value for key, value in needs.items() if has.get(key) != value}:
            metadata[part] = {**metadata.get(part, {}), **missing}
    return patch | ({"metadata": metadata} if metadata else {})


def _merge_patch(live: Any, wanted: Any) -> Any:
    if not isinstance(live, dict) or not isinstance(wanted, dict):
        return wanted
    removed: Body = dict.fromkeys(live.keys() - wanted.keys())
    changed = {
        key: _merge_patch(live.get(key), value) for key, value in wanted.items() if live.get(key) != value
    }
    return removed | changed


def _without_empty(value: Any) -> Any:
    """The value without empty fields. An empty object is kept, because an empty selector selects everything."""
    if isinstance(value, Mapping):
        return {
            key: _without_empty(item)
            for key, item in value.items()
            if item is not None and item not in ([], "")
        }
    return [_without_empty(item) for item in value] if isinstance(value, list | tuple) else value


def _spec(body: Body) -> Body:
    return {"spec": body.get("spec") or {}}


def _namespace(body: Body) -> Body:
    labels = body["metadata"].get("labels") or {}
    return {"metadata": {"labels": {key: labels[key] for key in labels if key.startswith(POD_SECURITY)}}}


_SERVICE: Body = {"clusterIP": None, "type": "ClusterIP", "publishNotReadyAddresses": False, "selector": {}}
# Slipway sets none of these: each would open the Service to the outside.
_EXPOSING = ("externalIPs", "externalName", "loadBalancerIP", "ports")


def _service(body: Body) -> Body:
    spec = body.get("spec") or {}
    decided = {key: spec.get(key, otherwise) for key, otherwise in _SERVICE.items()}
    return {"spec": decided | {key: spec.get(key) for key in _EXPOSING}}


def _service_account(body: Body) -> Body:
    return {"automountServiceAccountToken": body.get("automountServiceAccountToken")}


def _quota(body: Body) -> Body:
    """The API normalizes amounts: it answers 5k for 5000."""
    hard = (body.get("spec") or {}).get("hard") or {}
    return {"spec": {"hard": {key: _amount(key, str(value)) for key, value in hard.items()}}}


def _amount(key: str, text: str) -> str:
    try:
        return f"{parse_cpu(text)}m" if key.endswith(".cpu") else str(parse_bytes(text))
    except Invalid:
        return text


def _binding(body: Body) -> Body:
    return {"roleRef": body.get("roleRef"), "subjects": body.get("subjects")}


_DECIDED: Mapping[str, Callable[[Body], Body]] = {
    "Namespace": _namespace,
    "NetworkPolicy": _spec,
    "ResourceQuota": _quota,
    "LimitRange": _spec,
    "RoleBinding": _binding,
    "Service": _service,
    "ServiceAccount": _service_account,
}
