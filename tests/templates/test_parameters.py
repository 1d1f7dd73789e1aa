from collections.abc import Callable

import pytest

from templates.parameters import Schema, checked, default_of, narrow, parse_setting
from templates.reading import Value
from tenants.errors import FieldError, Invalid

COUNT = {"type": "integer", "minimum": 1, "maximum": 100, "default": 10}
LEVEL = {"type": "string", "enum": ["info", "warn"], "default": "info"}
LABEL = {"type": "string", "maxLength": 5, "default": ""}


def narrowed(setting: Schema, by: object) -> Schema:
    return narrow(setting, Value(by, "/p"))


def refusal(call: Callable[..., object], *args: object) -> FieldError:
    with pytest.raises(Invalid) as found:
        call(*args)
    return found.value.errors[0]


@pytest.mark.parametrize(
    "schema",
    [
        {"default": 1},
        {"type": "integer"},
        {"type": "object", "default": {}},
        {"type": ["integer", "null"], "default": 1},
        {"type": "integer", "default": 1.5},
        {"type": "integer", "default": True},
        {"type": "integer", "default": 10**30},
        {"type": "integer", "minimum": 5, "default": 1},
        {"type": "integer", "minimum": 5, "maximum": 4, "default": 5},
        {"type": "integer", "minLength": 1, "default": 5},
        {"type": "number", "default": float("nan")},
        {"type": "number", "default": float("inf")},
        {"type": "boolean", "default": 0},
        {"type": "string", "minimum": 1, "default": ""},
        {"type": "string", "default": "two\nlines"},
        {"type": "string", "default": "x" * 1001},
        {"type": "string", "maxLength": 1, "default": "xx"},
        {"type": "string", "enum": [], "default": ""},
        {"type": "string", "enum": ["a", 1], "default": "a"},
        {"type": "string", "enum": ["a"], "default": "b"},
        {"type": "string", "enum": [str(number) for number in range(101)], "default": "1"},
        {"type": "string", "pattern": "(a+)+$", "default": "a"},
        {"$ref": "http://localhost/schema"},
        {"type": "integer", "default": 1, "const": 1},
        {"type": "integer", "default": 1, "anyOf": [{}]},
    ],
    ids=str,
)
def test_a_setting_outside_of_the_subset_is_refused(schema):
    assert refusal(parse_setting, Value(schema, "/s"))["pointer"].startswith("/s")


@pytest.mark.parametrize(
    ("setting", "by"),
    [
        (COUNT, {"minimum": 0}),
        (COUNT, {"maximum": 101}),
        (COUNT, {"type": "number"}),
        (COUNT, {"minimum": 50, "maximum": 40}),
        (COUNT, {"default": 0}),
        (COUNT, {"default": "10"}),
        (COUNT, {"enum": [1, 101]}),
        (COUNT, {"const": 5}),
        (COUNT, {"const": 5, "x-reason": ""}),
        (COUNT, {"const": 5, "x-reason": "dear", "default": 5}),
        (COUNT, {"const": 101, "x-reason": "dear"}),
        (COUNT, {"x-reason": "dear"}),
        (COUNT, {"pattern": "x"}),
        (COUNT, {"$ref": "#"}),
        (LEVEL, {"enum": ["info", "trace"]}),
        (LABEL, {"maxLength": 6}),
        (LABEL, {"minLength": -1}),
    ],
    ids=str,
)
def test_a_template_cannot_widen_or_break_a_setting(setting, by):
    assert refusal(narrowed, setting, by)["pointer"].startswith("/p")


def test_a_template_narrows_bounds_and_choices():
    count = narrowed(COUNT, {"minimum": 5, "maximum": 20, "title": "How many"})
    assert (count["minimum"], count["maximum"], count["default"], count["type"]) == (5, 20, 10, "integer")
    assert narrowed(LEVEL, {"enum": ["info"]})["enum"] == ["info"]


def test_a_narrowing_that_excludes_the_default_requires_another():
    error = refusal(narrowed, COUNT, {"minimum": 50})
    assert error == {
        "pointer": "/p",
        "detail": "The default of the app is not allowed here. Add a default that is.",
    }
    assert narrowed(COUNT, {"minimum": 50, "default": 60})["default"] == 60


def test_a_locked_value_refuses_others_with_its_reason():
    locked = narrowed(COUNT, {"const": 5, "x-reason": "Measured to be best."})
    assert default_of(locked) == 5
    assert checked(locked, Value(5, "/x")) == 5
    assert refusal(checked, locked, Value(6, "/x")) == {
        "pointer": "/x",
        "detail": "Locked: Measured to be best.",
    }


def test_narrowing_is_idempotent():
    narrowings: list[tuple[Schema, Schema]] = [
        (COUNT, {"maximum": 20}),
        (LEVEL, {"const": "warn", "x-reason": "dear"}),
    ]
    for setting, by in narrowings:
        once = narrowed(setting, by)
        assert narrowed(setting, once) == once


@pytest.mark.parametrize("value", [0, 101, True, "10", 10.0, None, [10], {"a": 1}, 10**400])
def test_a_value_of_another_type_or_out_of_bounds_is_refused(value):
    assert refusal(checked, COUNT, Value(value, "/x"))["pointer"] == "/x"


@pytest.mark.parametrize("value", ["a\nb", "a\0", "\x1b[2J", "\u2028", "\ud800", "sixsix"])
def test_text_of_several_lines_or_too_long_is_refused(value):
    assert refusal(checked, LABEL, Value(value, "/x"))["pointer"] == "/x"


def test_true_does_not_count_as_the_number_one():
    one = parse_setting(Value({"type": "number", "enum": [1, 0], "default": 0}))
    assert checked(one, Value(1.0)) == 1
    assert refusal(checked, one, Value(True, "/x"))["pointer"] == "/x"
