"""The API calls that do what a page shows, as lines for a shell."""

import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from django.http import HttpRequest

BEARER: Final = '-H "Authorization: Bearer $SLIPWAY_TOKEN"'


@dataclass(frozen=True, slots=True)
class Call:
    """path: below /api/v1. body: None sends none. user: whose password curl asks for, instead of a token."""

    title: str
    path: str
    method: str = "GET"
    body: Mapping[str, Any] | None = field(default=None)
    user: str = ""


def curl_lines(request: HttpRequest, calls: Iterable[Call]) -> list[dict[str, str]]:
    """[{"title", "line"}]"""
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
