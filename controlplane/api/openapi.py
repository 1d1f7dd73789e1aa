"""OpenAPI 3.1 from the MethodSpecs of the endpoints, with every error of every method."""

from functools import cache
from typing import Any, Final

from drf_spectacular.openapi import AutoSchema as Spectacular
from drf_spectacular.plumbing import ResolvedComponent
from rest_framework import serializers

from controlplane.api.authentication import PasswordAuthentication
from controlplane.api.converters import IDENT
from controlplane.api.endpoint import MethodSpec
from controlplane.api.idempotency import HEADER, KEY_PATTERN, MOST_KEPT
from controlplane.api.problems import MEDIA_TYPE
from controlplane.api.shapes import In, Out

_UUID: Final = {"type": "string", "format": "uuid"}
_TEXT: Final = {"type": "string"}
_MEANINGS: Final = {
    400: "Malformed or invalid; `errors` points at each fault.",
    401: "No token, or one that is unknown, expired or revoked.",
    403: "The role or the scope is missing; the answer names it.",
    404: "Nothing here has this name or id, or you may not see it.",
    405: "This path has no such method.",
    406: "`Accept` allows none of what is answered here.",
    409: "The current state does not allow this: see `reason`, and `levels` for quota.",
    411: "The body came without a Content-Length.",
    412: "It has changed since you read it.",
    413: "The body is larger than 1 MiB.",
    415: "The body is not application/json.",
    422: "This Idempotency-Key was used for a different request.",
    429: "Too many wrong tokens from this address, or wrong passwords for this name; see Retry-After.",
    500: "Something went wrong here; it is in the log under `request_id`.",
    503: "Busy or not reachable at the moment; see Retry-After.",
}
_ALWAYS: Final = (400, 401, 403, 404, 405, 406, 429, 500, 503)
_WRITING: Final = (409, 411, 413, 415, 422)
_READING: Final = frozenset({"GET", "HEAD"})

_PROBLEM: Final = {
    "type": "object",
    "description": "RFC 9457. `reason` is stable; further members depend on it.",
    "required": ["type", "title", "status", "reason", "detail", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": _TEXT,
        "status": {"type": "integer"},
        "reason": {"type": "string", "pattern": "^[A-Z][A-Z0-9_]*$"},
        "detail": _TEXT,
        "request_id": _TEXT,
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["detail"],
                "properties": {
                    "pointer": {
                        "type": "string",
                        "description": "JSON pointer into the body; empty for the whole body.",
                    },
                    "parameter": {"type": "string", "description": "Name of a query parameter."},
                    "header": {"type": "string", "description": "Name of a header."},
                    "detail": _TEXT,
                },
            },
        },
        "levels": {"type": "array", "items": {"type": "object"}},
        "would_fit_if_stopped": {"type": "array", "items": {"type": "object"}},
        "operation": {"type": "object"},
        "used_by": {"type": "array", "items": {"type": "object"}},
        "role": _TEXT,
        "scope": _TEXT,
        "granted_by": _TEXT,
        "retry_after": {"type": "integer"},
    },
}

_PATHS: Final = {
    "tenant": "Name or id of the tenant.",
    "cluster": "Name or id of the cluster; a deleted one by id only.",
    "template": "Name or id of the template.",
    "node": "Name of the node.",
    "user": "User name.",
    "operation": "Id of the operation.",
    "token": "Id of the token.",
    "revision": "Number of the revision.",
}


