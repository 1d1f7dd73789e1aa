"""Template tags and filters of all pages."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from controlplane.console import formats

register = template.Library()

# The tone and the outline of the icon of each phase, node state and step state. An outline is on a square of 16 units.
_DOTS: Final = "M3 8h.01M8 8h.01M13 8h.01"
_CHECK: Final = "M3 8.5l3.2 3.2L13 5"
_TURN: Final = "M8 2a6 6 0 1 1-6 6"
_CROSS: Final = "M4 4l8 8M12 4l-8 8"
PHASES: Final[Mapping[str, tuple[str, str]]] = {
    "pending": ("wait", _DOTS),
    "starting": ("busy", _TURN),
    "ready": ("good", _CHECK),
    "resizing": ("busy", _TURN),
    "stopping": ("busy", _TURN),
    "stopped": ("calm", "M4.5 4.5h7v7h-7z"),
    "deleting": ("busy", _TURN),
    "deleted": ("calm", "M3 8h10"),
    "failed": ("bad", _CROSS),
}
NODES: Final[Mapping[str, tuple[str, str]]] = {
    "pending": ("wait", _DOTS),
    "waiting": ("wait", _DOTS),
    "starting": ("busy", _TURN),
    "ready": ("good", _CHECK),
    "unready": ("warn", "M8 3v6M8 12.5h.01"),
    "draining": ("busy", _TURN),
    "drained": ("calm", _CHECK),
    "ending": ("busy", _TURN),
    "ended": ("calm", "M3 8h10"),
    "gone": ("calm", "M3 8h10"),
}
STEPS: Final[Mapping[str, tuple[str, str]]] = {
    "done": ("good", _CHECK),
    "running": ("busy", _TURN),
    "waiting": ("calm", _DOTS),
    "skipped": ("calm", "M3 8h10"),
    "failed": ("bad", _CROSS),
}
_MARKS: Final = {"phase": PHASES, "node": NODES, "step": STEPS}


@register.simple_tag
def mark(kind: str, name: str, label: str = "") -> SafeString:
    """An icon with the word beside it. The colour adds no information."""
    tone, outline = _MARKS[kind].get(name, ("calm", _DOTS))
    return format_html(
        '<span class="mark {}"><svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">'
        '<path d="{}"/></svg>{}</span>',
        tone, outline, label or name,
    )  # fmt: skip


@register.filter
def ago(at: datetime | None) -> SafeString | str:
    """How long ago it was; hovering shows the time itself."""
    if at is None:
        return ""
    moment = at.astimezone(timezone.get_default_timezone())
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>',
        moment.isoformat(timespec="seconds"), f"{moment:%Y-%m-%d %H:%M:%S}", formats.age(at, timezone.now()),
    )  # fmt: skip


@register.filter
def seconds(value: float | None) -> str:
    return "" if value is None else formats.duration(value)


@register.filter
def amounts(quantities: Mapping[str, Any]) -> str:
    return formats.amounts(quantities)


@register.filter
def counted(number: int, noun: str) -> str:
    return formats.count(number, noun)


@register.filter
def plain(quantity: str | int | None, resource: str) -> str:
    return "none" if quantity is None else formats.plain(resource, quantity)
