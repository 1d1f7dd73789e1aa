"""Fields that take exactly what the schema says: they convert no types and trim no text."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

from drf_spectacular.drainage import set_override
from rest_framework import serializers

from controlplane.api.parsers import is_text
from tenants.amounts import parse
from tenants.errors import Invalid
from tenants.names import NAME_PATTERN, USERNAME_PATTERN, validate_name, validate_username

Schema = dict[str, Any]
_Field = serializers.Field[Any, Any, Any, Any]

NAME_SCHEMA: Final[Schema] = {"type": "string", "pattern": f"^{NAME_PATTERN}$", "examples": ["etl-1"]}
USERNAME_SCHEMA: Final[Schema] = {"type": "string", "pattern": f"^{USERNAME_PATTERN}$", "examples": ["bob"]}
_INTEGER = re.compile(r"-?[0-9]{1,15}")

_FRACTION: Final = r"(\.(25|5|75))?"
_CPU: Final = r"^([0-9]{1,6}(\.[0-9]{1,3})?|[0-9]{1,9}m)$"
_BYTES: Final = (
    f"^([0-9]{{1,18}}|[0-9]{{1,14}}{_FRACTION}(Ki|k)|[0-9]{{1,11}}{_FRACTION}(Mi|M)"
    f"|[0-9]{{1,8}}{_FRACTION}(Gi|G)|[0-9]{{1,5}}{_FRACTION}(Ti|T)|[0-9]{{1,2}}{_FRACTION}(Pi|P))$"
)
_COUNT_SCHEMA: Final[Schema] = {"type": "integer", "minimum": 0, "maximum": 1_000_000}
QUANTITIES: Final[dict[str, Schema]] = {
    "cpu": {
        "description": "CPU cores as a Kubernetes quantity.",
        "anyOf": [
            {"type": "string", "pattern": _CPU, "examples": ["500m", "2"]},
            {"type": "number", "minimum": 0, "maximum": 1_000_000, "multipleOf": 0.001},
        ],
    },
    "memory": {
        "description": "Bytes as a Kubernetes quantity.",
        "anyOf": [
            {"type": "string", "pattern": _BYTES, "examples": ["2Gi"]},
            {"type": "integer", "minimum": 0, "maximum": 2**60},
        ],
    },
    "gpu": _COUNT_SCHEMA,
    "clusters": _COUNT_SCHEMA,
}
QUANTITIES["storage"] = QUANTITIES["memory"]


def nullable(schema: Schema) -> Schema:
    return {"oneOf": [schema, {"type": "null"}]}


class Documented:
    """Mixin. The schema of the field is `documents`, or the argument `schema`."""

    documents: Schema = {}

    def __init__(self, *args: Any, schema: Schema | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        found = schema or self.documents
        if "enum" in found and kwargs.get("allow_null"):
            found = {**found, "enum": [*found["enum"], None]}
        if found:
            set_override(self, "field", found)


def _wrong(message: str) -> NoReturn:
    raise serializers.ValidationError(message)


class Text(Documented, serializers.CharField):
    """Text, without any change."""

    def __init__(self, *, most: int, least: int = 0, **kwargs: Any) -> None:
        self.most, self.least = most, least
        schema: Schema = {"type": "string", "maxLength": most, "pattern": "^[^\\u0000]*$"}
        if least:
            schema["minLength"] = least
        kwargs.setdefault("schema", schema)
        super().__init__(allow_blank=not least, **kwargs)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        if isinstance(data, str):
            return self.to_internal_value(data)
        return super().run_validation(data)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            _wrong("Must be text.")
        if not self.least <= len(data) <= self.most:
            _wrong(f"Must have {self.least} to {self.most} characters.")
        if not is_text(data):
            _wrong("Must have no NUL and no broken characters.")
        return data


class Name(Documented, serializers.Field[str, Any, str, Any]):
    documents = NAME_SCHEMA

    def to_internal_value(self, data: Any) -> str:
        return str(_apply(validate_name, data))

    def to_representation(self, value: str) -> str:
        return value


class Username(Name):
    documents = USERNAME_SCHEMA

    def to_internal_value(self, data: Any) -> str:
        return str(_apply(validate_username, data))


class Whole(Documented, serializers.Field[int, Any, int, Any]):
    """A whole number. digits: as text, in a query."""

    def __init__(self, *, least: int, most: int, digits: bool = False, **kwargs: Any) -> None:
        self.least, self.most, self.digits = least, most, digits
        kwargs.setdefault("schema", {"type": "integer", "minimum": least, "maximum": most})
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> int:
        number = self._number(data)
        if number is None or not self.least <= number <= self.most:
            _wrong(f"Must be a whole number from {self.least} to {self.most}.")
        return number

    def _number(self, data: Any) -> int | None:
        if self.digits:
            return int(data) if isinstance(data, str) and _INTEGER.fullmatch(data) else None
        if isinstance(data, float) and data.is_integer():
            return int(data)
        return data if isinstance(data, int) and not isinstance(data, bool) else None

    def to_representation(self, value: int) -> int:
        return value


class Flag(Documented, serializers.Field[bool, Any, bool, Any]):
    """true or false. words: as text, in a query."""

    documents = {"type": "boolean"}

    def __init__(self, *, words: bool = False, **kwargs: Any) -> None:
        self.choices: Mapping[Any, bool] = {"true": True, "false": False} if words else {}
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> bool:
        if isinstance(data, bool):
            return data
        if not isinstance(data, str) or data not in self.choices:
            _wrong("Must be true or false.")
        return self.choices[data]

    def to_representation(self, value: bool) -> bool:
        return value


class Moment(Documented, serializers.Field[datetime, Any, datetime, Any]):
    """A time in RFC 3339 format, with its offset."""

    documents = {"type": "string", "format": "date-time", "examples": ["2026-01-31T12:00:00Z"]}

    def to_internal_value(self, data: Any) -> datetime:
        try:
            found = datetime.fromisoformat(data)
            # Also refuses times that UTC, and so the database, cannot express.
            found.astimezone(UTC)
        except (TypeError, ValueError, OverflowError):
            _wrong("Must be a time such as 2026-01-31T12:00:00Z.")
        if found.tzinfo is None:
            _wrong("Must have an offset, such as the Z of 2026-01-31T12:00:00Z.")
        return found

    def to_representation(self, value: datetime) -> datetime:
        return value


class Choice(Documented, serializers.Field[str, Any, str, Any]):
    def __init__(self, choices: list[str], **kwargs: Any) -> None:
        self.words = choices
        kwargs.setdefault("schema", {"type": "string", "enum": choices})
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str) or data not in self.words:
            _wrong(f"Must be one of: {', '.join(self.words)}.")
        return data

    def to_representation(self, value: str) -> str:
        return value


class Quantity(Documented, serializers.Field[int, Any, str | int, Any]):
    """An amount of one resource: a quantity in JSON; millicores, bytes or a count in Python."""

    def __init__(self, resource: str, **kwargs: Any) -> None:
        self.resource = resource
        kwargs.setdefault("schema", QUANTITIES[resource])
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> int:
        try:
            return parse(self.resource, data)
        except Invalid as refusal:
            _wrong(refusal.detail)

    def to_representation(self, value: str | int) -> str | int:
        return value


class Tree(Documented, serializers.Field[Any, Any, Any, Any]):
    """JSON that a layer below validates. kind: the type of the outermost value."""

    def __init__(self, kind: type[dict[str, Any]] | type[list[Any]] = dict, **kwargs: Any) -> None:
        self.kind = kind
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, self.kind):
            _wrong("Must be an object." if self.kind is dict else "Must be a list.")
        return data

    def to_representation(self, value: Any) -> Any:
        return value


class Items(serializers.ListField):
    """A list. Its length is checked before its items are."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, list) and self.max_length is not None and len(data) > self.max_length:
            _wrong(f"Must have at most {self.max_length} items.")
        return super().to_internal_value(data)


def _apply(validate: Any, data: Any) -> Any:
    """Apply a rule of a layer below to this field."""
    try:
        return validate(data, "")
    except Invalid as refusal:
        _wrong(refusal.detail)
