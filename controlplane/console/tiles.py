"""Quick launch: what one click would start, what it takes, and why it cannot be clicked now."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from controlplane.clusters.capacity import Room, Verdict, room_for
from controlplane.clusters.models import Site
from controlplane.clusters.queries.reads import usual_seconds
from controlplane.clusters.sites import site_for
from controlplane.console import words
from templates.launch import LaunchRequest, expand
from templates.models import Template, TemplateState
from templates.schema import Launch
from templates.selectors import check_app, current_revision, templates_for
from tenants.access import Access, allow
from tenants.advice import owners_to_stop
from tenants.amounts import RESOURCES, Amounts, quantity
from tenants.errors import Refused
from tenants.ids import NOBODY
from tenants.models import Limit
from tenants.quota import limit_rows

MOST_TILES: Final = 12
LONGEST_NAME: Final = 40
# Without vowels no word comes out by chance, and without look-alikes a name can be read aloud.
_LETTERS: Final = "bcdfghjkmnpqrstvwxz23456789"


@dataclass(frozen=True, slots=True)
class Tile:
    """name: for the cluster; the form carries it, so that a click sent twice launches once.

    usual: {"p50", "p95", "of"} or None. reason: why it cannot be launched now, "" if it can. warning: why it
    would wait. to_stop: [{"cluster", "frees"}] of the asker's own that would make room.
    """

    template: Template
    name: str
    launch: Launch
    title: str
    description: str
    usual: dict[str, Any] | None
    reason: str = ""
    warning: str = ""
    to_stop: Sequence[dict[str, Any]] = ()

    @property
    def gets(self) -> list[tuple[int, str]]:
        """How many nodes of which kind."""
        return [(group.count, self.launch.app.role(group.role).title) for group in self.launch.groups]

    @property
    def pages(self) -> list[str]:
        roles = {group.role for group in self.launch.groups}
        services = [
            service for role in self.launch.app.roles if role.name in roles for service in role.services
        ]
        return [service.name for service in services if service.dashboard]

    @property
    def takes(self) -> dict[str, str | int]:
        return self.launch.takes.to_json()


def tiles(access: Access) -> list[Tile]:
    """The published templates that are meant for one click, by name."""
    published = templates_for(access).filter(state=TemplateState.PUBLISHED)
    found = list(published.filter(current__body__quick_launch=True)[:MOST_TILES])
    usual = usual_seconds(access.tenant.pk, [template.pk for template in found])
    limits = limit_rows(tenant_id=access.tenant.pk, user_id=access.actor.user_id)
    site, refused = _site(access)
    return [_tile(access, template, usual.get(template.pk), refused, limits, site) for template in found]


def generated_name(template: str) -> str:
    """spark-k7x2m: a name that is almost certainly free."""
    ending = "".join(secrets.choice(_LETTERS) for _ in range(5))
    return f"{template[: LONGEST_NAME - 6].rstrip('-')}-{ending}"


def _tile(
    access: Access,
    template: Template,
    usual: dict[str, Any] | None,
    refused: str,
    limits: Sequence[Limit],
    site: Site | None,
) -> Tile:
    revision = current_revision(template)
    launch = expand(revision.spec, LaunchRequest())
    room = room_for(site, launch, launch.takes) if site else Room(Verdict.UNKNOWN)
    reason = refused or _refused(lambda: check_app(revision.app))
    reason = reason or (room.message if room.verdict is Verdict.NEVER else "")
    short = [] if reason else short_levels(limits, launch.takes)
    return Tile(
        template=template,
        name=generated_name(template.name),
        launch=launch,
        title=revision.spec.title or template.name,
        description=revision.spec.description,
        usual=usual,
        reason=reason or _does_not_fit(short),
        warning=room.message if room.verdict is Verdict.NOT_NOW else "",
        to_stop=_to_stop(access, short) if short else (),
    )


def short_levels(limits: Sequence[Limit], takes: Amounts) -> list[dict[str, Any]]:
    """What is missing, per scope and resource, in numbers: as a refusal by quota would have it."""
    return [
        {"scope": row.scope, "resource": resource, "limit": limit, "held": held, "wanted": wanted,
         "short_by": held + wanted - limit}
        for row in limits
        for resource in RESOURCES
        for limit, held, wanted in [(row.limits[resource], row.held[resource], takes[resource])]
        if limit is not None and wanted and held + wanted > limit
    ]  # fmt: skip


def _does_not_fit(short: Sequence[dict[str, Any]]) -> str:
    if not short:
        return ""
    worst = short[0]
    whose = "The tenant" if worst["scope"] == "tenant" else "You"
    verb = "holds" if worst["scope"] == "tenant" else "hold"
    resource = worst["resource"]
    held, limit, wanted = (
        words.plain(resource, quantity(resource, worst[name])) for name in ("held", "limit", "wanted")
    )
    noun = "CPU" if resource == "cpu" else resource
    return f"{whose} {verb} {held} of {limit} {noun}; this needs {wanted} more."


def _to_stop(access: Access, short: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    asker = access.actor.user_id
    return owners_to_stop(
        short, tenant_id=access.tenant.pk, asker_id=asker, owner_id=NOBODY, asker_is_member=True
    )


def _site(access: Access) -> tuple[Site | None, str]:
    """Where a click launches, and what stands against launching anything at all."""
    refused = _refused(lambda: allow(access, "cluster.launch")) or _refused(access.require_active)
    try:
        return site_for("", access.tenant.pk), refused
    except Refused as refusal:
        return None, refused or refusal.detail


def _refused(check: Any) -> str:
    try:
        check()
    except Refused as refusal:
        return refusal.detail
    return ""
