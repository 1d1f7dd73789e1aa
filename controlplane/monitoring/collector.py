"""What a scrape of web shows: the counters of all processes of this machine, and gauges read from the database."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import structlog
from django.db import DatabaseError, InterfaceError, connection, transaction
from django.db.models import Count, Max, Q
from django.db.models.functions import Greatest, Now
from prometheus_client import REGISTRY, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from controlplane.clusters.models import Cluster, Operation, Site
from controlplane.clusters.models.operation import LIVE
from controlplane.clusters.phases import Phase, Verb
from controlplane.metrics import peers
from controlplane.work.models import Work
from tenants.amounts import RESOURCES
from tenants.models import Limit, TenantState

log = structlog.get_logger(__name__)

# Each tenant has two gauges for each resource. Further tenants are counted only.
MAX_TENANTS = 1000
MAX_SITES = 100
QUERY_SECONDS = 2
# Amounts are stored in millicores and bytes. Prometheus expects cores and bytes.
PER_UNIT = {"cpu": 1000}


class Processes(Collector):
    """This process and those that offer their metrics in `folder`, each under its own label `process`."""

    def __init__(self, folder: Path, *, own: str = "web") -> None:
        self._folder, self._own = folder, own

    def collect(self) -> Iterable[Metric]:
        merged: dict[str, Metric] = {}
        up = GaugeMetricFamily("slipway_process_up", "Whether this process answers.", labels=["process"])
        _merge(merged, self._own, REGISTRY.collect())
        up.add_metric([self._own], 1)
        for process, text in peers.read_all(self._folder):
            if text is not None:
                _merge(merged, process, text_string_to_metric_families(text))
            up.add_metric([process], float(text is not None))
        return [up, *merged.values()]


def _merge(merged: dict[str, Metric], process: str, families: Iterable[Metric]) -> None:
    for family in families:
        # The time at which a series began is a family of its own in text, and none in memory. It is left out.
        samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
        if samples:
            into = merged.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            for sample in samples:
                into.add_sample(sample.name, {**sample.labels, "process": process}, sample.value)


class Database(Collector):
    """Gauges that are read during the scrape, one query each. Without the database, only `slipway_up 0`."""

    def collect(self) -> Iterable[Metric]:
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL statement_timeout = '{QUERY_SECONDS}s'")
                found = [metric for read in READERS for metric in read()]
        except (DatabaseError, InterfaceError) as error:
            log.warning("gauges_not_read", error=str(error).strip()[:200])
            connection.close()
            found = []
        up = GaugeMetricFamily("slipway_up", "Whether the database answers, and with it the gauges are here.")
        up.add_metric([], float(bool(found)))
        return [up, *found]


def _tenants() -> Iterator[Metric]:
    labels = ["tenant", "resource"]
    held = GaugeMetricFamily(
        "slipway_held", "What a tenant holds: cores, bytes, GPUs, clusters.", labels=labels
    )
    limit = GaugeMetricFamily(
        "slipway_limit", "What a tenant may hold; absent where there is no limit.", labels=labels
    )
    hidden = GaugeMetricFamily("slipway_tenants_not_shown", "Tenants beyond those whose amounts are shown.")
    rows = Limit.objects.filter(user=None).exclude(tenant__state=TenantState.DELETED)
    shown = rows.select_related("tenant").order_by("tenant_id")
    for row in shown[:MAX_TENANTS]:
        for resource in RESOURCES:
            per_unit, limited_to = PER_UNIT.get(resource, 1), row.limits[resource]
            held.add_metric([row.tenant.name, resource], row.held[resource] / per_unit)
            if limited_to is not None:
                limit.add_metric([row.tenant.name, resource], limited_to / per_unit)
    hidden.add_metric([], max(0, rows.count() - MAX_TENANTS))
    yield from (held, limit, hidden)


def _clusters() -> Iterator[Metric]:
    clusters = GaugeMetricFamily("slipway_clusters", "Clusters that are not deleted.", labels=["phase"])
    alive = Cluster.objects.exclude(phase=Phase.DELETED).order_by()
    counts = dict(alive.values_list("phase").annotate(Count("id")))
    for phase in Phase:
        if phase is not Phase.DELETED:
            clusters.add_metric([phase], counts.get(phase, 0))
    yield clusters


def _operations() -> Iterator[Metric]:
    live = GaugeMetricFamily("slipway_operations_live", "Operations that have not ended.", labels=["kind"])
    rows = Operation.objects.filter(state__in=LIVE).order_by()
    counts = dict(rows.values_list("kind").annotate(Count("id")))
    for verb in Verb:
        live.add_metric([verb], counts.get(verb, 0))
    yield live


def _work() -> Iterator[Metric]:
    due = GaugeMetricFamily("slipway_work_due", "Work items that are due and not leased.", labels=["kind"])
    lag = GaugeMetricFamily(
        "slipway_sweep_lag_seconds_current", "For how long the oldest of them has been due."
    )
    rows = Work.objects.filter(
        Q(lease_until__isnull=True) | Q(lease_until__lte=Now()), due_at__lte=Now()
    ).order_by()
    late = Max(Now() - Greatest("due_at", "lease_until"))
    longest = 0.0
    for kind, count, latest in rows.values_list("kind").annotate(count=Count("id"), late=late):
        due.add_metric([kind], count)
        longest = max(longest, latest.total_seconds())
    lag.add_metric([], longest)
    yield from (due, lag)


def _sites() -> Iterator[Metric]:
    ready = GaugeMetricFamily("slipway_site_ready", "The last verdict of a worker.", labels=["site", "kind"])
    rows = Site.objects.order_by("name").values_list("name", "kind", "ready")
    for name, kind, verdict in rows[:MAX_SITES]:
        ready.add_metric([name, kind], float(verdict))
    yield ready


READERS: tuple[Callable[[], Iterator[Metric]], ...] = (_tenants, _clusters, _operations, _work, _sites)
