"""Changes a stopped cluster for its next start: sizes, parameters, preset, revision of its template."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from controlplane.clusters import amounts, plans
from controlplane.clusters.access import cluster_for, operate
from controlplane.clusters.admission import admit
from controlplane.clusters.capacity import require_room_ever
from controlplane.clusters.models import Cluster
from controlplane.clusters.operations import live_operation, operation_begin
from controlplane.clusters.phases import Verb
from controlplane.clusters.services.verbs import require_possible, require_room
from controlplane.work.models import Kind
from controlplane.work.wake import wake
from templates.launch import LaunchRequest, expand
from templates.models import TemplateRevision
from templates.reading import Faults
from templates.schema import Launch
from templates.selectors import check_app
from tenants import audit
from tenants.access import Access
from tenants.amounts import quantity
from tenants.errors import Conflict, Invalid, PreconditionFailed


@dataclass(frozen=True, slots=True)
class Configuration:
    """A revision of a template, a request as JSON, and the launch that both come to."""

    revision: TemplateRevision
    requested: Mapping[str, Any]
    launch: Launch


@transaction.atomic
def cluster_configure(
    *, access: Access, cluster: str, changes: Mapping[str, Any], if_match: int | None = None
) -> Cluster:
    """Configure a stopped cluster. changes: to `requested`, by the rules of a JSON merge patch, and "revision".

    Changes that come to the present launch change nothing. Raises NotFound, NeedsRole, PreconditionFailed, Invalid,
    Conflict WRONG_PHASE, OPERATION_IN_PROGRESS, APP_WITHDRAWN, KEEPS_DATA or NEVER_FITS, QuotaExceeded.
    """
    found, before, after = _read(access, cluster, changes, if_match, lock=True)
    if after == before:
        return found
    require_room_ever(found.site, after.launch)
    found.generation += 1
    found.revision += 1
    found.template_revision = after.revision
    found.requested, found.launch = dict(after.requested), after.launch
    found.save(update_fields=["generation", "revision", "template_revision", "requested", "effective"])
    operation_begin(found, verb=Verb.CONFIGURE, actor=access.actor.username)
    audit.record(
        actor=access.actor,
        verb="cluster.configure",
        target=f"cluster/{found.name}",
        tenant=access.tenant,
        detail={"changes": differences(before, after)},
    )
    wake(Kind.CLUSTER, found.id, tenant_id=found.tenant_id)
    admit(found, amounts.held_after(found, Verb.CONFIGURE, after.launch))
    return found


def cluster_configure_plan(
    *, access: Access, cluster: str, changes: Mapping[str, Any], if_match: int | None = None
) -> dict[str, Any]:
    """The plan of cluster_configure. Raises the same but QuotaExceeded: the plan shows the quota. Changes nothing."""
    found, before, after = _read(access, cluster, changes, if_match)
    held = amounts.held_after(found, Verb.CONFIGURE, after.launch)
    described = plans.describe(
        access=access,
        verb=Verb.CONFIGURE,
        owner_id=found.id,
        user_id=found.owner_id,
        before=before.launch,
        after=after.launch,
        claims=held,
        peak=held,
        template_id=found.template_revision.template_id,
        site=found.site,
    )
    described["plan"]["changes"] = differences(before, after)
    return described


def differences(before: Configuration, after: Configuration) -> list[dict[str, Any]]:
    """[{"pointer", "before", "after"}] of every value that changes; None where there is none."""
    one, other = _flat(before), _flat(after)
    return [
        {"pointer": pointer, "before": one.get(pointer), "after": other.get(pointer)}
        for pointer in sorted({**one, **other})
        if one.get(pointer) != other.get(pointer)
    ]


def _read(
    access: Access, ident: str, changes: Mapping[str, Any], if_match: int | None, *, lock: bool = False
) -> tuple[Cluster, Configuration, Configuration]:
    found = cluster_for(access, ident, lock=lock)
    operate(access, found)
    if if_match is not None and if_match != found.generation:
        raise PreconditionFailed()
    require_possible(access, found, live_operation(found), Verb.CONFIGURE)
    before = Configuration(found.template_revision, found.requested, found.launch)
    after = _changed(before, changes)
    require_room(found, Verb.CONFIGURE, after.launch)
    if found.stored:
        _require_volumes(before.launch, after.launch)
    return found, before, after


def _changed(before: Configuration, changes: Mapping[str, Any]) -> Configuration:
    revision = before.revision
    if (number := changes.get("revision")) is not None and number != revision.number:
        revision = _revision(revision, number)
    wanted = {name: value for name, value in changes.items() if name != "revision"}
    requested = _merged(before.requested, wanted)
    choices = LaunchRequest(requested["groups"], requested["parameters"], requested["preset"])
    return Configuration(revision, requested, expand(revision.spec, choices))


def _revision(current: TemplateRevision, number: int) -> TemplateRevision:
    revisions = TemplateRevision.objects.filter(template_id=current.template_id, number=number)
    found = revisions.select_related("app").first()
    if found is None:
        raise Invalid.at("/revision", "The template has no revision of this number.")
    check_app(found.app)
    return found


def _merged(whole: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """JSON merge patch (RFC 7396): null removes a member, objects are merged, any other value is replaced."""
    merged = {name: value for name, value in whole.items() if name not in changes}
    for name, value in changes.items():
        if isinstance(value, Mapping):
            inner = whole.get(name)
            merged[name] = _merged(inner if isinstance(inner, Mapping) else {}, value)
        elif value is not None:
            merged[name] = value
    return merged


def _require_volumes(before: Launch, after: Launch) -> None:
    """Raises Invalid or Conflict KEEPS_DATA where volumes that exist would change their size, or have no group."""
    groups, faults = {group.name: group for group in after.groups}, Faults()
    for group in before.groups:
        kept = group.each.storage
        with faults.noted():
            if kept and group.name not in groups:
                raise Conflict(
                    "KEEPS_DATA",
                    f"This leaves out {group.name}, whose volumes hold data. Launch another cluster without it, "
                    "or delete this one.",
                )
            if kept and group.name in groups and groups[group.name].each.storage != kept:
                raise Invalid.at(
                    f"/groups/{group.name}/storage",
                    f"Volumes that exist keep their size: this is {quantity('storage', kept)}.",
                )
    faults.settle()


def _flat(configuration: Configuration) -> dict[str, Any]:
    launch = configuration.launch
    flat: dict[str, Any] = {
        "/revision": configuration.revision.number,
        "/app/version": launch.app.version,
        "/preset": configuration.requested["preset"] or None,
    }
    flat |= {f"/parameters/{name}": value for name, value in launch.settings.items()}
    for group in launch.groups:
        sizes = {name: value for name, value in group.each.to_json().items() if name != "clusters"}
        flat |= {f"/groups/{group.name}/{name}": value for name, value in sizes.items()}
        flat[f"/groups/{group.name}/count"] = group.count
    return flat
