"""Times, amounts and counts as text for people."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from tenants.amounts import parse_cpu

_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "min"))
_NEXT_UNIT: Final = {86400: (3600, "h"), 3600: (60, "min"), 60: (1, "s")}
_NOUNS: Final = {"memory": "memory", "storage": "storage", "gpu": "GPU"}
# Keeps a number and its noun on one line.
_JOIN: Final = "\N{NO-BREAK SPACE}"


def duration(seconds: float) -> str:
    """A duration in its two largest units: 0.4 s, 12 s, 3 min 5 s, 2 h 4 min, 5 d 1 h."""
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s"
    whole = int(seconds)
    for size, unit in _UNITS:
        if whole >= size:
            rest_size, rest_unit = _NEXT_UNIT[size]
            rest = whole % size // rest_size
            return f"{whole // size} {unit}" + (f" {rest} {rest_unit}" if rest else "")
    return f"{whole} s"


def age(at: datetime, now: datetime) -> str:
    """The age at `now` in its largest unit: 12 s, 3 min, 2 h, 5 d."""
    seconds = max(0, int((now - at).total_seconds()))
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def plain(resource: str, quantity: str | int) -> str:
    """A JSON quantity as text; cpu in cores, so "2500m" is "2.5"."""
    return f"{parse_cpu(quantity) / 1000:g}" if resource == "cpu" else str(quantity)


def amounts(quantities: Mapping[str, Any]) -> str:
    """{"cpu": "2500m", "memory": "5Gi", …} as "2.5 CPU · 5Gi memory", without the resources that are 0."""
    parts = (
        [f"{plain('cpu', quantities['cpu'])}{_JOIN}CPU"]
        if quantities.get("cpu") not in (None, "0", 0)
        else []
    )
    parts += [
        f"{quantities[resource]}{_JOIN}{noun}"
        for resource, noun in _NOUNS.items()
        if quantities.get(resource) not in (None, "0", 0)
    ]
    return " · ".join(parts) or "nothing"


def count(number: int, noun: str) -> str:
    """The number with the noun, which gets an s in the plural."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
