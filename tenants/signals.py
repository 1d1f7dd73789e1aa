"""What the layers above may hear of, without being known here."""

from django.dispatch import Signal

# Sent inside the transaction of the change; a receiver that raises undoes it.
# Arguments: tenant_id (UUID), change ("state" | "members" | "limits" | "details"), user_id (UUID or None:
# whom it is about).
tenant_changed = Signal()
