"""Tokens, admission and the audit log of the API server."""

import base64
import json
import ssl
from typing import Any
from urllib.request import Request, urlopen

import pytest

from deploy.devkube.settings import Devkube
from tests.kube.devkube.calls import apply, create, exec_in_pod, of, refused
from tests.kube.devkube.objects import ENDURE, pod, thing

pytestmark = [pytest.mark.kube, pytest.mark.timeout(120)]


def token_review(kube: Devkube, token: str, **spec: Any) -> dict[str, Any]:
    body = thing(
        "TokenReview", "", api="authentication.k8s.io/v1", spec={"token": token, **spec}, metadata={}
    )
    status: dict[str, Any] = create(kube, body)["status"]
    return status


def test_a_projected_token_is_valid_only_for_its_audience(kube: Devkube) -> None:
    token = exec_in_pod(kube, "one/web-0", "cat", "/token/token")
    assert token_review(kube, token, audiences=["vault"])["authenticated"] is True
    assert "authenticated" not in token_review(kube, token)


def test_the_keys_of_tokens_are_published(kube: Devkube) -> None:
    assert kube.kubectl("get", "--raw", "/.well-known/openid-configuration").count("jwks_uri") == 1
    assert json.loads(kube.kubectl("get", "--raw", "/openid/v1/jwks"))["keys"][0]["kty"] == "RSA"


def test_restricted_refuses_a_root_pod(kube: Devkube) -> None:
    said = refused(lambda: create(kube, pod("rooted", "one", ENDURE)))
    assert 'violates PodSecurity "restricted' in said


def test_a_limit_range_sets_defaults_and_a_quota_refuses(kube: Devkube) -> None:
    given = {"type": "Container", "default": {"memory": "32Mi"}, "max": {"memory": "64Mi"}}
    apply(
        kube,
        thing("Namespace", "three"),
        thing("ResourceQuota", "q", "three", spec={"hard": {"pods": "1"}}),
        thing("LimitRange", "l", "three", spec={"limits": [given]}),
        pod("first", "three", ENDURE),
    )
    assert of(kube, "three/pod/first", ".spec.containers[0].resources.limits.memory") == "32Mi"
    big = pod("big", "three", ENDURE, container={"resources": {"limits": {"memory": "65Mi"}}})
    assert "maximum memory usage" in refused(lambda: create(kube, big))
    assert "exceeded quota" in refused(lambda: create(kube, pod("second", "three", ENDURE)))


def test_every_call_is_in_the_audit_log_by_its_user_agent(kube: Devkube) -> None:
    config = json.loads(kube.kubeconfig.read_text())
    server, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    headers = {"Authorization": f"Bearer {user['token']}", "User-Agent": "counted/1"}
    authority = base64.b64decode(server["certificate-authority-data"]).decode()
    context = ssl.create_default_context(cadata=authority)
    request = Request(f"{server['server']}/api/v1/namespaces/one", headers=headers)  # noqa: S310
    for _ in range(3):
        with urlopen(request, context=context, timeout=5) as answer:  # noqa: S310
            answer.read()
    lines = [json.loads(line) for line in kube.audit_log.read_text().splitlines() if "counted/1" in line]
    assert [line["verb"] for line in lines] == ["get"] * 3
