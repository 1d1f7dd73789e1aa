"""The counters and histograms of the control plane. The bottom layer: imports no other package of Slipway."""

from prometheus_client import Counter, Histogram

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)

PASSES = Counter("slipway_passes_total", "Passes over due work.", ["kind", "outcome"])
PASS = Histogram("slipway_pass_seconds", "One pass over one work item.", ["kind"], buckets=_SECONDS)
SWEEP_LAG = Histogram("slipway_sweep_lag_seconds", "How late due work was claimed.", buckets=_SECONDS)
RECONCILE = Histogram(
    "slipway_reconcile_seconds",
    "The actions that passes over clusters executed at their sites.",
    ["action"],
    buckets=_SECONDS,
)
OPERATIONS = Counter("slipway_operations_total", "Operations ended.", ["kind", "state"])
OPERATION = Histogram(
    "slipway_operation_seconds", "Operations from accepted to ended.", ["kind"], buckets=_SECONDS
)
STEP = Histogram(
    "slipway_operation_step_seconds", "Steps of operations, begin to end.", ["kind", "step"], buckets=_SECONDS
)
DRIFT = Counter(
    "slipway_drift_total",
    "Objects on sites that were changed or deleted outside Slipway.",
    ["site", "kind", "how"],
)
ADMISSION = Counter("slipway_admissions_total", "Requests to hold more.", ["outcome"])
