"""A client of a real API server that counts created and deleted objects. Tests can make any of its calls fail."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from controlplane.provisioners.kubernetes.client import exec as executing
from controlplane.provisioners.kubernetes.client.client import Client, Listing
from controlplane.provisioners.kubernetes.client.exec import ExecResult
from controlplane.provisioners.kubernetes.objects.body import is_leaving
from controlplane.provisioners.kubernetes.settings import Reach

T = TypeVar("T")
Body = dict[str, Any]
Hook = Callable[[int], None]


def nothing(number: int) -> None:
    """The default hook; it does nothing."""


class CountedClient(Client):
    """calls: (verb, path) of every call, in order. made, gone: numbers of created and deleted objects by kind.

    before, after: hooks around each call, which receive its number from 0 and may raise.
    """

    def __init__(self, reach: Reach) -> None:
        super().__init__(reach, purpose="test")
        self.calls: list[tuple[str, str]] = []
        self.made: Counter[str] = Counter()
        self.gone: Counter[str] = Counter()
        self.before: Hook = nothing
        self.after: Hook = nothing

    def get(self, path: str) -> Body | None:
        return self._counted("get", path, lambda: super(CountedClient, self).get(path))

    def list(self, path: str, *, labels: Mapping[str, str] | None = None) -> Listing:
        listed = super().list
        return self._counted("list", path, lambda: listed(path, labels=labels))

    def gather(
        self, path: str, *, labels: Mapping[str, str], keep: Callable[[Body], T | None], bare: bool = False
    ) -> Sequence[T]:
        gathered = super().gather
        return self._counted("list", path, lambda: gathered(path, labels=labels, keep=keep, bare=bare))

    def create(self, path: str, body: Body) -> Body:
        def create() -> Body:
            made = super(CountedClient, self).create(path, body)
            self.made[body["kind"]] += 1
            return made

        return self._counted("create", path, create)

    def patch(self, path: str, body: Body) -> Body | None:
        return self._counted("patch", path, lambda: super(CountedClient, self).patch(path, body))

    def delete(self, path: str, *, uid: str = "", grace: int | None = None) -> bool:
        def delete() -> bool:
            went = super(CountedClient, self).delete(path, uid=uid, grace=grace)
            self.gone[path.split("/")[-2]] += went
            return went

        return self._counted("delete", path, delete)

    def delete_collection(self, path: str, *, labels: Mapping[str, str], grace: int | None = None) -> None:
        def delete() -> None:
            there = super(CountedClient, self).list(path, labels=labels).items
            super(CountedClient, self).delete_collection(path, labels=labels, grace=grace)
            self.gone[path.split("/")[-1]] += sum(not is_leaving(body) for body in there)

        self._counted("deletecollection", path, delete)

    def _counted(self, verb: str, path: str, call: Callable[[], T]) -> T:
        number = len(self.calls)
        self.calls.append((verb, path))
        self.before(number)
        try:
            return call()
        finally:
            self.after(number)


class CountedAccounts:
    """Uses one counted client for every account."""

    def __init__(self, reach: Reach) -> None:
        self.counted = CountedClient(reach)

    def client(self, account: str) -> Client:
        return self.counted

    def run(self, namespace: str, pod: str, command: Sequence[str], *, seconds: float) -> ExecResult:
        return executing.run(self.counted, namespace, pod, command, seconds=seconds)
