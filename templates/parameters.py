"""Settings of an app and parameters of a template. Each is one scalar with a small part of JSON Schema:

    type (boolean, integer, number, string) · enum · default · minimum, maximum · minLength, maxLength
    title, description · in templates also const with x-reason: the value is locked for that reason

An app declares every setting with a type and a default. A template narrows it: its bounds and choices must lie in those
of the app. All other keywords are refused; patterns and references could take a server's time without limit.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

from templates.placeholders import is_safe
from templates.reading import Fields, Value
from tenants.errors import Invalid

Schema = Mapping[str, Any]

TYPES: Final = ("boolean", "integer", "number", "string")
_WORDS: Final = ("title", "description")
_BOUNDS: Final = ("minimum", "maximum")
_LENGTHS: Final = ("minLength", "maxLength")
_SETTING: Final = ("type", "enum", "default", *_BOUNDS, *_LENGTHS, *_WORDS)
_LOCK: Final = ("const", "x-reason")
_LONGEST: Final = 1000
_LARGEST: Final = 10**15


def parse_setting(value: Value) -> Schema:
    """The schema of one setting of an app. Raises Invalid unless it has a type and a default that fits."""
    fields = value.fields(*_SETTING)
    kind = fields["type"].one_of(TYPES, "type")
    schema = {"type": kind} | _keywords(fields, kind)
    _checked_bounds(schema, value)
    schema["default"] = checked(schema, fields["default"])
    return schema


def narrow(setting: Schema, value: Value) -> Schema:
    """The schema of a parameter: the app's setting as the template narrows or locks it. Raises Invalid."""
    fields = value.fields(*_SETTING, *_LOCK)
    if "type" in fields and fields["type"].one_of(TYPES, "type") != setting["type"]:
        raise fields["type"].refused(
            f"The app's setting has the type {setting['type']}. Use that, or leave the type out."
        )
    stated = _keywords(fields, setting["type"])
    _check_narrower(setting, stated, fields)
    schema = {**setting, **stated}
    _checked_bounds(schema, value)
    return _locked(schema, fields) if "const" in fields else _with_default(schema, fields)


def checked(schema: Schema, value: Value) -> Any:
    """The raw value, if the schema allows it. Raises Invalid."""
    _typed(schema["type"], value)
    if is_locked(schema) and not _same(value.raw, schema["const"]):
        raise value.refused(f"Locked: {schema['x-reason']}")
    if "enum" in schema and not any(_same(value.raw, choice) for choice in schema["enum"]):
        raise value.refused(f"Must be one of: {', '.join(map(str, schema['enum']))}.")
    raw: Any = value.raw
    if "minimum" in schema and raw < schema["minimum"]:
        raise value.refused(f"Must be at least {schema['minimum']}.")
    if "maximum" in schema and raw > schema["maximum"]:
        raise value.refused(f"Must be at most {schema['maximum']}.")
    if "minLength" in schema and len(raw) < schema["minLength"]:
        raise value.refused(f"Must have at least {schema['minLength']} characters.")
    if "maxLength" in schema and len(raw) > schema["maxLength"]:
        raise value.refused(f"Must have at most {schema['maxLength']} characters.")
    return raw


def is_locked(schema: Schema) -> bool:
    return "const" in schema


def default_of(schema: Schema) -> Any:
    """The value in a launch whose request does not set it."""
    return schema["const"] if is_locked(schema) else schema["default"]


def _keywords(fields: Fields, kind: str) -> dict[str, Any]:
    """All keywords except the type, the default and those of a lock. Raises Invalid."""
    found: dict[str, Any] = {
        word: fields[word].text(longest=_LONGEST, shortest=0) for word in _WORDS if word in fields
    }
    for bound in _BOUNDS:
        if bound in fields:
            _only_for(fields[bound], kind in ("integer", "number"), "numbers")
            found[bound] = _typed(kind, fields[bound])
    for bound in _LENGTHS:
        if bound in fields:
            _only_for(fields[bound], kind == "string", "strings")
            found[bound] = fields[bound].integer(least=0, most=_LONGEST)
    if "enum" in fields:
        found["enum"] = [_typed(kind, choice) for choice in fields["enum"].items(least=1, most=100)]
    return found


def _only_for(value: Value, fits: bool, what: str) -> None:
    if not fits:
        raise value.refused(f"Only {what} can have this.")


def _typed(kind: str, value: Value) -> Any:
    """The raw value, if it is of this type. Raises Invalid."""
    if kind == "boolean":
        return value.boolean()
    if kind == "integer":
        return value.integer(least=-_LARGEST, most=_LARGEST)
    if kind == "number":
        number = value.raw
        if (
            isinstance(number, bool)
            or not isinstance(number, int | float)
            or not math.isfinite(number)
            or abs(number) > _LARGEST
        ):
            raise value.refused(f"Must be a number from -{_LARGEST} to {_LARGEST}.")
        return number
    text = value.raw
    if not isinstance(text, str) or len(text) > _LONGEST or not is_safe(text):
        raise value.refused(
            f"Must be one line of text, at most {_LONGEST} characters, without control characters."
        )
    return text


def _same(one: Any, other: Any) -> bool:
    """Whether the values are equal in JSON, where true is not 1."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _checked_bounds(schema: Schema, value: Value) -> None:
    for least, most in (_BOUNDS, _LENGTHS):
        if least in schema and most in schema and schema[least] > schema[most]:
            raise value.refused(f"{least} must not be more than {most}.")


def _check_narrower(setting: Schema, stated: Mapping[str, Any], fields: Fields) -> None:
    """Raises Invalid unless the template allows only values that the app allows."""
    for least, most in (_BOUNDS, _LENGTHS):
        if least in stated and stated[least] < setting.get(least, stated[least]):
            raise fields[least].refused(f"Must be at least {setting[least]}, the {least} of the app.")
        if most in stated and stated[most] > setting.get(most, stated[most]):
            raise fields[most].refused(f"Must be at most {setting[most]}, the {most} of the app.")
    if "enum" in stated:
        for choice in fields["enum"].items(most=100):
            checked(setting, choice)


def _locked(schema: Schema, fields: Fields) -> Schema:
    if "default" in fields:
        raise fields["default"].refused(
            "A locked parameter has no default; const is its value. Leave the default out."
        )
    reason = fields["x-reason"].text(longest=300)
    unlocked = {key: value for key, value in schema.items() if key != "default"}
    return unlocked | {"const": checked(unlocked, fields["const"]), "x-reason": reason}


def _with_default(schema: Schema, fields: Fields) -> Schema:
    if "x-reason" in fields:
        raise fields["x-reason"].refused("Only a parameter with const can have x-reason.")
    if "default" in fields:
        return {**schema, "default": checked(schema, fields["default"])}
    try:
        checked(schema, fields.whole.at("default", schema["default"]))
    except Invalid:
        raise fields.whole.refused(
            "The default of the app is not allowed here. Add a default that is."
        ) from None
    return schema
