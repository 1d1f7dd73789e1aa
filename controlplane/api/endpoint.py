"""An endpoint says in one place what it takes, answers and stores; behaviour and documentation follow from it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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
class Call:
    """One request, read: body and query are validated, if_match is the generation to compare with."""

    request: Request
    actor: Actor
    body: Json
    query: Json
    if_match: int | None = None

    def enter(self, tenant: str | UUID) -> Access:
        """The tenant in the URL, as the asker may enter it. Raises NotFound."""
        access = tenant_for(self.actor, tenant)
        # A refusal is audited for it, and need not look for it again.
        self.request.entered = access.tenant  # type: ignore[attr-defined]
        return access


Recheck = Callable[[Call, Path], None]


def _as_it_is(body: Any) -> Any:
    return body


def _unchecked(call: Call, path: Path) -> None:
    """For what belongs to the asker alone."""


@dataclass(frozen=True, slots=True)
class Operation:
    """What one method of one endpoint is.

    id: "cluster.create"; its first word groups the documentation. answers: status -> shape. recheck: raises if the
    asker may not do this any more; asked before a stored answer is repeated. redact: the body as it may be
    stored. skip_key: the request changes nothing, whatever its method. etag, location: headers of the answer.
    """

    id: str
    summary: str
    answers: Mapping[int, Answer]
    body: type[In] = In
    query: type[Query] = Query
    if_match: bool = False
    etag: bool = False
    location: bool = False
    recheck: Recheck = _unchecked
    redact: Callable[[Any], Any] = _as_it_is
    skip_key: Callable[[Call], bool] = field(default=lambda call: False)

    def read(self, request: Request) -> Call:
        """Raises Invalid and what the parser refuses."""
        takes_body = request.method not in _SAFE
        if takes_body and "Transfer-Encoding" in request.headers:
            # Without a length the body would be read as empty, and the request as another one.
            raise LengthRequired
        # Read as bytes before it is parsed: the fingerprint of a keyed request needs them.
        body = self.body(data=request.data if takes_body and request._request.body else {})
        body.is_valid(raise_exception=True)
        return Call(
            request=request,
            actor=actor_of(request),
            body=dict(body.validated_data),
            query=self.query().read(request.query_params),
            if_match=parse_if_match(request.headers.get("If-Match")) if self.if_match else None,
        )


def operation(id: str, summary: str, answers: Mapping[int, Answer], **more: Any) -> Callable[[_View], _View]:  # noqa: A002
    """Turns `method(self, call, **path)` into a handler that does what an Operation with these fields says."""
    described = Operation(id, summary, answers, **more)

    def decorate(method: _View) -> _View:
        @wraps(method)
        def handler(view: Any, request: Request, **path: str) -> Any:
            call = described.read(request)
            key = None if request.method in _SAFE else idempotency.key_of(request)
            if key is None or described.skip_key(call):
                return method(view, call, **path)
            return idempotency.once(
                request,
                key,
                lambda: method(view, call, **path),
                recheck=lambda: described.recheck(call, path),
                redact=described.redact,
            )

        handler.operation = described  # type: ignore[attr-defined]
        return handler  # type: ignore[return-value]

    return decorate


class LengthRequired(APIException):
    status_code = 411
    default_code = "length_required"
    default_detail = "Send the body with a Content-Length."


class Negotiation(BaseContentNegotiation):
    """One renderer an endpoint: the asker accepts what it makes, or gets 406."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        wanted = (request.content_type or "").split(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type == wanted), None)

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        [renderer] = renderers
        if not _accepts(request.headers.get("Accept", "*/*"), renderer.media_type):
            raise NotAcceptable(f"This answers {renderer.media_type}.")
        return renderer, renderer.media_type


def _accepts(header: str, media_type: str) -> bool:
    wanted = [item.split(";")[0].strip().lower() for item in header.split(",")]
    return not {media_type, f"{media_type.split('/')[0]}/*", "*/*", ""}.isdisjoint(wanted)


class Endpoint(APIView):
    http_method_names = ["get", "head", "post", "put", "patch", "delete"]
    content_negotiation_class = Negotiation

    def operation_of(self, method: str | None) -> Operation | None:
        name = "get" if method == "HEAD" else str(method).lower()
        return getattr(getattr(self, name, None), "operation", None)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        response.setdefault("Cache-Control", "no-store")
        return super().finalize_response(request, response, *args, **kwargs)


def answer(
    data: Any = None, *, status: int = 200, generation: int | None = None, location: str | None = None
) -> Response:
    headers = {} if generation is None else {"ETag": etag(generation)}
    if location is not None:
        headers["Location"] = location
    return Response(data, status=status, headers=headers)
