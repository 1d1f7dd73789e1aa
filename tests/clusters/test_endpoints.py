"""Which services are listed with a link."""

import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from controlplane.clusters.endpoints import endpoints, is_there
from controlplane.clusters.models.site import SiteKind
from controlplane.clusters.queries.reads import ReadyNodes
from controlplane.clusters.read_model import ClusterRow
from templates.schema import Role, Service
from tests.provisioners.launching import app, cluster, desired, role

LOCAL, PODS = SiteKind.LOCAL, SiteKind.KUBERNETES
JOBS = Service("jobs", "web", "http", on_demand=True)
PAGE = Service("page", "web", "http")
# A cluster with only the fields that links need.
ROW = ClusterRow._make([None] * len(ClusterRow._fields))._replace(
    id="c", run=1, link_version=0, site_kind=LOCAL
)


@pytest.fixture
def at() -> Iterator[Role]:
    """A role whose port `web` listens on this machine during the test."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield replace(role(), ports={"web": server.getsockname()[1]}, services=(PAGE, JOBS))


@pytest.fixture
def closed(at: Role) -> Role:
    """The same role with a port on which nothing listens."""
    return replace(at, ports={"web": 1})


def links(at: Role, *, open_pages: bool = True) -> dict[str, tuple[bool, bool]]:
    """Service -> (it has a link, it is idle)."""
    launch = desired(cluster(), body=app(at)).launch
    ready = {"worker": ReadyNodes(1, "127.0.0.1")}
    found = endpoints(ROW, launch, ready, open_pages=open_pages)
    return {each["name"]: (each["url"] is not None, each["idle"]) for each in found}


def test_a_service_on_demand_is_listed_while_its_port_is_open(at: Role, closed: Role):
    assert is_there(LOCAL, at, JOBS, "127.0.0.1")
    assert not is_there(PODS, at, JOBS, "127.0.0.1")
    assert not is_there(LOCAL, at, JOBS, None)
    assert not is_there(LOCAL, closed, JOBS, "127.0.0.1")


@pytest.mark.parametrize("site_kind", [LOCAL, PODS])
def test_any_other_service_is_listed_with_its_node(closed: Role, site_kind: SiteKind):
    assert is_there(site_kind, closed, PAGE, "127.0.0.1")


def test_a_service_without_an_answer_has_no_link_and_is_idle(at: Role, closed: Role):
    assert links(at) == {"page": (True, False), "jobs": (True, False)}
    assert links(closed) == {"page": (True, False), "jobs": (False, True)}


def test_a_user_without_access_to_pages_gets_no_link(at: Role):
    assert links(at, open_pages=False) == {"page": (False, False), "jobs": (False, False)}
