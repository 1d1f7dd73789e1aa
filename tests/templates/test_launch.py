from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from templates.launch import expand, resize
from templates.schema import Launch, LaunchRequest
from tenants.amounts import Amounts
from tenants.errors import FieldError, Invalid
from tests.templates.examples import revision, template_body

GI = 2**30
WITH_NOTEBOOK = [*template_body()["groups"], {"name": "lab", "role": "notebook", "cpu": "2"}]


def launch(preset: str = "", parameters: dict[str, Any] | None = None, **groups: Any) -> Launch:
    return expand(revision(), LaunchRequest(groups=groups, parameters=parameters or {}, preset=preset))


def refusal(call: Callable[[], object]) -> FieldError:
    with pytest.raises(Invalid) as found:
        call()
    return found.value.errors[0]


def test_a_launch_has_the_defaults_of_the_template():
    default = launch()
    assert [(group.name, group.count) for group in default.groups] == [("head", 1), ("worker", 2)]
    assert default.takes == Amounts(cpu=4500, memory=5 * GI, clusters=1)
    assert default.settings == {
        "notebook": False,
        "level": "warn",
        "partitions": 200,
        "ratio": 0.5,
        "label": "none",
    }


def test_a_request_overrides_the_fields_that_it_names():
    worker = launch(worker={"count": 3, "memory": "4Gi", "gpu": 1}).group("worker")
    assert (worker.count, worker.each) == (3, Amounts(cpu=2000, memory=4 * GI, gpu=1))


def test_a_request_overrides_its_preset():
    assert launch(preset="large").group("worker").count == 6
    smaller = launch(preset="large", worker={"count": 4}, parameters={"notebook": False})
    assert [(group.name, group.count) for group in smaller.groups] == [("head", 1), ("worker", 4)]


