"""Creates a cluster in one transaction, with the claim as its last statement."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from django.db import IntegrityError, transaction

from controlplane.clusters import plans, sites
from controlplane.clusters.admission import admit
from controlplane.clusters.capacity import require_room_ever
from controlplane.clusters.models import Cluster, Site
from controlplane.clusters.operations import operation_rows
from controlplane.clusters.phases import Phase, Verb
from controlplane.clusters.queries.insert import insert
from controlplane.work.models import Kind
from controlplane.work.wake import wake
from templates.launch import LaunchRequest, expand
from templates.models import TemplateRevision
from templates.reading import Faults
from templates.schema import Launch
from templates.selectors import launchable_revision
from tenants import audit
from tenants.access import Access, allow
from tenants.errors import Conflict
from tenants.ids import new_id
from tenants.models import User
from tenants.names import validate_name


@dataclass(frozen=True, slots=True)
class ClusterRequest:
    """What a user asks for: a template, a site, and the choices that the template leaves.

    groups: name -> {"count", "cpu", "memory", "gpu", "storage"}, each optional. preset, site: "" is the default.
    """

    template: str
    groups: Mapping[str, Mapping[str, Any]]
    parameters: Mapping[str, Any]
    preset: str = ""
    site: str = ""


def cluster_create(*, access: Access, name: str, request: ClusterRequest) -> Cluster:
    """A new cluster in phase pending, with its operation. It is admitted whole or not at all.

    Raises Invalid, NeedsRole, NotFound (template or site), Conflict NAME_TAKEN, TENANT_SUSPENDED or
    NEVER_FITS, QuotaExceeded.
    """
    try:
        with transaction.atomic():
            # The lock keeps the site until the cluster is inserted: a removal of the site waits, and finds the cluster.
            revision, site, expanded = _expand(access, name, request, lock=True)
            require_room_ever(site, expanded)
            return _insert(access, name, request, revision, site, expanded)
    except IntegrityError as error:
        if "cluster_name_is_taken_once" not in str(error):
            raise
        raise _name_taken(access, name) from error


def _name_taken(access: Access, name: str) -> Conflict:
    leaving = Cluster.objects.filter(tenant=access.tenant, name=name, phase=Phase.DELETING).exists()
    if leaving:
        advice = "A cluster of this name is being deleted. Wait until it is gone, or choose another name."
    else:
        advice = "A cluster of this name exists in the tenant. Choose another name, or delete that one."
    return Conflict("NAME_TAKEN", advice)


def _expand(
    access: Access, name: str, request: ClusterRequest, *, lock: bool = False
) -> tuple[TemplateRevision, Site, Launch]:
    allow(access, "cluster.launch")
    validate_name(name, "/name")
    access.require_active()
    revision = launchable_revision(access, request.template)
    faults = Faults()
    with faults.noted():
        site = sites.site_for(request.site, access.tenant.id, lock=lock)
    with faults.noted():
        choices = LaunchRequest(request.groups, request.parameters, request.preset)
        expanded = expand(revision.spec, choices)
    faults.settle()
    return revision, site, expanded


def _insert(
    access: Access,
    name: str,
    request: ClusterRequest,
    revision: TemplateRevision,
    site: Site,
    expanded: Launch,
) -> Cluster:
    cluster = Cluster(
        id=new_id(),
        tenant=access.tenant,
        name=name,
        owner=User.from_db("default", ("id", "username"), (access.actor.user_id, access.actor.username)),
        site=site,
        template_revision=revision,
        requested=asdict(request),
    )
    cluster.launch = expanded
    insert(cluster, *operation_rows(cluster, verb=Verb.CREATE, actor=access.actor.username))
    audit.record(
        actor=access.actor,
        verb="cluster.create",
        target=f"cluster/{name}",
        tenant=access.tenant,
        detail={"template": request.template, "site": site.name},
    )
    wake(Kind.CLUSTER, cluster.id, tenant_id=access.tenant.id)
    admit(cluster, expanded.takes)
    return cluster


def cluster_create_plan(*, access: Access, name: str, request: ClusterRequest) -> dict[str, Any]:
    """The plan of cluster_create. Raises the same but QuotaExceeded, as the plan shows the quota. Changes nothing."""
    revision, site, expanded = _expand(access, name, request)
    if Cluster.objects.filter(tenant=access.tenant, name=name).exclude(phase=Phase.DELETED).exists():
        raise _name_taken(access, name)
    return plans.describe(
        access=access,
        verb=Verb.CREATE,
        owner_id=new_id(),
        user_id=access.actor.user_id,
        before=None,
        after=expanded,
        claims=expanded.takes,
        peak=expanded.takes,
        template_id=revision.template_id,
        site=site,
    )
