"""A client of the API with one bearer token, JSON in and out."""

import json
from dataclasses import dataclass
from typing import Any

from django.test import Client

from tenants.models import ApiToken, Tenant, User

ROOT = "/api/v1"
ACME = f"{ROOT}/tenants/acme"
PROBLEM = "application/problem+json"


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any
    headers: Any

    @property
    def reason(self) -> str:
        assert self.headers["Content-Type"] == PROBLEM, self.body
        return str(self.body["reason"])

    @property
    def pointers(self) -> list[str]:
        return [error["pointer"] for error in self.body["errors"]]


class Api:
    """token: "" sends no Authorization header. Headers are named as in HTTP, with _ for -."""

    def __init__(self, token: str = "") -> None:
        self.client = Client(raise_request_exception=True)
        self.token = token

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        url = path if path.startswith("/") else f"{ACME}/{path}" if path else ACME
        raw = body if isinstance(body, bytes | str) else b"" if body is None else json.dumps(body)
        response = self.client.generic(method, url, raw, content_type="application/json", headers=sent)
        return Answer(response.status_code, _body(response), response.headers)

    def get(self, path: str, **headers: str) -> Answer:
        return self.call("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self.call("POST", path, body, **headers)

    def put(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self.call("PUT", path, body, **headers)

    def delete(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self.call("DELETE", path, body, **headers)


def _body(response: Any) -> Any:
    raw = b"".join(response.streaming_content) if response.streaming else response.content
    kind = response.headers.get("Content-Type", "").split(";")[0]
    return json.loads(raw) if kind.endswith(("/json", "+json")) else raw


def a_token(user: User, *, scopes: list[str] | None = None, tenant: Tenant | None = None) -> str:
    _, secret = ApiToken.objects.create(user=user, name="test", scopes=scopes, tenant=tenant)  # type: ignore[no-untyped-call]
    return str(secret)


def as_user(user: User, **token: Any) -> Api:
    return Api(a_token(user, **token))
