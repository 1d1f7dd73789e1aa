"""Settings of an app and parameters of a template: a small, closed part of JSON Schema for one scalar each.

    type (boolean, integer, number, string) · enum · default · minimum, maximum · minLength, maxLength
    title, description, and in templates const with x-reason: the value is locked, and that is why

An app declares every setting with a type and a default. A template narrows: its bounds and choices lie within
the app's. Whatever else JSON Schema knows is refused: patterns and references cost time that others pay for.
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
    """One setting of an app: with a type, and with a default that fits it."""
    fields = value.fields(*_SETTING)
    kind = fields["type"].one_of(TYPES, "type")
    schema = {"type": kind} | _keywords(fields, kind)
    _checked_bounds(schema, value)
    schema["default"] = checked(schema, fields["default"])
    return schema


def narrow(setting: Schema, value: Value) -> Schema:
    """The schema of a parameter: the app's setting as a template narrows or locks it."""
    fields = value.fields(*_SETTING, *_LOCK)
    if "type" in fields and fields["type"].one_of(TYPES, "type") != setting["type"]:
        raise fields["type"].refused(f"The app says {setting['type']}.")
    stated = _keywords(fields, setting["type"])
    _within(setting, stated, fields)
    schema = {**setting, **stated}
    _checked_bounds(schema, value)
    return _locked(schema, fields) if "const" in fields else _open(schema, fields)


def checked(schema: Schema, value: Value) -> Any:
    """The value as it is, if the schema allows it."""
    _typed(schema["type"], value)
    if is_locked(schema) and not _same(value.raw, schema["const"]):
        raise value.refused(f"Locked: {schema['x-reason']}")
    if "enum" in schema and not any(_same(value.raw, choice) for choice in schema["enum"]):
        raise value.refused(f"Must be one of: {', '.join(map(str, schema['enum']))}.")
    _bounded(schema, value)
    return value.raw


def is_locked(schema: Schema) -> bool:
    return "const" in schema


def default_of(schema: Schema) -> Any:
    """What a launch gets that says nothing."""
    return schema["const"] if is_locked(schema) else schema["default"]


def _keywords(fields: Fields, kind: str) -> dict[str, Any]:
    """Everything but the type, the default and the lock."""
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
        raise value.refused(f"This is for {what} alone.")


def _typed(kind: str, value: Value) -> Any:
    if kind == "boolean":
        return value.boolean()
    if kind == "integer":
        return value.integer(least=-_LARGEST, most=_LARGEST)
    if kind == "number":
        return _number(value)
    text = value.raw
    if not isinstance(text, str) or len(text) > _LONGEST or not is_safe(text):
        raise value.refused(
            f"Must be one line of text, at most {_LONGEST} characters, without control characters."
        )
    return text


def _number(value: Value) -> int | float:
    number = value.raw
    if isinstance(number, bool) or not isinstance(number, int | float) or not _is_bounded(number):
        raise value.refused(f"Must be a number from -{_LARGEST} to {_LARGEST}.")
    return number


def _is_bounded(number: float) -> bool:
    return math.isfinite(number) and abs(number) <= _LARGEST


def _same(one: Any, other: Any) -> bool:
    """Equal as in JSON, where true is not 1."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _bounded(schema: Schema, value: Value) -> None:
    raw: Any = value.raw
    if "minimum" in schema and raw < schema["minimum"]:
        raise value.refused(f"Must be at least {schema['minimum']}.")
    if "maximum" in schema and raw > schema["maximum"]:
        raise value.refused(f"Must be at most {schema['maximum']}.")
    if "minLength" in schema and len(raw) < schema["minLength"]:
        raise value.refused(f"Must have at least {schema['minLength']} characters.")
    if "maxLength" in schema and len(raw) > schema["maxLength"]:
        raise value.refused(f"Must have at most {schema['maxLength']} characters.")


def _checked_bounds(schema: Schema, value: Value) -> None:
    for least, most in (_BOUNDS, _LENGTHS):
        if least in schema and most in schema and schema[least] > schema[most]:
            raise value.refused(f"{least} is more than {most}.")


def _within(setting: Schema, stated: Mapping[str, Any], fields: Fields) -> None:
    """What a template states lies inside of what the app allows."""
    for least, most in (_BOUNDS, _LENGTHS):
        if least in stated and stated[least] < setting.get(least, stated[least]):
            raise fields[least].refused(f"The app's own {least} is {setting[least]}.")
        if most in stated and stated[most] > setting.get(most, stated[most]):
            raise fields[most].refused(f"The app's own {most} is {setting[most]}.")
    if "enum" in stated:
        for choice in fields["enum"].items(most=100):
            checked(setting, choice)


def _locked(schema: Schema, fields: Fields) -> Schema:
    if "default" in fields:
        raise fields["default"].refused("A locked parameter has no default of its own: const is its value.")
    reason = fields["x-reason"].text(longest=300)
    unlocked = {key: value for key, value in schema.items() if key != "default"}
    return unlocked | {"const": checked(unlocked, fields["const"]), "x-reason": reason}


def _open(schema: Schema, fields: Fields) -> Schema:
    if "x-reason" in fields:
        raise fields["x-reason"].refused("A reason belongs to a const.")
    if "default" in fields:
        return {**schema, "default": checked(schema, fields["default"])}
    try:
        checked(schema, fields.whole.at("default", schema["default"]))
    except Invalid:
        raise fields.whole.refused("The app's own default is outside of this: state a default.") from None
    return schema
