"""NOTIFY channel names. Imports no models, so the ASGI listener stays light."""

# The payload is the id of an operation that has ended.
OPERATION_CHANNEL = "slipway_operation"
