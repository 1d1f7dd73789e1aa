"""Endpoints of the API: each method declares what it takes and answers.

Validation, idempotency and the OpenAPI document all follow from that declaration, a `MethodSpec`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, Final, TypeVar
from uuid import UUID

from rest_framework.exceptions import APIException, NotAcceptable
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from controlplane.api import idempotency
from controlplane.api.authentication import actor_of
from controlplane.api.etag import etag, parse_if_match
from controlplane.api.shapes import In, Query
from tenants.access import Access, tenant_for
from tenants.actors import Actor

Json = dict[str, Any]
# A serializer class or an OpenAPI schema; None: no body.
Answer = Any
Path = Mapping[str, str]
_View = TypeVar("_View", bound=Callable[..., Any])

_SAFE: Final = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class ApiCall:
    """One request. body and query are validated. if_match: the generation to compare with, None for any."""

    request: Request
    actor: Actor
    body: Json
    query: Json
    if_match: int | None = None

    def enter(self, tenant: str | UUID) -> Access:
        """The access of the user to the tenant in the URL. Raises NotFound."""
        access = tenant_for(self.actor, tenant)
        # Refusals are audited for this tenant, without another query.
        self.request.entered = access.tenant  # type: ignore[attr-defined]
        return access


Recheck = Callable[[ApiCall, Path], None]


@dataclass(frozen=True, slots=True)
class MethodSpec:
    """The declaration of one method of one endpoint.

    id: such as "cluster.create"; its first word groups the documentation. answers: status -> shape.
    recheck: raises if the user may not do this any more; called before a stored answer is repeated. The default, for
    what belongs to the user alone, never raises.
    redact: returns the body as it may be stored. skip_key: whether the request changes nothing, whatever its method.
    etag, location: whether the answer has these headers.
    """

    id: str
    summary: str
    answers: Mapping[int, Answer]
    body: type[In] = In
    query: type[Query] = Query
    if_match: bool = False
    etag: bool = False
    location: bool = False
    recheck: Recheck = lambda call, path: None
    redact: Callable[[Any], Any] = lambda body: body
    skip_key: Callable[[ApiCall], bool] = lambda call: False

    def read(self, request: Request) -> ApiCall:
        """The request, validated. Raises Invalid, and the parser's errors."""
        takes_body = request.method not in _SAFE
        if takes_body and "Transfer-Encoding" in request.headers:
            # Without a length the body would be read as empty, and mean something else.
            raise LengthRequired
        # The bytes are read before they are parsed, because the fingerprint of a keyed request needs them.
        body = self.body(data=request.data if takes_body and request._request.body else {})
        body.is_valid(raise_exception=True)
        return ApiCall(
            request=request,
            actor=actor_of(request),
            body=dict(body.validated_data),
            query=self.query().read(request.query_params),
            if_match=parse_if_match(request.headers.get("If-Match")) if self.if_match else None,
        )


def method(id: str, summary: str, answers: Mapping[int, Answer], **more: Any) -> Callable[[_View], _View]:  # noqa: A002
    """Decorator: makes a handler with a MethodSpec of these fields from `function(self, call, **path)`."""
    spec = MethodSpec(id, summary, answers, **more)

    def decorate(function: _View) -> _View:
        @wraps(function)
        def handler(view: Any, request: Request, **path: str) -> Any:
            call = spec.read(request)
            key = None if request.method in _SAFE else idempotency.key_of(request)
            if key is None or spec.skip_key(call):
                return function(view, call, **path)
            return idempotency.once(
                request,
                key,
                lambda: function(view, call, **path),
                recheck=lambda: spec.recheck(call, path),
                redact=spec.redact,
            )

        handler.spec = spec  # type: ignore[attr-defined]
        return handler  # type: ignore[return-value]

    return decorate


class LengthRequired(APIException):
    status_code = 411
    default_code = "length_required"
    default_detail = "Send the body with a Content-Length."


class Negotiation(BaseContentNegotiation):
    """Each endpoint has one renderer; a client that does not accept its media type gets 406."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        wanted = (request.content_type or "").split(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type == wanted), None)

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        [renderer] = renderers
        offered = {renderer.media_type, f"{renderer.media_type.split('/')[0]}/*", "*/*", ""}
        header = request.headers.get("Accept", "*/*")
        if offered.isdisjoint(item.split(";")[0].strip().lower() for item in header.split(",")):
            raise NotAcceptable(f"This answers {renderer.media_type}.")
        return renderer, renderer.media_type


class Endpoint(APIView):
    http_method_names = ["get", "head", "post", "put", "patch", "delete"]
    content_negotiation_class = Negotiation

    def spec_of(self, method: str | None) -> MethodSpec | None:
        name = "get" if method == "HEAD" else str(method).lower()
        return getattr(getattr(self, name, None), "spec", None)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        response.setdefault("Cache-Control", "no-store")
        return super().finalize_response(request, response, *args, **kwargs)


def answer(
    data: Any = None, *, status: int = 200, generation: int | None = None, location: str | None = None
) -> Response:
    """generation, location: of the headers ETag and Location."""
    headers = {} if generation is None else {"ETag": etag(generation)}
    if location is not None:
        headers["Location"] = location
    return Response(data, status=status, headers=headers)
