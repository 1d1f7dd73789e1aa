"""Times and amounts in words for people."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from tenants.amounts import parse_cpu

_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "min"))
_NOUNS: Final = {"memory": "memory", "storage": "storage", "gpu": "GPU"}
# Keeps a number and its noun on one line.
_JOIN: Final = "\N{NO-BREAK SPACE}"


def duration(seconds: float) -> str:
    """Two figures that matter: 0.4 s, 12 s, 3 min 5 s, 2 h 4 min, 5 d 1 h."""
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s"
    whole = int(seconds)
    for size, unit in _UNITS:
        if whole >= size:
            rest = duration_rest(whole % size, size)
            return f"{whole // size} {unit}{rest}"
    return f"{whole} s"


def duration_rest(seconds: int, above: int) -> str:
    size, unit = {86400: (3600, "h"), 3600: (60, "min"), 60: (1, "s")}[above]
    return f" {seconds // size} {unit}" if seconds >= size else ""


def age(at: datetime, now: datetime) -> str:
    """One figure: 12 s, 3 min, 2 h, 5 d."""
    seconds = max(0, int((now - at).total_seconds()))
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def plain(resource: str, quantity: str | int) -> str:
    """A JSON quantity; cpu in cores: "2500m" as 2.5."""
    return f"{parse_cpu(quantity) / 1000:g}" if resource == "cpu" else str(quantity)


def amounts(quantities: Mapping[str, Any]) -> str:
    """{"cpu": "2500m", "memory": "5Gi", …} as "2.5 CPU · 5Gi memory"; what is nothing is left out."""
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
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
