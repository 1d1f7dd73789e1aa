"""Identifiers: time-ordered UUIDs (version 7), never reused."""

from uuid import UUID

import uuid6

# Stands for "nobody in particular": what Slipway does by itself.
NOBODY = UUID(int=0)


def new_id() -> UUID:
    """A fresh id as a plain UUID, so that it compares, prints and pickles like one read from the database."""
    return UUID(int=uuid6.uuid7().int)