class AutoSchema(Spectacular):
    @property
    def spec(self) -> MethodSpec:
        view: Any = self.view
        found: MethodSpec | None = view.spec_of(self.method)
        if found is None:
            raise TypeError(f"{type(self.view).__name__} has no @method for {self.method}")
        return found

    def get_operation_id(self) -> str:
        return self.spec.id

    def get_summary(self) -> str:
        return self.spec.summary

    def get_description(self) -> str:  # type: ignore[override]
        method = getattr(self.view, self.method.lower())
        return " ".join((method.__doc__ or "").split())

    def get_tags(self) -> list[str]:
        return [self.spec.id.split(".")[0]]

    def get_auth(self) -> list[dict[str, list[str]]]:
        takes_password = self.method == "POST" and self.view.authentication_classes == [
            PasswordAuthentication
        ]
        ways: list[dict[str, list[str]]] = [{"bearer": []}]
        return [*ways, {"password": []}] if takes_password else ways

    def get_request_serializer(self) -> Any:
        return self.spec.body if self.spec.body is not In and self.method not in _READING else None

    def _get_request_body(self, direction: str = "request") -> Any:
        body = super()._get_request_body(direction)  # type: ignore[no-untyped-call]
        if body:
            serializer = self.spec.body()
            body["required"] = serializer.not_empty or any(f.required for f in serializer.fields.values())
        return body

    def _get_parameters(self) -> list[dict[str, Any]]:
        return [*self._path_parameters(), *self._query_parameters(), *self._header_parameters()]

    def _path_parameters(self) -> list[dict[str, Any]]:
        names = [part.split("}")[0] for part in self.path.split("{")[1:]]
        return [
            {
                "in": "path",
                "name": name,
                "required": True,
                "description": _PATHS[name],
                "schema": {"type": "string", "pattern": f"^{IDENT}$"},
            }
            for name in names
        ]

    def _query_parameters(self) -> list[dict[str, Any]]:
        serializer = self.spec.query()
        return [
            {
                "in": "query",
                "name": name,
                **({"required": True} if field.required else {}),
                **({"description": str(field.help_text)} if field.help_text else {}),
                "schema": self._with_default(field),
            }
            for name, field in serializer.fields.items()
        ]

    def _with_default(self, field: Any) -> dict[str, Any]:
        schema = dict(self._map_serializer_field(field, "request"))  # type: ignore[no-untyped-call]
        if field.default in (serializers.empty, ""):
            # No default, as an enum has no empty value; leaving the parameter out means the same.
            schema.pop("default", None)
        else:
            schema["default"] = field.default
        return schema

    def _header_parameters(self) -> list[dict[str, Any]]:
        found = []
        if self.spec.if_match:
            tag = {"type": "string", "pattern": '^("[0-9]{1,18}"|[*])$', "examples": ['"3"']}
            found.append(_header("If-Match", "Change only this generation, as the ETag names it.", tag))
        if self.method not in _READING:
            key = {"type": "string", "pattern": f"^{KEY_PATTERN}$"}
            text = (
                "A request that is sent twice in 24 hours with the same key is executed once and answered the same. "
                f"The last {MOST_KEPT} keys of a user are kept."
            )
            found.append(_header(HEADER, text, key))
        return found

    def _get_response_bodies(self, direction: str = "response") -> dict[str, Any]:
        return self._successes() | {str(code): self._failure(code) for code in self._codes()}

    def _successes(self) -> dict[str, Any]:
        found = {}
        for code, shape in sorted(self.spec.answers.items()):
            body = self._shape(shape, code)
            headers = _answer_headers(self.spec, code)
            found[str(code)] = body | ({"headers": headers} if headers else {})
        return found

    def _shape(self, shape: Any, code: int) -> dict[str, Any]:
        if shape is None:
            return {"description": ""}
        body: dict[str, Any] = self._get_response_for_code(shape, str(code))  # type: ignore[no-untyped-call]
        return body

    def _codes(self) -> list[int]:
        codes = set(_ALWAYS)
        if self.method not in _READING:
            codes |= set(_WRITING)
        if self.spec.if_match:
            codes.add(412)
        return sorted(codes)

    def _failure(self, code: int) -> dict[str, Any]:
        problem = ResolvedComponent(  # type: ignore[no-untyped-call]
            name="Problem", type=ResolvedComponent.SCHEMA, schema=_PROBLEM, object="Problem"
        )
        self.registry.register_on_missing(problem)
        found: dict[str, Any] = {
            "description": _MEANINGS[code],
            "content": {MEDIA_TYPE: {"schema": problem.ref}},
        }
        if code == 401:
            found["headers"] = {"WWW-Authenticate": {"schema": _TEXT, "required": True}}
        if code in (429, 503):
            found["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "required": True}}
        return found

    def _map_basic_serializer(self, serializer: Any, direction: str) -> Any:
        schema = super()._map_basic_serializer(serializer, direction)  # type: ignore[no-untyped-call]
        if isinstance(serializer, In):
            schema["additionalProperties"] = False
            if serializer.not_empty:
                schema["minProperties"] = 1
        return schema

    def _is_list_view(self, serializer: Any = None) -> bool:
        return False


@cache
def page_shape(name: str, row: type[Out]) -> type[Out]:
    """The shape of a page of `row`. The class is made once, as OpenAPI names it."""
    fields = {"items": row(many=True), "next_page_token": serializers.CharField(allow_blank=True)}
    return type(f"{name}Page", (Out,), fields)


def _header(name: str, text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"in": "header", "name": name, "description": text, "schema": schema}


def _answer_headers(spec: MethodSpec, code: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    # With 200 beside another status, 200 is the plan of validate_only.
    is_plan = code == 200 and len(spec.answers) > 1
    if spec.etag and code != 204 and not is_plan:
        found["ETag"] = {"schema": {"type": "string"}, "required": True, "description": "The generation."}
    if spec.location and code == 201:
        found["Location"] = {"schema": {"type": "string", "format": "uri-reference"}, "required": True}
    return found
