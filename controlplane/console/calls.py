"""The API calls that do the same as a page, as curl commands."""

import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from django.http import HttpRequest

BEARER: Final = '-H "Authorization: Bearer $SLIPWAY_TOKEN"'


@dataclass(frozen=True, slots=True)
class Call:
    """One API call. path: below /api/v1. body: None for no body. user: curl asks for this user's password, in place of
    sending a token.
    """

    title: str
    path: str
    method: str = "GET"
    body: Mapping[str, Any] | None = field(default=None)
    user: str = ""


def curl_lines(request: HttpRequest, calls: Iterable[Call]) -> list[dict[str, str]]:
    """The calls as [{"title", "line"}], with the address at which this request arrived."""
    root = request.build_absolute_uri("/api/v1")
    return [{"title": call.title, "line": _line(root, call)} for call in calls]


def _line(root: str, call: Call) -> str:
    parts = ["curl"] if call.method == "GET" else ["curl", "-X", call.method]
    parts.append(f"-u {shlex.quote(call.user)}" if call.user else BEARER)
    if call.body is not None:
        body = json.dumps(call.body, ensure_ascii=False)
        parts += ["-H", "'Content-Type: application/json'", "-d", shlex.quote(body)]
    parts.append(shlex.quote(root + call.path))
    return " ".join(parts)
