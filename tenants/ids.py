"""Identifiers: time-ordered UUIDs (version 7), never reused."""

from uuid import UUID

import uuid6

# The actor id of requests without a user, and of what Slipway does by itself. No row has this id.
NO_ID = UUID(int=0)


def new_id() -> UUID:
    """A fresh id. It is a plain UUID, so it compares, prints and pickles like one that was read from the database."""
    return UUID(int=uuid6.uuid7().int)
