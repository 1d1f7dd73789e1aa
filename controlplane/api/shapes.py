"""Base classes for the shapes of requests and answers."""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from django.http import QueryDict
from rest_framework import serializers

from controlplane.api.fields import Text, Whole
from tenants.errors import Invalid

MOST_UNKNOWN: Final = 10


class _Base(serializers.Serializer[Any]):
    """Makes its fields once per class, as they keep no state of a request."""

    @property
    def fields(self) -> Any:
        return _fields_of(type(self))

    @property
    def _writable_fields(self) -> Any:
        return [field for field in self.fields.values() if not field.read_only]


@cache
def _fields_of(shape: type[_Base]) -> Any:
    return super(_Base, shape()).fields


class In(_Base):
    """A body. Unknown fields are refused."""

    # Whether the body must have at least one field.
    not_empty = False

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, dict):
            raise serializers.ValidationError({"non_field_errors": ["Must be an object."]})
        unknown = [key for key in data if key not in self.fields]
        if unknown:
            raise serializers.ValidationError(self._unknown(unknown))
        if self.not_empty and not data:
            raise serializers.ValidationError({"non_field_errors": ["Name at least one field."]})
        return super().to_internal_value(data)

    def _unknown(self, keys: list[str]) -> dict[str, list[str]]:
        known = ", ".join(self.fields) or "none"
        errors = {key: [f"Unknown field. Known here: {known}."] for key in keys[:MOST_UNKNOWN]}
        if len(keys) > MOST_UNKNOWN:
            more = f"There are {len(keys)} unknown fields; the first {MOST_UNKNOWN} are named."
            errors["non_field_errors"] = [more]
        return errors


class Query(_Base):
    """Query parameters. Unknown and repeated ones are refused."""

    def read(self, given: QueryDict) -> dict[str, Any]:
        """The values by name. Raises Invalid with an error for each wrong parameter."""
        errors: dict[str, str] = {}
        known = ", ".join(self.fields) or "none"
        for name, values in given.lists():
            if name not in self.fields:
                errors[name] = f"Unknown parameter. Known here: {known}."
            elif len(values) > 1:
                errors[name] = "Give it once."
        if not errors:
            serializer = type(self)(data=given.dict())
            if serializer.is_valid():
                return dict(serializer.validated_data)
            errors = {
                name: str(found[0] if isinstance(found, list) else found)
                for name, found in serializer.errors.items()
            }
        raise bad_parameters(errors)


def bad_parameters(errors: Mapping[str, str]) -> Invalid:
    found: list[Any] = [{"parameter": name[:100], "detail": detail} for name, detail in errors.items()]
    return Invalid(errors=found)


class PageQuery(Query):
    page_size = Whole(least=1, most=200, digits=True, default=50)
    page_token = Text(most=1000, default="")


class Out(_Base):
    """An answer: it documents what the functions beside it build."""
