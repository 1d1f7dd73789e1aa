"""Quick launch: what one click starts, what that takes, and why it cannot be clicked now."""

import secrets
from collections.abc import Callable, Sequence
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
from tenants.errors import Refused
from tenants.ids import NO_ID
from tenants.models import Limit
from tenants.quota import levels_of, limit_rows
from tenants.quota.advice import owners_to_stop

MOST_TILES: Final = 12
LONGEST_NAME: Final = 40
# Without vowels the letters spell no word by chance; without look-alikes a name can be read aloud.
_LETTERS: Final = "bcdfghjkmnpqrstvwxz23456789"


@dataclass(frozen=True, slots=True)
class Tile:
    """One template on the home page.

    name: of the cluster to launch; the form carries it, so that a click sent twice launches once. usual: {"p50",
    "p95", "of"} in seconds, or None. reason: why it cannot be launched now, "" if it can. warning: why the launch
    would wait. to_stop: [{"cluster", "frees"}], the actor's own clusters that would make room.
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
        """The number of nodes and the title of their role, for each group."""
        return [(group.count, self.launch.app.role(group.role).title) for group in self.launch.groups]

    @property
    def pages(self) -> list[str]:
        """The names of the dashboards that the cluster will have."""
        roles = {group.role for group in self.launch.groups}
        services = [
            service for role in self.launch.app.roles if role.name in roles for service in role.services
        ]
        return [service.name for service in services if service.dashboard]

    @property
    def takes(self) -> dict[str, str | int]:
        return self.launch.takes.to_json()


def tiles(access: Access) -> list[Tile]:
    """The published templates for quick launch, by name."""
    published = templates_for(access).filter(state=TemplateState.PUBLISHED)
    found = list(published.filter(current__body__quick_launch=True)[:MOST_TILES])
    usual = usual_seconds(access.tenant.pk, [template.pk for template in found])
    limits = limit_rows(tenant_id=access.tenant.pk, user_id=access.actor.user_id)
    site, refused = _site(access)
    return [_tile(access, template, usual.get(template.pk), refused, limits, site) for template in found]


def generated_name(template: str) -> str:
    """A cluster name that is almost certainly free, such as spark-k7x2m."""
    ending = "".join(secrets.choice(_LETTERS) for _ in range(5))
    return f"{template[: LONGEST_NAME - 6].rstrip('-')}-{ending}"


def _site(access: Access) -> tuple[Site | None, str]:
    """The site of a quick launch, and the reason why the actor can launch nothing at all, "" if there is none."""
    refused = _refusal_of(lambda: allow(access, "cluster.launch")) or _refusal_of(access.require_active)
    try:
        return site_for("", access.tenant.pk), refused
    except Refused as refusal:
        return None, refused or refusal.detail


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
    reason = refused or _refusal_of(lambda: check_app(revision.app))
    reason = reason or (room.message if room.verdict is Verdict.NEVER else "")
    to_stop = []
    short = [level for row in limits for level in levels_of(row, launch.takes) if level.short_by]
    if short and not reason:
        reason = words.does_not_fit(short[0])
        user = access.actor.user_id
        to_stop = owners_to_stop(
            short, tenant_id=access.tenant.pk, asker_id=user, owner_id=NO_ID, asker_is_member=True
        )
    return Tile(
        template=template,
        name=generated_name(template.name),
        launch=launch,
        title=revision.spec.title or template.name,
        description=revision.spec.description,
        usual=usual,
        reason=reason,
        warning=room.message if room.verdict is Verdict.NOT_NOW else "",
        to_stop=to_stop,
    )


def _refusal_of(check: Callable[[], object]) -> str:
    """The detail of the refusal that `check` raises, "" if it raises none."""
    try:
        check()
    except Refused as refusal:
        return refusal.detail
    return ""
