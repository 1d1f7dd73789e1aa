"""Requests the metrics page and parses it into samples by name and labels."""

from django.http import HttpResponse
from django.test import RequestFactory, override_settings
from prometheus_client.parser import text_string_to_metric_families

from controlplane.monitoring.views import metrics

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


TOKEN = "scraped-with-this"


def ask(**headers: str) -> HttpResponse:
    """Requests the metrics page. headers: names with _ in place of -."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    with override_settings(METRICS_TOKEN=TOKEN):
        return metrics(RequestFactory().get("/metrics", headers=sent))


def text() -> str:
    return ask(Authorization=f"Bearer {TOKEN}").content.decode()


def scrape() -> Samples:
    return samples(text())


def samples(exposed: str) -> Samples:
    families = list(text_string_to_metric_families(exposed))
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float | None:
    return found.get((name, frozenset(labels.items())))


def names(found: Samples) -> set[str]:
    return {name for name, _ in found}
