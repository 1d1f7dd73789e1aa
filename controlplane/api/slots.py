"""Slots for requests that last long: how many may be open in all, for one user and from one address."""

import threading
from collections import Counter
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.http import HttpRequest

_USER = "slipway.user"


@dataclass(slots=True)
class Slots:
    """The slots of one kind in this process. Thread-safe."""

    total: int
    per_user: int
    per_address: int
    _taken: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def is_full(self) -> bool:
        return self._taken["all"] >= self.total

    def acquire(self, user: str, address: str) -> "Slot | None":
        """A slot, to be released. None when no slot is free in all, for the user or for the address."""
        limits = {"all": self.total, f"user {user}": self.per_user, f"address {address}": self.per_address}
        with self._lock:
            if any(self._taken[name] >= most for name, most in limits.items()):
                return None
            self._taken.update(limits.keys())
        return Slot(self, tuple(limits))

    def _release(self, names: tuple[str, ...]) -> None:
        with self._lock:
            self._taken.subtract(names)
            for name in names:
                if not self._taken[name]:
                    del self._taken[name]


@dataclass(slots=True)
class Slot:
    _slots: Slots
    _names: tuple[str, ...]

    def release(self) -> None:
        """Free the slot. May be called again."""
        names, self._names = self._names, ()
        self._slots._release(names)


def set_user(request: HttpRequest, user: UUID) -> None:
    """Let the middleware in front of the application know which user sent the request."""
    request.META.get("asgi.scope", {})[_USER] = str(user)


def user_of(scope: MutableMapping[str, Any]) -> str:
    """The id of the user whom the application set; "" when it set none."""
    return str(scope.get(_USER, ""))


def address_of(scope: MutableMapping[str, Any]) -> str:
    return str((scope.get("client") or [""])[0])
