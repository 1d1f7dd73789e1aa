"""The services that are listed with a link."""

import socket
from dataclasses import replace

import pytest

from controlplane.clusters.endpoints import is_there
from controlplane.clusters.models.site import SiteKind
from templates.schema import Service
from tests.provisioners.launching import role

LOCAL, PODS = SiteKind.LOCAL, SiteKind.KUBERNETES


def test_a_service_on_demand_is_there_while_its_port_is_open():
    service = Service("jobs", "web", "http", on_demand=True)
    with socket.create_server(("127.0.0.1", 0)) as server:
        at = replace(role(), ports={"web": server.getsockname()[1]})
        assert is_there(LOCAL, at, service, "127.0.0.1")
        assert not is_there(PODS, at, service, "127.0.0.1")
        assert not is_there(LOCAL, at, service, None)
    assert not is_there(LOCAL, at, service, "127.0.0.1")


@pytest.mark.parametrize("site_kind", [LOCAL, PODS])
def test_any_other_service_is_there_with_its_node(site_kind: SiteKind):
    at = replace(role(), ports={"web": 1})
    assert is_there(site_kind, at, Service("page", "web", "http"), "127.0.0.1")
