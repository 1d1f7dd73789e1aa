"""What the layers above may hear of, without being known here."""

from django.dispatch import Signal

# Sent inside the transaction of the change; a receiver that raises undoes it.
# Arguments: tenant_id (UUID), change ("state" | "members" | "limits" | "details"), user_id (UUID or None:
# whom it is about).
tenant_changed = Signal()

# A user lost rights: removed from a tenant, given a lower role in it, disabled or deleted. Sent inside the transaction
# of the change; a receiver that raises undoes it.
# Arguments: user_id (UUID), tenant_id (UUID, or None: in every tenant).
rights_lost = Signal()

# All sessions of a user were ended, because somebody else may have had them. Sent inside the transaction of the change;
# a receiver that raises undoes it.
# Arguments: user_id (UUID).
sessions_ended = Signal()
