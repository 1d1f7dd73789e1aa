"""Requests that last long: how many may be open at once, in all, for one user and for one address."""

import threading
from collections import Counter
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.http import HttpRequest

_ASKER = "slipway.asker"


@dataclass(slots=True)
class Places:
    """Belongs to one process. Thread-safe."""

    total: int
    a_user: int
    an_address: int
    _taken: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def is_full(self) -> bool:
        return self._taken["all"] >= self.total

    def take(self, user: str, address: str) -> "Place | None":
        """A place until it is given back; None when there is none, or none for this user or address."""
        limits = {"all": self.total, f"user {user}": self.a_user, f"address {address}": self.an_address}
        with self._lock:
            if any(self._taken[name] >= most for name, most in limits.items()):
                return None
            self._taken.update(limits.keys())
        return Place(self, tuple(limits))

    def _give_back(self, names: tuple[str, ...]) -> None:
        with self._lock:
            self._taken.subtract(names)
            for name in names:
                if not self._taken[name]:
                    del self._taken[name]


@dataclass(slots=True)
class Place:
    _places: Places
    _names: tuple[str, ...]

    def give_back(self) -> None:
        """Once or more."""
        names, self._names = self._names, ()
        self._places._give_back(names)


def tell_asker(request: HttpRequest, user: UUID) -> None:
    """Tell the middleware in front of the application whose request this is."""
    request.META.get("asgi.scope", {})[_ASKER] = str(user)


def asker_of(scope: MutableMapping[str, Any]) -> str:
    """The user that the application told; "" when it told none."""
    return str(scope.get(_ASKER, ""))


def address_of(scope: MutableMapping[str, Any]) -> str:
    return str((scope.get("client") or [""])[0])
