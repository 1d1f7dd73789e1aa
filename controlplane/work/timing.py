"""How long leases last. Imports nothing, so that pure code can compute with it."""

LEASE_SECONDS = 30
# A result is recorded only while this much of the lease is left, so that the transaction commits before the lease ends.
MARGIN_SECONDS = 3
