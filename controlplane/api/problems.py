"""RFC 9457 problem documents, the shape of every refusal and failure."""

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from rest_framework.request import Request

from controlplane.api.authentication import request_id_of
from controlplane.api.refusals import MEDIA_TYPE, document

__all__ = ["MEDIA_TYPE", "as_response", "problem"]


def problem(
    request: Request | HttpRequest,
    *,
    status: int,
    reason: str,
    title: str,
    detail: str,
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """reason: UPPER_SNAKE, stable. detail: a sentence. extra: further members, such as errors or levels."""
    return document(status, reason, title, detail) | {"request_id": request_id_of(request), **(extra or {})}


def as_response(found: Mapping[str, Any]) -> HttpResponse:
    """The response for failures outside of the REST framework."""
    return JsonResponse(found, status=found["status"], content_type=MEDIA_TYPE)
