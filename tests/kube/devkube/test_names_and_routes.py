"""Names and addresses of services and pods, and the routes between them."""

import pytest

from deploy.devkube.settings import Devkube
from tests.kube.devkube.calls import exec_in_pod, fetch, of, page, until

pytestmark = [pytest.mark.kube, pytest.mark.timeout(120)]


@pytest.mark.parametrize("name", ["web.one", "web.one.svc.cluster.local"])
def test_a_service_answers_by_name(kube: Devkube, name: str) -> None:
    assert page(kube, "two/cli", f"http://{name}/").startswith("web-")


def test_a_headless_service_names_each_pod(kube: Devkube) -> None:
    assert page(kube, "two/cli", "http://web-1.each.one.svc.cluster.local:8080/") == "web-1\n"


def test_a_headless_service_gives_all_addresses(kube: Devkube) -> None:
    said = exec_in_pod(kube, "two/cli", "nslookup", "-type=a", "each.one.svc.cluster.local")
    assert said.count(f"Address: {kube.pods.rpartition('.')[0]}.") == 2


def test_a_pod_reaches_itself_through_its_service(kube: Devkube) -> None:
    assert until(lambda: page(kube, "one/web-0", "http://web/") == "web-0\n")


def test_a_pod_reaches_the_api_server(kube: Devkube) -> None:
    assert exec_in_pod(kube, "two/cli", "nc", "-w", "3", "kubernetes.default", "443", "-e", "true") == ""


def test_the_machine_reaches_pods_services_and_node_ports(kube: Devkube) -> None:
    port = of(kube, "one/service/outside", ".spec.ports[0].nodePort")
    addresses = (
        of(kube, "one/service/web", ".spec.clusterIP"),
        f"{of(kube, 'one/pod/web-0', '.status.podIP')}:8080",
        f"{kube.link}.2:{port}",
    )
    assert all(fetch(f"http://{address}/").startswith("web-") for address in addresses)


def test_the_node_reaches_services(kube: Devkube) -> None:
    address = of(kube, "one/service/web", ".spec.clusterIP")
    assert page(kube, "two/on-node", f"http://{address}/").startswith("web-")


def test_pods_have_no_route_to_the_internet(kube: Devkube) -> None:
    routes = exec_in_pod(kube, "two/on-node", "ip", "route")
    assert kube.services in routes
    assert "default" not in routes
