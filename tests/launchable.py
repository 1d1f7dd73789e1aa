"""A tiny app, a template of it, and a fake site, for tests that launch clusters."""

from typing import Any

from controlplane.clusters.models import Cluster, Site
from controlplane.clusters.services import cluster_create
from controlplane.clusters.services.create import ClusterRequest
from templates import services
from templates.models import Template
from templates.parsing import parse_app
from templates.schema import App
from tenants.access import Access
from tenants.actors import system_actor

ENGINE: dict[str, Any] = {
    "format": 1,
    "name": "engine",
    "version": "1.0",
    "title": "Engine",
    "description": "Heads and hands.",
    "secrets": ["page"],
    "runtimes": {"plain": {}},
    "assets": [{"path": "hooks/yes", "content": "#!/bin/sh\n", "executable": True}],
    "roles": {
        "head": {
            "title": "Head",
            "runtime": "plain",
            "critical": True,
            "command": ["sleep", "1000"],
            "minimum": {"cpu": "100m", "memory": "64Mi"},
            "default": {"cpu": "500m", "memory": "1Gi"},
            "ports": {"web": 8080},
            "services": {
                "page": {"port": "web", "scheme": "http", "path": "/", "dashboard": True, "token": "page"},
                "metrics": {"port": "web", "metrics": ["/metrics"]},
            },
        },
        "hand": {
            "title": "Hand",
            "runtime": "plain",
            "min_count": 1,
            "max_count": 64,
            "command": ["sleep", "1000"],
            "minimum": {"cpu": "100m", "memory": "64Mi"},
            "default": {"cpu": "1", "memory": "2Gi"},
            "hooks": {"ready": "hooks/yes", "busy": "hooks/yes", "drain": "hooks/yes"},
        },
    },
}

TEMPLATE: dict[str, Any] = {
    "app": {"name": "engine", "version": "1.0"},
    "groups": [
        {"name": "head", "role": "head", "count": 1, "cpu": "500m", "memory": "1Gi", "storage": "1Gi"},
        {"name": "hand", "role": "hand", "count": 2, "cpu": "1", "memory": "2Gi"},
    ],
    "quick_launch": True,
}


def an_app() -> App:
    return parse_app(ENGINE)


def a_site(name: str = "fake", kind: str = "fake") -> Site:
    return Site.objects.create(name=name, kind=kind, ready=True, isolation="none")


def a_template(admin: Access, name: str = "pair") -> Template:
    """Registers the app, and publishes a template of it in the admin's tenant."""
    services.app_register(actor=system_actor(), app=an_app())
    services.template_create(access=admin, name=name, body=TEMPLATE)
    return services.template_publish(access=admin, template=name)


def a_cluster(member: Access, name: str = "one", **groups: int) -> Cluster:
    """Creates a cluster. groups: counts that differ from the template's, by group name."""
    counts = {group: {"count": count} for group, count in groups.items()}
    return cluster_create(access=member, name=name, request=ClusterRequest("pair", counts, {}))
