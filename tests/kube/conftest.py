"""Fixtures of the kube tests. The summary of a run names the Kubernetes that they used."""

import os

import pytest

from deploy.tooling.providers import KUBECONFIG, kubernetes_in_use
from tests.kube.cluster import kubeconfig
from tests.kube.images import images
from tests.kube.registry import registry

__all__ = ["images", "kubeconfig", "registry"]

# With another Kubernetes no devkube is needed, and the machine may be unable to run one.
collect_ignore = ["devkube"] if os.environ.get(KUBECONFIG) else []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    stats = terminalreporter.stats
    reports = [report for outcome in ("passed", "failed", "error") for report in stats.get(outcome, ())]
    if any(("tier", "kube") in report.user_properties for report in reports):
        terminalreporter.write_line(f"kube tests use {kubernetes_in_use()}")
