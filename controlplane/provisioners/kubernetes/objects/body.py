"""A Kubernetes object as the API gives and takes it, and what the metadata of ours say."""

from typing import Any
from uuid import UUID

from controlplane.provisioners.base import NotOurs
from controlplane.provisioners.kubernetes.objects import names
from controlplane.provisioners.kubernetes.settings import SiteSettings

Body = dict[str, Any]


def label(body: Body, name: str) -> str:
    """The value of a label, "" when the object does not have it."""
    return str((body["metadata"].get("labels") or {}).get(name, ""))


def cluster_and_tenant(body: Body) -> tuple[UUID, UUID] | None:
    """(cluster, tenant) as the labels say. None when they do not."""
    try:
        return UUID(label(body, names.CLUSTER)), UUID(label(body, names.TENANT))
    except ValueError:
        return None


def run_of(body: Body) -> int:
    """The run that an object belongs to, 0 when it belongs to none."""
    return int(label(body, names.RUN) or 0)


def attempt_of(pod: Body) -> tuple[str, int]:
    """(name, attempt) of the node that a pod is."""
    return label(pod, names.NODE), int(label(pod, names.ATTEMPT) or 0)


def is_leaving(body: Body) -> bool:
    """Whether the object is being deleted, which may take a while."""
    return "deletionTimestamp" in body["metadata"]


def is_ours(settings: SiteSettings, body: Body) -> bool:
    """Whether this installation made the object."""
    return label(body, names.INSTALLATION) == settings.installation


def require_ours(settings: SiteSettings, body: Body) -> None:
    """Raises NotOurs: Slipway never changes an object that it did not make."""
    if not is_ours(settings, body):
        raise NotOurs(
            f"{body['metadata']['name']} exists already and was not made by this installation of Slipway"
        )
