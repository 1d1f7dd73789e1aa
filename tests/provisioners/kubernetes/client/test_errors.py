"""How refusals of an API server become errors of the client."""

import json

import pytest

from controlplane.provisioners.base import NotYet, Permanent, Temporary
from controlplane.provisioners.kubernetes.client.errors import (
    AlreadyExists,
    Expired,
    Refusal,
    Unauthenticated,
)

QUOTA = 'pods "x" is forbidden: exceeded quota: tenant, requested: requests.cpu=1, used: requests.cpu=8'
UNCOUNTED = 'pods "x" is forbidden: status unknown for quota: tenant, resources: requests.cpu'
POD_SECURITY = 'pods "x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true'

CASES = [
    (400, "BadRequest", "no", "SITE_REJECTS", None),
    (403, "Forbidden", QUOTA, "SITE_QUOTA", 5.0),
    (403, "Forbidden", UNCOUNTED, "SITE_QUOTA", 5.0),
    (403, "Forbidden", POD_SECURITY, "SITE_FORBIDS", 30.0),
    (404, "NotFound", "the server could not find the requested resource", "SITE_LACKS", 5.0),
    (409, "Conflict", "the object has been modified", "SITE_CONFLICT", 0.5),
    (413, "RequestEntityTooLarge", "limit is 3145728", "SITE_REJECTS", None),
    (422, "Invalid", "metadata.name: Invalid value", "SITE_REJECTS", None),
    (429, "TooManyRequests", "slow down", "SITE_BUSY", 1.0),
    (500, "InternalError", "etcdserver: leader changed", "SITE_UNREACHABLE", 2.0),
    (503, "ServiceUnavailable", "shutting down", "SITE_UNREACHABLE", 2.0),
    (504, "Timeout", "timed out", "SITE_UNREACHABLE", 2.0),
    (302, "", "elsewhere", "SITE_UNREACHABLE", 2.0),
]


def refusal(status: int, reason: str = "", message: str = "no", **details: object) -> Refusal:
    said = {"kind": "Status", "reason": reason, "message": message, "details": details}
    return Refusal.read(status, {}, json.dumps(said).encode())


@pytest.mark.parametrize("status", [400, 403, 422, 500, 503])
def test_a_refusal_by_a_webhook_names_it_and_is_retried_later(status: int):
    error = refusal(status, "", 'admission webhook "w.example" denied the request: no').error()
    assert isinstance(error, NotYet)
    assert error.reason == "ADMISSION_DENIED"
    assert error.message.startswith("webhook w.example refuses: ")


def test_a_refusal_by_a_webhook_with_401_does_not_refuse_the_credentials():
    refused = refusal(401, "Unauthorized", 'admission webhook "w.example" denied the request: no')
    assert not refused.is_unauthenticated()
    assert refused.error().reason == "ADMISSION_DENIED"


@pytest.mark.parametrize("status", [500, 503])
def test_a_failure_of_a_webhook_names_it_and_is_not_an_unreachable_site(status: int):
    said = 'Internal error occurred: failed calling webhook "w.example": failed to call webhook: Post: EOF'
    error = refusal(status, "InternalError", said).error()
    assert isinstance(error, NotYet)
    assert (error.reason, error.message) == ("ADMISSION_FAILED", f"webhook w.example failed: {said}")


@pytest.mark.parametrize(
    ("status", "message"),
    [(401, "Unauthorized"), (403, 'pods is forbidden: User "system:anonymous" cannot list resource "pods"')],
)
def test_unknown_credentials_are_named(status: int, message: str):
    error = refusal(status, "Forbidden", message).error()
    assert isinstance(error, Unauthenticated)
    assert (error.reason, error.delay) == ("SITE_REFUSES_US", 5.0)
    assert error.message == f"the API server does not know our credentials: {message}"


@pytest.mark.parametrize(("status", "reason", "message", "ours", "delay"), CASES)
def test_each_refusal_has_its_reason_and_delay(
    status: int, reason: str, message: str, ours: str, delay: float | None
):
    error = refusal(status, reason, message).error()
    assert (error.reason, error.message) == (ours, message)
    assert (isinstance(error, Permanent), getattr(error, "delay", None)) == (delay is None, delay)


def test_an_object_that_exists_already_has_its_own_error():
    assert isinstance(refusal(409, "AlreadyExists").error(), AlreadyExists)


def test_a_forgotten_version_has_its_own_error():
    assert isinstance(refusal(410, "Expired").error(), Expired)


def test_a_terminating_namespace_is_retried_later():
    error = refusal(403, "Forbidden", causes=[{"reason": "NamespaceTerminating"}]).error()
    assert error.reason == "NAMESPACE_GOING"


def test_a_missing_namespace_is_retried_later():
    assert refusal(404, "NotFound", name="acme", kind="namespaces").error().reason == "NAMESPACE_GOING"


@pytest.mark.parametrize("status", [400, 403, 404, 409, 410, 413, 422])
@pytest.mark.parametrize("data", [b"", b"404 page not found", b"[]", b'{"kind": "Pod"}', b"\xff"])
def test_a_reply_that_is_no_status_means_an_unreachable_site(status: int, data: bytes):
    error = Refusal.read(status, {}, data).error()
    assert isinstance(error, Temporary)
    assert error.reason == "SITE_UNREACHABLE"


@pytest.mark.parametrize(
    "data", [b"", b"404 page not found", b"[]", b'{"kind": "Status", "reason": "NotFound"}']
)
def test_an_object_is_missing_only_if_the_api_names_it(data: bytes):
    assert not Refusal.read(404, {}, data).is_missing("node-0")


def test_a_missing_object_of_another_name_is_not_this_one():
    gone = refusal(404, "NotFound", name="acme", kind="namespaces")
    assert (gone.is_missing("acme"), gone.is_missing("node-0")) == (True, False)


@pytest.mark.parametrize(
    ("retry_after", "delay"), [("7", 7.0), ("0", 0.5), ("86400", 60.0), ("Fri, 1 Jan", 1.0)]
)
def test_retry_after_is_limited_to_a_minute(retry_after: str, delay: float):
    error = Refusal.read(429, {"Retry-After": retry_after}, b"").error()
    assert isinstance(error, Temporary)
    assert error.delay == delay


def test_long_messages_are_cut():
    assert len(refusal(500, "InternalError", "x" * 10_000).error().message) == 500
