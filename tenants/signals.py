"""Django signals that the packages above receive, so that this package need not import them.

All of them are sent in the transaction of the change. A receiver that raises rolls the change back.
"""

from django.dispatch import Signal

# A tenant changed. Arguments: tenant_id (UUID), change ("state" | "members" | "limits" | "details"), user_id (UUID of
# the member that changed, or None).
tenant_changed = Signal()

# A user lost rights: was removed from a tenant, got a lower role, was disabled or deleted. Arguments: user_id (UUID),
# tenant_id (UUID, or None for all tenants).
rights_lost = Signal()

# All sessions of a user were ended, because somebody else may have used them. Arguments: user_id (UUID).
sessions_ended = Signal()
