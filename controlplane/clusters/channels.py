"""Where who waits in PostgreSQL is told of something. No models here: who listens loads none."""

# The id of an operation, when it ends, and nothing on the way.
OPERATION_CHANNEL = "slipway_operation"
