"""Whether a launch has room at a site, by the capacity that a worker last found there.

`Site.capacity` maps an app to its machines and their total; "" is for apps that have no entry of their own.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.db.models import Sum

from controlplane.clusters.models import Site
from templates.schema import Launch
from tenants.amounts import COMPUTE, Amounts
from tenants.errors import Conflict
from tenants.models import Claim
from tenants.quota import Level


class Verdict(StrEnum):
    FITS = "fits"
    NOT_NOW = "not_now"
    NEVER = "never"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Room:
    """levels: what never fits, as in a refusal by quota, with scope "site", and the group if one node is too large."""

    verdict: Verdict
    message: str = ""
    levels: tuple[dict[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"verdict": str(self.verdict), "message": self.message, "levels": list(self.levels)}


def room_for(site: Site, launch: Launch, grows_by: Amounts) -> Room:
    """The room at the site for a launch. grows_by: what the site must give beyond what is held there now."""
    known = _known(site, launch.app.name)
    if known is None:
        return Room(Verdict.UNKNOWN, f"How large the machines of {site.name} are is not known.")
    levels = tuple(_too_large(known, launch))
    if levels:
        return Room(Verdict.NEVER, _never(site, levels), levels)
    if known.total is not None and not _is_free(site, known.total, grows_by):
        message = f"{site.name} has no room for this now: what does not fit waits until there is."
        return Room(Verdict.NOT_NOW, message)
    return Room(Verdict.FITS)


def require_room_ever(site: Site, launch: Launch) -> None:
    """Raises Conflict NEVER_FITS if a node is larger than each machine of the site, or the launch than all."""
    known = _known(site, launch.app.name)
    if known is not None and (levels := list(_too_large(known, launch))):
        raise Conflict("NEVER_FITS", _never(site, levels), levels=levels)


@dataclass(frozen=True, slots=True)
class _Capacity:
    machines: tuple[Amounts, ...]
    total: Amounts | None


def _known(site: Site, app: str) -> _Capacity | None:
    found = site.capacity or {}
    body = found.get(app) or found.get("")
    if not body or not body["machines"]:
        return None
    total = Amounts(**body["total"]) if body["total"] else None
    return _Capacity(tuple(Amounts(**machine) for machine in body["machines"]), total)


def _too_large(known: _Capacity, launch: Launch) -> Iterator[dict[str, Any]]:
    for group in launch.groups:
        wanted = group.each.compute()
        if group.count and not any(wanted.fits_within(machine) for machine in known.machines):
            yield from _levels(_nearest(known.machines, wanted), wanted, {"group": group.name})
    if known.total is not None:
        yield from _levels(known.total, launch.takes.compute(), {})


def _nearest(machines: tuple[Amounts, ...], wanted: Amounts) -> Amounts:
    """The machine that is too small in the fewest resources; among equals, by the least part of what is wanted."""

    def missing(machine: Amounts) -> tuple[int, float]:
        short = [1 - machine[name] / wanted[name] for name in COMPUTE if wanted[name] > machine[name]]
        return len(short), sum(short)

    return min(machines, key=missing)


def _levels(limit: Amounts, wanted: Amounts, more: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for resource in COMPUTE:
        level = Level("site", resource, limit[resource], held=0, change=wanted[resource])
        if level.short_by:
            found = level.refusal_json()
            # What is held at the site does not count: the question is whether the launch can run there at all.
            del found["held"]
            yield {**found, **more}


def _never(site: Site, levels: tuple[dict[str, Any], ...] | list[dict[str, Any]]) -> str:
    first = levels[0]
    noun = "CPU" if first["resource"] == "cpu" else first["resource"]
    if "group" in first:
        what = f"a node of {first['group']} needs {first['wanted']} {noun}, and the largest machine has"
    else:
        what = f"it needs {first['wanted']} {noun}, and all machines combined have"
    return (
        f"This can never run at {site.name}: {what} {first['limit']}. Ask for less, or choose another site."
    )


def _is_free(site: Site, total: Amounts, grows_by: Amounts) -> bool:
    """Whether the claims at the site leave room. It does not know of pods that Slipway did not make, so it may err."""
    sums = {resource: Sum(resource, default=0) for resource in COMPUTE}
    held = Amounts(**Claim.objects.filter(site=site.name).aggregate(**sums))
    return (held + grows_by).compute().fits_within(total)
