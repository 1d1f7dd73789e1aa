"""Problem documents of the middleware in front of the application. Imports no models, as ASGI loads it first."""

import json
import uuid
from typing import Any, Final

MEDIA_TYPE: Final = "application/problem+json"


def document(status: int, reason: str, title: str, detail: str) -> dict[str, Any]:
    return {
        "type": f"/problems/{reason.lower().replace('_', '-')}",
        "title": title,
        "status": status,
        "reason": reason,
        "detail": detail,
    }


def in_front(
    status: int, reason: str, title: str, detail: str, *, retry_after: int | None = None
) -> list[dict[str, Any]]:
    """The ASGI messages of a refusal. retry_after: seconds; None closes the connection."""
    found = document(status, reason, title, detail) | {"request_id": uuid.uuid4().hex}
    headers = [(b"content-type", MEDIA_TYPE.encode())]
    if retry_after is None:
        headers.append((b"connection", b"close"))
    else:
        found["retry_after"] = retry_after
        headers.append((b"retry-after", str(retry_after).encode()))
    return [
        {"type": "http.response.start", "status": status, "headers": headers},
        {"type": "http.response.body", "body": json.dumps(found).encode()},
    ]
