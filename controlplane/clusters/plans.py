"""The plan of a change: what it would do."""

from functools import partial
from typing import Any
from uuid import UUID

from controlplane.clusters.capacity import Room, Verdict, room_for
from controlplane.clusters.models import Site
from controlplane.clusters.phases import Verb
from controlplane.clusters.queries.reads import usual_seconds
from templates.schema import Launch
from tenants import quota
from tenants.access import Access
from tenants.amounts import Amounts


def describe(
    *,
    access: Access,
    verb: Verb,
    owner_id: UUID,
    user_id: UUID,
    before: Launch | None,
    after: Launch | None,
    claims: Amounts,
    peak: Amounts,
    template_id: UUID,
    site: Site,
) -> dict[str, Any]:
    """{"plan": adds, removes, takes, quota before and after, fits, expected_seconds}. Reads only.

    before, after: what runs before and after the change; None is nothing. claims: what is held after the change.
    peak: what is held during the change, and so must fit.
    """
    preview = partial(quota.preview, tenant_id=access.tenant.id, user_id=user_id, owner_id=owner_id)
    held = [
        {**done, "short_by": during["short_by"]}
        for done, during in zip(preview(amounts=claims), preview(amounts=peak), strict=True)
    ]
    grows_by = (peak - quota.held_by(owner_id)).max(Amounts())
    room = room_for(site, after, grows_by) if after else Room(Verdict.FITS)
    return {
        "plan": {
            "verb": str(verb),
            "site": site.name,
            "adds": _difference(after, before),
            "removes": _difference(before, after),
            "takes": claims.to_json(),
            "quota": held,
            "fits": room.verdict is not Verdict.NEVER
            and all(level["short_by"] in {0, "0"} for level in held),
            "room": room.to_json(),
            "expected_seconds": usual_seconds(access.tenant.id, [template_id], verb).get(template_id),
        }
    }


def _difference(one: Launch | None, other: Launch | None) -> list[dict[str, Any]]:
    """The nodes that `one` has more than `other`, by group."""
    counts = {group.name: group.count for group in other.groups} if other else {}
    more = [(group, group.count - counts.get(group.name, 0)) for group in (one.groups if one else ())]
    return [
        {"group": group.name, "role": group.role, "count": count, "each": group.each.to_json()}
        for group, count in more
        if count > 0
    ]