def test_a_setting_adds_a_group_for_an_optional_role():
    notebook = launch(parameters={"notebook": True}).group("notebook")
    assert (notebook.count, notebook.each) == (1, Amounts(cpu=500, memory=GI // 2, storage=GI))


def test_a_setting_turns_on_the_group_in_the_template():
    spec = revision(groups=WITH_NOTEBOOK, presets={})
    on = expand(spec, LaunchRequest(parameters={"notebook": True}))
    assert [group.name for group in on.groups] == ["head", "worker", "lab"]
    assert on.group("lab").each.cpu == 2000


def test_a_setting_turns_the_groups_of_a_role_off():
    spec = revision(groups=WITH_NOTEBOOK, presets={})
    assert [group.name for group in expand(spec, LaunchRequest()).groups] == ["head", "worker"]


def test_a_preset_for_a_group_that_is_off_is_ignored():
    presets = {"lab": {"groups": {"lab": {"cpu": "1"}}, "parameters": {"notebook": True}}}
    spec = revision(groups=WITH_NOTEBOOK, presets=presets)
    off = expand(spec, LaunchRequest(preset="lab", parameters={"notebook": False}))
    assert [group.name for group in off.groups] == ["head", "worker"]


REFUSED = [
    ({"worker": {"count": 0}}, "/groups/worker/count", "1 to 8"),
    ({"worker": {"count": 9}}, "/groups/worker/count", "1 to 8"),
    ({"worker": {"count": -1}}, "/groups/worker/count", "whole number"),
    ({"worker": {"count": 1e30}}, "/groups/worker/count", "whole number"),
    ({"worker": {"count": 10**30}}, "/groups/worker/count", "whole number"),
    ({"worker": {"count": "2"}}, "/groups/worker/count", "whole number"),
    ({"worker": {"count": True}}, "/groups/worker/count", "whole number"),
    ({"worker": {"count": None}}, "/groups/worker/count", "whole number"),
    ({"worker": {"cpu": "999m"}}, "/groups/worker/cpu", "at least 1"),
    ({"worker": {"cpu": "4001m"}}, "/groups/worker/cpu", "at most 4"),
    ({"worker": {"cpu": "-1"}}, "/groups/worker/cpu", "CPU cores"),
    ({"worker": {"memory": "1Gi"}}, "/groups/worker/memory", "at least 2Gi"),
    ({"worker": {"memory": "2Gib"}}, "/groups/worker/memory", "2Gi"),
    ({"worker": {"memory": "1e30"}}, "/groups/worker/memory", "whole bytes"),
    ({"worker": {"clusters": 2}}, "/groups/worker/clusters", "Unknown field"),
    ({"worker": {"role": "head"}}, "/groups/worker/role", "Unknown field"),
    ({"worker": 3}, "/groups/worker", "object"),
    ({"worker": {"storage": 2**60}}, "/groups", "more than Slipway can count"),
    ({"wrker": {"count": 1}}, "/groups/wrker", "no such group"),
    ({"notebook": {"cpu": 1}}, "/groups/notebook", "parameter notebook is true"),
    ({"head": {"count": 0}}, "/groups/head/count", "1 to 1"),
    ({"head": {"memory": "100Mi"}}, "/groups/head/memory", "at least 1Gi"),
]


@pytest.mark.parametrize(("groups", "pointer", "says"), REFUSED, ids=lambda part: str(part)[:40])
def test_an_invalid_group_is_refused_with_its_pointer(groups, pointer, says):
    error = refusal(lambda: launch(**groups))
    assert error["pointer"] == pointer
    assert says in error["detail"]


@pytest.mark.parametrize(
    ("parameters", "pointer", "says"),
    [
        ({"none": 1}, "/parameters/none", "no such parameter"),
        ({"level": "info"}, "/parameters/level", "Logs are dear."),
        ({"partitions": 401}, "/parameters/partitions", "at most 400"),
        ({"partitions": "9"}, "/parameters/partitions", "whole number"),
        ({"notebook": "yes"}, "/parameters/notebook", "true or false"),
        ({"label": "a\nspark.authenticate=false"}, "/parameters/label", "control characters"),
        ([], "/parameters", "object"),
    ],
    ids=str,
)
def test_an_invalid_parameter_is_refused_with_its_pointer(parameters, pointer, says):
    error = refusal(lambda: expand(revision(), LaunchRequest(parameters=parameters)))
    assert error["pointer"] == pointer
    assert says in error["detail"]


@pytest.mark.parametrize("preset", ["none", None, 3, ["large"], {}])
def test_an_unknown_preset_is_refused(preset):
    error = refusal(lambda: expand(revision(), LaunchRequest(preset=preset)))
    assert error == {"pointer": "/preset", "detail": "There is no such preset. Known here: large."}


@pytest.mark.parametrize("groups", [[], "worker", 3, {1: {}}])
def test_groups_of_another_type_are_refused(groups):
    assert refusal(lambda: expand(revision(), LaunchRequest(groups=groups)))["pointer"] == "/groups"


def test_a_resize_changes_counts_and_nothing_else():
    before = launch(worker={"memory": "4Gi"}, parameters={"partitions": 7})
    after = resize(before, {"worker": {"count": 5}})
    assert after.group("worker").count == 5
    assert (after.settings, after.app, after.group("head")) == (
        before.settings,
        before.app,
        before.group("head"),
    )
    assert after.takes - before.takes == before.group("worker").each * 3


def test_a_resize_can_be_reversed():
    assert resize(resize(launch(), {"worker": {"count": 4}}), {"worker": {"count": 2}}) == launch()


@pytest.mark.parametrize(
    ("groups", "pointer", "says"),
    [
        ({}, "/groups", "at least one"),
        ([], "/groups", "object"),
        ({"worker": {"count": 0}}, "/groups/worker/count", "1 to 8"),
        ({"worker": {"count": 9}}, "/groups/worker/count", "1 to 8"),
        ({"worker": {"count": -1}}, "/groups/worker/count", "whole number"),
        ({"worker": {"count": 2, "cpu": 1}}, "/groups/worker/cpu", "Unknown field"),
        ({"worker": {}}, "/groups/worker/count", "required"),
        ({"worker": 3}, "/groups/worker", "object"),
        ({"none": {"count": 1}}, "/groups/none", "no such group"),
        ({"notebook": {"count": 1}}, "/groups/notebook", "no such group"),
        ({"head": {"count": 2}}, "/groups/head/count", "1 to 1"),
        ({"head": {"count": 0}}, "/groups/head/count", "1 to 1"),
    ],
    ids=str,
)
def test_an_invalid_resize_is_refused_with_its_pointer(groups, pointer, says):
    error = refusal(lambda: resize(launch(), groups))
    assert error["pointer"] == pointer
    assert says in error["detail"]


def test_a_group_can_shrink_to_zero_while_its_role_has_enough_nodes():
    groups = [
        {"name": "head", "role": "head"},
        {"name": "small", "role": "worker", "count": 1},
        {"name": "big", "role": "worker", "count": 1},
    ]
    two = expand(revision(groups=groups, presets={}), LaunchRequest())
    assert resize(two, {"big": {"count": 0}}).group("big").count == 0
    error = refusal(lambda: resize(two, {"big": {"count": 0}, "small": {"count": 0}}))
    assert "1 to 64 nodes; this makes 0" in error["detail"]


SPEC = revision()
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["1", "2Gi"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
fields = st.dictionaries(st.sampled_from(["count", "cpu", "memory", "gpu", "storage", "x"]), json_values)
requests = st.builds(
    LaunchRequest,
    groups=st.dictionaries(
        st.sampled_from(["head", "worker", "notebook", "x"]), fields | json_values, max_size=3
    ),
    parameters=st.dictionaries(st.sampled_from([*SPEC.parameters, "x"]), json_values, max_size=3),
    preset=st.sampled_from(["", "large"]),
)


@settings(deadline=None)
@given(requests)
def test_any_request_gives_a_valid_launch_or_a_refusal_with_pointers(request):
    try:
        made = expand(SPEC, request)
    except Invalid as refused:
        made, errors = None, refused.errors
    if made is None:
        assert all(error["pointer"].startswith("/") and error["detail"] for error in errors)
        return
    assert SPEC.app.role("worker").min_count <= made.group("worker").count <= 8
    assert all(made.app.role(group.role).minimum.fits_within(group.each) for group in made.groups)
    assert made.settings["level"] == "warn"
    assert all(0 <= amount < 2**62 for amount in made.takes.as_tuple())


@settings(deadline=None)
@given(
    st.integers(1, 8),
    st.integers(0, 16_000).map(lambda millicores: f"{millicores}m"),
    st.booleans(),
)
def test_a_request_in_its_bounds_is_launched_unchanged(count, cpu, notebook):
    request = LaunchRequest(
        groups={"worker": {"count": count, "cpu": cpu}}, parameters={"notebook": notebook}
    )
    fits = 1000 <= int(cpu[:-1]) <= 4000
    if not fits:
        assert refusal(lambda: expand(SPEC, request))["pointer"] == "/groups/worker/cpu"
        return
    made = expand(SPEC, request)
    assert made.takes.cpu == 500 + count * int(cpu[:-1]) + 500 * notebook
    assert len(made.groups) == 2 + notebook
