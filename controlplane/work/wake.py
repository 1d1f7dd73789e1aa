"""Waking is a write, so a wake survives every process and is never lost to a pass that runs at the same time."""

from uuid import UUID

from django.db import connection

from controlplane.work.announce import announce
from controlplane.work.models import Kind, Work
from controlplane.work.queries import WAKE


def wake(kind: Kind, key: UUID, *, tenant_id: UUID | None = None, after: float = 0) -> None:
    """Make a work item due, in the caller's transaction. Workers get a hint when it commits.

    after: seconds; with a few hundredths, one pass handles a burst of news.
    """
    with connection.cursor() as cursor:
        cursor.execute(WAKE, [kind, key, tenant_id, after])
    announce()


def forget(kind: Kind, key: UUID) -> None:
    """Delete the work item of something that does not exist any more."""
    Work.objects.filter(kind=kind, key=key).delete()
