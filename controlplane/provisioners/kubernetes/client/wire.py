"""Formats requests to the API and parses its answers."""

from collections.abc import Mapping
from urllib.parse import urlencode

import orjson

from controlplane.provisioners.kubernetes.client.errors import unreachable
from controlplane.provisioners.kubernetes.objects.body import Body


def parsed(data: bytes) -> Body:
    try:
        parsed = orjson.loads(data)
    except ValueError as error:
        raise unreachable("something that is not a Kubernetes API answered") from error
    if not isinstance(parsed, dict):
        raise unreachable("something that is not a Kubernetes API answered")
    return parsed


def listing(body: Body) -> tuple[list[Body], str, str]:
    """(items, resource version, token of the next page or "")."""
    items, about = body.get("items"), body.get("metadata")
    if not str(body.get("kind", "")).endswith("List") or not isinstance(about, dict):
        raise unreachable("something that is no list was answered")
    return items or [], str(about.get("resourceVersion", "")), about.get("continue") or ""


def deletion(grace: int | None) -> Body:
    """DeleteOptions. grace: seconds; None: as the object says."""
    body: Body = {"propagationPolicy": "Background"}
    return body if grace is None else {**body, "gracePeriodSeconds": grace}


def selected(labels: Mapping[str, str]) -> dict[str, str]:
    """The query of a label selector. A label with the value "" matches any value."""
    terms = [f"{key}={value}" if value else key for key, value in sorted(labels.items())]
    return {"labelSelector": ",".join(terms)} if terms else {}


def target(path: str, query: Mapping[str, str]) -> str:
    return f"{path}{'&' if '?' in path else '?'}{urlencode(query)}" if query else path


def last_part(path: str) -> str:
    """The name in the path of an object."""
    return path.partition("?")[0].rpartition("/")[2]


def object_key(body: Body) -> tuple[str, bytes]:
    """(name, labels and owners as JSON), which tell two objects of one name apart."""
    metadata = body.get("metadata") or {}
    owners = [metadata.get("labels") or {}, metadata.get("ownerReferences") or []]
    return str(metadata.get("name") or ""), orjson.dumps(owners, option=orjson.OPT_SORT_KEYS)


def resource(path: str) -> tuple[str, str]:
    """(API group, plural) of a path, without subresources."""
    parts = path.partition("?")[0].strip("/").split("/")
    group, rest = ("", parts[2:]) if parts[0] == "api" else (parts[1], parts[3:])
    return group, rest[2] if rest[0] == "namespaces" and len(rest) > 2 else rest[0]
