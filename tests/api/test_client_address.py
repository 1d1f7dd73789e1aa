"""The address of a request is that of the connection, unless a trusted proxy names another."""

from ipaddress import ip_network

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory, override_settings

from controlplane.api.middleware import ClientAddressMiddleware

PROXIES = [ip_network("10.0.0.0/24"), ip_network("2001:db8::/64")]


def address_of(connection: str, forwarded: str = "") -> str:
    found: list[str] = []

    def view(request: HttpRequest) -> HttpResponse:
        found.append(request.META["REMOTE_ADDR"])
        return HttpResponse()

    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    request = RequestFactory().get("/", headers=headers, REMOTE_ADDR=connection)
    with override_settings(TRUSTED_PROXIES=PROXIES):
        ClientAddressMiddleware(view)(request)
    return found[0]


@pytest.mark.parametrize(
    ("connection", "forwarded", "address"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "203.0.113.5", "192.0.2.1"),
        ("10.0.0.7", "203.0.113.5", "203.0.113.5"),
        ("10.0.0.7", "1.1.1.1, 203.0.113.5", "203.0.113.5"),
        ("10.0.0.7", "203.0.113.5, 10.0.0.8", "203.0.113.5"),
        ("2001:db8::7", "2001:db8:1::5", "2001:db8:1::5"),
        ("10.0.0.7", "made up", "10.0.0.7"),
        ("10.0.0.7", "", "10.0.0.7"),
        ("", "203.0.113.5", ""),
    ],
)
def test_only_a_trusted_proxy_names_the_client_address(connection: str, forwarded: str, address: str) -> None:
    assert address_of(connection, forwarded) == address
