"""Amounts: accepted quantities, their text form, and arithmetic. No database."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants.amounts import CEILINGS, RESOURCES, ZERO, Amounts, parse, parse_limits, quantity
from tenants.errors import Invalid

MI, GI = 1024**2, 1024**3


@pytest.mark.parametrize(
    ("resource", "value", "expected"),
    [
        ("cpu", "500m", 500),
        ("cpu", "2", 2000),
        ("cpu", 2, 2000),
        ("cpu", "0.5", 500),
        ("cpu", 0.5, 500),
        ("cpu", "0.001", 1),
        ("cpu", "0", 0),
        ("cpu", "1000000", CEILINGS["cpu"]),
        ("memory", "2Gi", 2 * GI),
        ("memory", "1.5Gi", 1536 * MI),
        ("memory", "1k", 1000),
        ("memory", 4096, 4096),
        ("memory", "1Ei", CEILINGS["memory"]),
        ("storage", "100G", 100 * 10**9),
        ("storage", "0", 0),
        ("gpu", 3, 3),
        ("gpu", "3", 3),
        ("clusters", 1_000_000, 1_000_000),
    ],
)
def test_accepted(resource: str, value: object, expected: int):
    assert parse(resource, value) == expected


ABSURD: list[object] = [
    True,
    None,
    [],
    {},
    "",
    " 1",
    "1 ",
    "1\n",
    "-1",
    "+1",
    -1,
    "1e30",
    "1e3",
    1e30,
    10**400,
    float("nan"),
    float("inf"),
    "NaN",
    "2Gib",
    "2gi",
    "٣",
    "1_000",
    "0x10",
    "1,5",
    ".5",
    "5.",
    "9" * 10_000,
    "0." + "0" * 10_000 + "1",
    "1Zi",
]


@pytest.mark.parametrize("resource", RESOURCES)
@pytest.mark.parametrize("value", ABSURD, ids=lambda value: repr(value)[:20])
def test_refused_for_every_resource(resource: str, value: object):
    with pytest.raises(Invalid) as refusal:
        parse(resource, value)
    assert refusal.value.errors[0]["detail"].startswith("Must be")


@pytest.mark.parametrize(
    ("resource", "value"),
    [
        ("cpu", "0.0001"),
        ("cpu", "1k"),
        ("cpu", "1000001"),
        ("memory", "0.5"),
        ("memory", "500m"),
        ("memory", "2Ei"),
        ("storage", 2**60 + 1),
        ("gpu", "1k"),
        ("gpu", 0.5),
        ("clusters", 1_000_001),
    ],
)
def test_refused_for_this_resource(resource: str, value: object):
    with pytest.raises(Invalid):
        parse(resource, value)


@pytest.mark.parametrize(
    ("resource", "value", "expected"),
    [
        ("cpu", 0, "0"),
        ("cpu", 500, "500m"),
        ("cpu", 2000, "2"),
        ("cpu", -1500, "-1500m"),
        ("memory", 0, "0"),
        ("memory", 2 * GI, "2Gi"),
        ("memory", 1000, "1k"),
        ("memory", 1023, "1023"),
        ("storage", 100 * 10**9, "100G"),
        ("gpu", 0, 0),
        ("clusters", 7, 7),
    ],
)
def test_written_in_the_shortest_exact_form(resource: str, value: int, expected: str | int):
    assert quantity(resource, value) == expected


@given(st.sampled_from(RESOURCES), st.data())
def test_a_written_amount_is_read_back_the_same(resource: str, data: st.DataObject):
    value = data.draw(st.integers(0, CEILINGS[resource]))
    assert parse(resource, json.loads(json.dumps(quantity(resource, value)))) == value


@given(st.sampled_from(RESOURCES), st.text() | st.floats() | st.integers())
def test_every_input_is_a_bounded_number_or_refused(resource: str, value: object):
    try:
        assert 0 <= parse(resource, value) <= CEILINGS[resource]
    except Invalid as refusal:
        assert len(refusal.detail) < 200  # noqa: PT017


amounts = st.builds(Amounts, *[st.integers(0, 2**60)] * 5)


@given(amounts, amounts)
def test_addition_and_subtraction_are_inverse(one: Amounts, other: Amounts):
    assert one + other - other == one
    assert one.fits_within(one.max(other))
    assert other.fits_within(one.max(other))
    assert one.compute() + one.at_rest() == one


def test_multiplication_and_truth_value():
    assert Amounts(cpu=500, gpu=1) * 3 == 3 * Amounts(cpu=500, gpu=1) == Amounts(cpu=1500, gpu=3)
    assert not ZERO
    assert Amounts(clusters=1)
    assert sum([Amounts(cpu=1), Amounts(cpu=2)], ZERO) == Amounts(cpu=3)


def test_a_single_resource_too_much_does_not_fit():
    assert not Amounts(cpu=1, gpu=1).fits_within(Amounts(cpu=5))


def test_as_json():
    assert Amounts(cpu=500, memory=2 * GI, storage=100 * GI, clusters=1).to_json() == {
        "cpu": "500m",
        "memory": "2Gi",
        "gpu": 0,
        "storage": "100Gi",
        "clusters": 1,
    }


def test_limits_keep_null_as_unlimited():
    assert parse_limits({"cpu": "4", "memory": None}) == {"cpu": 4000, "memory": None}


def test_all_faults_in_limits_are_reported_with_their_place():
    with pytest.raises(Invalid) as refusal:
        parse_limits({"cpu": "-1", "disk/1": 3, "gpu": 1}, "/limits")
    assert [error["pointer"] for error in refusal.value.errors] == ["/limits/cpu", "/limits/disk~11"]


@pytest.mark.parametrize("value", [[], "cpu", None])
def test_limits_must_be_a_json_object(value: object):
    with pytest.raises(Invalid):
        parse_limits(value)
