"""JSON Schema of templates, for the documentation. `templates.revision` validates them."""

from typing import Any, Final

from controlplane.api.fields import NAME_SCHEMA, QUANTITIES, nullable
from templates.parameters import TYPES
from templates.roles import SIZES

Schema = dict[str, Any]

_COUNT: Final[Schema] = {"type": "integer", "minimum": 0, "maximum": 1000}
_SIZES: Final[dict[str, Schema]] = {size: QUANTITIES[size] for size in SIZES}
_BOUNDS: Final[dict[str, Schema]] = {
    f"{end}_{name}": schema for end in ("min", "max") for name, schema in {"count": _COUNT, **_SIZES}.items()
}
_SCALAR: Final[Schema] = {"type": ["boolean", "number", "string"]}

APP: Final[Schema] = {
    "type": "object",
    "required": ["name", "version"],
    "additionalProperties": False,
    "properties": {
        "name": NAME_SCHEMA,
        "version": {"type": "string", "pattern": "^[0-9A-Za-z][0-9A-Za-z._+-]{0,63}$"},
    },
}
GROUPS: Final[Schema] = {
    "type": "array",
    "minItems": 1,
    "maxItems": 20,
    "items": {
        "type": "object",
        "required": ["name", "role"],
        "additionalProperties": False,
        "properties": {"name": NAME_SCHEMA, "role": NAME_SCHEMA, "count": _COUNT, **_SIZES, **_BOUNDS},
    },
}
# What a launch may choose for each group.
CHOSEN_GROUPS: Final[Schema] = {
    "type": "object",
    "maxProperties": 20,
    "propertyNames": {"pattern": NAME_SCHEMA["pattern"]},
    "additionalProperties": {
        "type": "object",
        "additionalProperties": False,
        "properties": {"count": _COUNT, **_SIZES},
    },
}
CHOSEN_PARAMETERS: Final[Schema] = {"type": "object", "maxProperties": 100, "additionalProperties": _SCALAR}
# Here null removes a choice.
CHANGED_GROUPS: Final[Schema] = {
    **CHOSEN_GROUPS,
    "additionalProperties": nullable(
        {
            "type": "object",
            "additionalProperties": False,
            "properties": {name: nullable(schema) for name, schema in {"count": _COUNT, **_SIZES}.items()},
        }
    ),
}
CHANGED_PARAMETERS: Final[Schema] = {**CHOSEN_PARAMETERS, "additionalProperties": nullable(_SCALAR)}
COUNTS: Final[Schema] = {
    "type": "object",
    "minProperties": 1,
    "maxProperties": 20,
    "propertyNames": {"pattern": NAME_SCHEMA["pattern"]},
    "additionalProperties": {
        "type": "object",
        "required": ["count"],
        "additionalProperties": False,
        "properties": {"count": _COUNT},
    },
}
PRESETS: Final[Schema] = {
    "type": "object",
    "maxProperties": 20,
    "additionalProperties": {
        "type": "object",
        "additionalProperties": False,
        "properties": {"groups": CHOSEN_GROUPS, "parameters": CHOSEN_PARAMETERS},
    },
}
_KEYWORDS: Final[Schema] = {
    "type": {"type": "string", "enum": list(TYPES)},
    "enum": {"type": "array", "minItems": 1, "maxItems": 100, "items": _SCALAR},
    "default": _SCALAR,
    "const": _SCALAR,
    "minimum": {"type": "number"},
    "maximum": {"type": "number"},
    "minLength": {"type": "integer", "minimum": 0, "maximum": 1000},
    "maxLength": {"type": "integer", "minimum": 0, "maximum": 1000},
    "title": {"type": "string", "maxLength": 1000},
    "description": {"type": "string", "maxLength": 1000},
    "x-reason": {"type": "string", "description": "Why a const is locked."},
}
PARAMETERS: Final[Schema] = {
    "type": "object",
    "description": "JSON Schema over the app's settings; it may narrow them, set defaults or lock them.",
    "additionalProperties": False,
    "properties": {
        "type": {"const": "object"},
        "additionalProperties": {"const": False},
        "properties": {
            "type": "object",
            "maxProperties": 100,
            "additionalProperties": {
                "type": "object",
                "additionalProperties": False,
                "properties": _KEYWORDS,
            },
        },
    },
}
SCHEMA_OUT: Final[Schema] = {"type": "object", "required": ["type", "properties"]}
GROUPS_OUT: Final[Schema] = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["name", "role", "count", "cpu", "memory", "gpu", "storage", "min_count", "max_count"],
    },
}
