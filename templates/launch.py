"""Expands a revision of a template and a launch request to a Launch, and resizes a Launch. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from templates.parameters import checked, default_of
from templates.reading import Faults, Fields, Value
from templates.roles import SIZES
from templates.schema import (
    NODES_AT_MOST,
    Group,
    GroupSpec,
    Launch,
    LaunchRequest,
    RevisionSpec,
    Role,
)
from tenants.amounts import CEILINGS, Amounts, quantity

__all__ = ["LaunchRequest", "check_counts", "expand", "group_of", "is_on", "resize"]

_MOST: Final = Amounts(**CEILINGS)
_GROUPS: Final = 100


def expand(revision: RevisionSpec, request: LaunchRequest) -> Launch:
    """The launch that `request` describes. Raises Invalid with pointers into the request."""
    faults, preset = Faults(), LaunchRequest()
    with faults.noted():
        if request.preset != "":
            name = Value(request.preset, "/preset").one_of(revision.presets, "preset")
            preset = revision.presets[name]
    settings = _settings(revision, preset, Value(request.parameters, "/parameters"), faults)
    groups = _expand_groups(revision, preset, settings, Value(request.groups, "/groups"), faults)
    faults.settle()
    launch = Launch(app=revision.app, groups=groups, settings=settings)
    check_counts(launch, Value(request.groups, "/groups"))
    return launch


def resize(launch: Launch, groups: Mapping[str, Any]) -> Launch:
    """The launch with other counts. groups: {name: {"count"}}. Raises Invalid with pointers below /groups."""
    value = Value(groups, "/groups")
    entries = dict(value.entries(most=_GROUPS))
    if not entries:
        raise value.refused("Name at least one group.")
    for name, entry in entries.items():
        Value(name, entry.pointer).one_of({group.name for group in launch.groups}, "group")
    counts = {name: entry.fields("count")["count"] for name, entry in entries.items()}
    resized = replace(
        launch,
        groups=tuple(
            replace(group, count=_count(counts[group.name], group)) if group.name in counts else group
            for group in launch.groups
        ),
    )
    check_counts(resized, value)
    return resized


def check_counts(launch: Launch, value: Value) -> None:
    """Raises Invalid unless every role has as many nodes as it allows and the total can be counted.

    value: the "groups" of the request, which the refusal points at.
    """
    for role in launch.app.roles:
        groups = [group for group in launch.groups if group.role == role.name]
        total = sum(group.count for group in groups)
        if is_on(role, launch.settings) and not role.min_count <= total <= role.max_count:
            raise _requested_count(groups, value).refused(
                f"The role {role.name} needs {role.min_count} to {role.max_count} nodes; this makes {total}."
            )
    if not launch.takes.fits_within(_MOST):
        raise value.refused("All nodes in sum take more than Slipway can count. Use fewer or smaller nodes.")


def is_on(role: Role, settings: Mapping[str, Any]) -> bool:
    """Whether a cluster with these settings has the role: always, or when the setting `role.when` is true."""
    return not role.when or settings[role.when] is True


def _settings(
    revision: RevisionSpec, preset: LaunchRequest, parameters: Value, faults: Faults
) -> dict[str, Any]:
    settings = {name: default_of(schema) for name, schema in revision.parameters.items()} | dict(
        preset.parameters
    )
    for name, value in _entries(parameters, faults).items():
        with faults.noted():
            known = Value(name, value.pointer).one_of(revision.parameters, "parameter")
            settings[known] = checked(revision.parameters[known], value)
    return settings


def _entries(value: Value, faults: Faults) -> dict[str, Value]:
    """The entries of an object; none, and a noted fault, when it is not a valid one."""
    with faults.noted():
        return dict(value.entries(most=_GROUPS))
    return {}


def _expand_groups(
    revision: RevisionSpec,
    preset: LaunchRequest,
    settings: Mapping[str, Any],
    requested: Value,
    faults: Faults,
) -> tuple[Group, ...]:
    specs = {spec.name: spec for spec in _specs(revision, settings)}
    entries = _entries(requested, faults)
    for name, entry in entries.items():
        with faults.noted():
            _check_known(name, entry, specs, revision)
    groups: list[Group] = []
    for spec in specs.values():
        with faults.noted():
            chosen = entries.get(spec.name, requested.at(spec.name, {}))
            groups.append(_group(spec, preset.groups.get(spec.name, {}), chosen, faults))
    return tuple(groups)


def _specs(revision: RevisionSpec, settings: Mapping[str, Any]) -> Iterable[GroupSpec]:
    """The template's groups of roles that are on, and one group for each other role that a setting turns on."""
    present = {spec.role for spec in revision.groups}
    for spec in revision.groups:
        if is_on(revision.app.role(spec.role), settings):
            yield spec
    for role in revision.app.roles:
        if role.when and role.name not in present and is_on(role, settings):
            yield group_of(role)


def group_of(role: Role) -> GroupSpec:
    """The only group of a role of which the template has no group."""
    return GroupSpec(
        name=role.name,
        role=role.name,
        count=max(1, role.min_count),
        each=role.default,
        min_count=role.min_count,
        max_count=role.max_count,
        least=role.minimum,
    )


def _check_known(name: str, entry: Value, specs: Mapping[str, GroupSpec], revision: RevisionSpec) -> None:
    if name in specs:
        return
    roles = {spec.name: spec.role for spec in revision.groups} | {
        role.name: role.name for role in revision.app.roles if role.when
    }
    if name in roles:
        switch = revision.app.role(roles[name]).when
        raise entry.refused(f"The cluster has this group only when the parameter {switch} is true.")
    Value(name, entry.pointer).one_of(specs, "group")


def _group(spec: GroupSpec, preset: Mapping[str, Any], requested: Value, faults: Faults) -> Group:
    fields = requested.fields("count", *SIZES)
    chosen = Fields(requested, {**preset, **fields.raw})
    group = Group(spec.name, spec.role, spec.count, spec.each, spec.min_count, spec.max_count)
    count, each = spec.count, {}
    with faults.noted():
        count = _count(chosen["count"], group) if "count" in chosen else spec.count
    for resource in SIZES:
        with faults.noted():
            each[resource] = _amount(chosen, resource, spec)
    return replace(group, count=count, each=Amounts(**each))


def _count(value: Value, group: Group) -> int:
    count = value.integer(least=0, most=NODES_AT_MOST)
    if not group.min_count <= count <= group.max_count:
        raise value.refused(f"The template allows {group.min_count} to {group.max_count}.")
    return count


def _amount(chosen: Fields, resource: str, spec: GroupSpec) -> int:
    if resource not in chosen:
        return spec.each[resource]
    value = chosen[resource]
    amount = value.amount(resource)
    if amount < spec.least[resource]:
        raise value.refused(f"Must be at least {quantity(resource, spec.least[resource])}.")
    if amount > spec.most.get(resource, amount):
        raise value.refused(f"The template allows at most {quantity(resource, spec.most[resource])}.")
    return amount


def _requested_count(groups: list[Group], value: Value) -> Value:
    """The last count of these groups in the request; all its groups when it has none of these."""
    raw = value.raw if isinstance(value.raw, Mapping) else {}
    requested = [group.name for group in groups if "count" in raw.get(group.name, {})]
    return value.at(requested[-1], None).at("count", None) if requested else value
