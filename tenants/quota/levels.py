"""One resource under one limit: what is held, what a change adds, and how much is missing. Pure.

This is the one place that computes a shortfall.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from tenants.amounts import RESOURCES, Amounts, quantity

# The ceiling of an unlimited resource, so that no sum overflows a bigint of the database.
MOST_HELD: Final = 2**62


@dataclass(frozen=True, slots=True)
class Level:
    """One resource under the limit of a tenant or of a member, before a change.

    scope: "tenant" or "member". limit: None means unlimited. change: how much more the change holds; negative when it
    holds less. All numbers are in base units.
    """

    scope: str
    resource: str
    limit: int | None
    held: int
    change: int = 0

    @property
    def ceiling(self) -> int:
        return MOST_HELD if self.limit is None else self.limit

    @property
    def short_by(self) -> int:
        """How much the change exceeds the limit; 0 when it fits. A change that holds no more always fits."""
        return max(0, self.held + self.change - self.ceiling) if self.change > 0 else 0

    @property
    def over_by(self) -> int:
        """How much more is held than the limit allows: the limit was lowered below what is held."""
        return max(0, self.held - self.ceiling)

    def refusal_json(self) -> dict[str, Any]:
        """The level as an entry of `QuotaExceeded.levels`."""
        return {
            "scope": self.scope,
            "resource": self.resource,
            "limit": self._quantity(self.ceiling),
            "held": self._quantity(self.held),
            "wanted": self._quantity(self.change),
            "short_by": self._quantity(self.short_by),
        }

    def preview_json(self) -> dict[str, Any]:
        """The level as an entry of a plan; "limit" is None when unlimited."""
        return {
            "scope": self.scope,
            "resource": self.resource,
            "limit": self._quantity(self.limit),
            "held": self._quantity(self.held),
            "after": self._quantity(self.held + self.change),
            "short_by": self._quantity(self.short_by),
        }

    def limit_json(self) -> dict[str, Any]:
        """The level without a change; "limit" and "free" are None when unlimited."""
        return {
            "resource": self.resource,
            "scope": self.scope,
            "limit": self._quantity(self.limit),
            "held": self._quantity(self.held),
            "free": self._quantity(None if self.limit is None else max(0, self.limit - self.held)),
        }

    def over_json(self) -> dict[str, Any]:
        """A level of which more is held than the limit allows."""
        return {
            "scope": self.scope,
            "resource": self.resource,
            "limit": self._quantity(self.limit),
            "held": self._quantity(self.held),
            "over_by": self._quantity(self.over_by),
        }

    def _quantity(self, value: int | None) -> str | int | None:
        return None if value is None else quantity(self.resource, value)


def levels(scope: str, limits: Iterable[int | None], held: Amounts, change: Amounts) -> list[Level]:
    """One level per resource. limits: in the order of RESOURCES."""
    return [
        Level(scope, resource, limit, held[resource], change[resource])
        for resource, limit in zip(RESOURCES, limits, strict=True)
    ]
