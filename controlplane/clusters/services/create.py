"""Creating a cluster: all of it in one transaction, with the claim as its last statement."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, transaction

from controlplane.clusters import plans, sites
from controlplane.clusters.admission import admit
from controlplane.clusters.capacity import require_room_ever
from controlplane.clusters.inserting import insert
from controlplane.clusters.models import Cluster, Site
from controlplane.clusters.operations import operation_rows
from controlplane.clusters.phases import Phase, Verb
from controlplane.work.models import Kind
from controlplane.work.wake import wake
from templates import launch
from templates.models import TemplateRevision
from templates.reading import Faults
from templates.schema import Launch
from templates.selectors import launchable_revision
from templates.stored import launch_to_json
from tenants import audit
from tenants.access import Access, allow
from tenants.errors import Conflict
from tenants.ids import new_id
from tenants.models import User
from tenants.names import validate_name


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """What somebody asks for. groups: name -> {"count", "cpu", "memory", "gpu", "storage"}, each optional."""

    template: str
    groups: Mapping[str, Mapping[str, Any]]
    parameters: Mapping[str, Any]
    preset: str = ""
    site: str = ""

    @property
    def choices(self) -> launch.LaunchRequest:
        """What the template reads of it."""
        return launch.LaunchRequest(groups=self.groups, parameters=self.parameters, preset=self.preset)

    def to_json(self) -> dict[str, Any]:
        return {
            "template": self.template,
            "groups": dict(self.groups),
            "parameters": dict(self.parameters),
            "preset": self.preset,
            "site": self.site,
        }


def cluster_create(*, access: Access, name: str, request: LaunchRequest) -> Cluster:
    """A new cluster in phase pending, with its operation, admitted whole or not at all.

    Raises Invalid, NeedsRole, NotFound (template or site), Conflict NAME_TAKEN, TENANT_SUSPENDED or
    NEVER_FITS, QuotaExceeded.
    """
    try:
        with transaction.atomic():
            # Until the cluster is there, its site stays: removing it waits, and then finds the cluster.
            revision, site, expanded = _expand(access, name, request, lock=True)
            require_room_ever(site, expanded)
            return _insert(access, name, request, revision, site, expanded)
    except IntegrityError as error:
        if "cluster_name_is_taken_once" not in str(error):
            raise
        raise name_taken(access, name) from error


def name_taken(access: Access, name: str) -> Conflict:
    leaving = Cluster.objects.filter(tenant=access.tenant, name=name, phase=Phase.DELETING).exists()
    if leaving:
        advice = "A cluster of this name is being deleted. Wait until it is gone, or choose another name."
    else:
        advice = "A cluster of this name exists in the tenant. Choose another name, or delete that one."
    return Conflict("NAME_TAKEN", advice)


def _expand(
    access: Access, name: str, request: LaunchRequest, *, lock: bool = False
) -> tuple[TemplateRevision, Site, Launch]:
    allow(access, "cluster.launch")
    validate_name(name, "/name")
    access.require_active()
    revision = launchable_revision(access, request.template)
    faults = Faults()
    with faults.noted():
        site = sites.site_for(request.site, access.tenant.id, lock=lock)
    with faults.noted():
        expanded = launch.expand(revision.spec, request.choices)
    faults.settle()
    return revision, site, expanded


def _insert(
    access: Access,
    name: str,
    request: LaunchRequest,
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
        requested=request.to_json(),
        effective=launch_to_json(expanded),
    )
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


def cluster_create_plan(*, access: Access, name: str, request: LaunchRequest) -> dict[str, Any]:
    """What cluster_create would do: the same refusals but for quota, which the plan shows. Changes nothing."""
    revision, site, expanded = _expand(access, name, request)
    if Cluster.objects.filter(tenant=access.tenant, name=name).exclude(phase=Phase.DELETED).exists():
        raise name_taken(access, name)
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
