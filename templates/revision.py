"""Reading the revision of a template from JSON, and writing it for the database and for the API.

    {"app": {"name", "version"}, "title", "description", "quick_launch",
     "groups": [{"name", "role", "count", "cpu", "memory", "gpu", "storage",
                 "min_count", "max_count", "min_cpu", "max_cpu", …}],
     "parameters": {"type": "object", "properties": {NAME: schema}},
     "presets": {NAME: {"groups": {…}, "parameters": {…}}}}

`parse_revision` reads what people write, in which most fields have defaults. `revision_body` writes what is stored:
every group with all its sizes and bounds as integers, and the schema of every setting of the app. Presets are stored as
people wrote them: each is a launch request, which `launch.expand` reads at every launch.
"""

from collections.abc import Mapping
from typing import Any, Final

from templates.launch import expand, group_of
from templates.parameters import narrow
from templates.parsing import parse_version, stored_amounts
from templates.reading import Fields, Value
from templates.roles import SIZES
from templates.schema import App, GroupSpec, LaunchRequest, RevisionSpec, Role
from tenants.amounts import Amounts, quantity
from tenants.errors import Invalid

_FIELDS: Final = ("app", "title", "description", "quick_launch", "groups", "parameters", "presets")
_BOUNDS: Final = ("min_count", "max_count", *(f"{end}_{size}" for end in ("min", "max") for size in SIZES))
# Every field of a group that is an amount, and the resource it is of.
_AMOUNT_FIELDS: Final = {f"{end}{size}": size for end in ("", "min_", "max_") for size in SIZES}
_GROUPS: Final = 20


def parse_reference(body: Mapping[str, Any]) -> tuple[str, str]:
    """The name and version of the app of a body. Raises Invalid."""
    fields = Value(body).fields(*_FIELDS)["app"].fields("name", "version")
    return fields["name"].name(), parse_version(fields["version"])


def parse_revision(body: Mapping[str, Any], app: App) -> RevisionSpec:
    """The revision that a person wrote as `body`. Its defaults, and each of its presets, can be launched.

    Raises Invalid with JSON pointers.
    """
    return _read(Value(body), app)


def stored_revision(body: Mapping[str, Any], app: App) -> RevisionSpec:
    """The revision that `revision_body` wrote."""
    return _read(Value(body, stored=True), app)


def _read(whole: Value, app: App) -> RevisionSpec:
    fields = whole.fields(*_FIELDS)
    revision = RevisionSpec(
        app=app,
        groups=_groups(fields["groups"], app),
        parameters=_parameters(fields.get("parameters", {}), app),
        presets={name: _preset(item) for name, item in fields.get("presets", {}).named(most=20)},
        title=fields.get("title", "").text(longest=100, shortest=0),
        description=fields.get("description", "").text(longest=2000, shortest=0, lines=True),
        quick_launch=fields.get("quick_launch", False).boolean(),
    )
    expand(revision, LaunchRequest())
    for name, preset in revision.presets.items():
        try:
            expand(revision, preset)
        except Invalid as refusal:
            raise refusal.prefixed(fields["presets"].at(name, None).pointer) from None
    return revision


def revision_body(revision: RevisionSpec) -> dict[str, Any]:
    """`revision` as the database stores it; amounts are integers. `stored_revision` reads an equal one."""
    return {
        "app": {"name": revision.app.name, "version": revision.app.version},
        "title": revision.title,
        "description": revision.description,
        "quick_launch": revision.quick_launch,
        "groups": [_group_body(group) for group in revision.groups],
        "parameters": parameters_schema(revision),
        "presets": {
            name: {"groups": preset.groups, "parameters": preset.parameters}
            for name, preset in revision.presets.items()
        },
    }


def revision_document(body: Mapping[str, Any]) -> dict[str, Any]:
    """A stored body as the API shows it, with quantities for amounts. `parse_revision` reads an equal revision."""
    return {**body, "groups": [_group_document(group) for group in body["groups"]]}


def parameters_schema(revision: RevisionSpec) -> dict[str, Any]:
    """The JSON Schema of the parameters of a launch."""
    properties = {name: dict(schema) for name, schema in revision.parameters.items()}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _groups(value: Value, app: App) -> tuple[GroupSpec, ...]:
    pairs = value.named(most=_GROUPS)
    names = {role.name for role in app.roles}
    fields = [item.fields("role", "count", *SIZES, *_BOUNDS) for _, item in pairs]
    roles = [app.role(one["role"].one_of(names, "role")) for one in fields]
    needed = [role for role in app.roles if not role.when and role.min_count > 0]
    missing = [role.name for role in needed if role not in roles]
    if missing:
        raise value.refused(f"Add a group of each of these roles, which the app needs: {', '.join(missing)}.")
    return tuple(
        _group(name, item, role, app, alone=roles.count(role) == 1)
        for (name, item), role in zip(pairs, roles, strict=True)
    )


def _group(name: str, value: Value, role: Role, app: App, *, alone: bool) -> GroupSpec:
    """alone: no other group has this role, so the group needs as many nodes as the role."""
    if name != role.name and name in {other.name for other in app.roles}:
        raise value.refused(
            "This is the name of another role. Name the group differently, or give it that role."
        )
    fields = value.fields("role", "count", *SIZES, *_BOUNDS)
    own = group_of(role)
    least = Amounts(**{size: _lower_bound(fields, size, role.minimum[size]) for size in SIZES})
    most = {size: fields[f"max_{size}"].amount(size) for size in SIZES if f"max_{size}" in fields}
    needed = own.min_count if alone else 0
    highest = fields.get("max_count", own.max_count).integer(least=needed, most=own.max_count)
    lowest = fields.get("min_count", needed).integer(least=0, most=highest)
    return GroupSpec(
        name=name,
        role=role.name,
        count=fields.get("count", min(max(own.count, lowest), highest)).integer(least=lowest, most=highest),
        each=Amounts(**{size: _size(fields, size, own.each.max(least), least, most) for size in SIZES}),
        min_count=lowest,
        max_count=highest,
        least=least,
        most=most,
    )


def _lower_bound(fields: Fields, size: str, minimum: int) -> int:
    if f"min_{size}" not in fields:
        return minimum
    bound = fields[f"min_{size}"].amount(size)
    if bound < minimum:
        raise fields[f"min_{size}"].refused(
            f"Must be at least {quantity(size, minimum)}, the minimum of the role."
        )
    return bound


def _size(fields: Fields, size: str, default: Amounts, least: Amounts, most: Mapping[str, int]) -> int:
    value = fields.get(size, None)
    amount = value.amount(size) if size in fields else default[size]
    if amount < least[size]:
        raise value.refused(f"Must be at least {quantity(size, least[size])}.")
    if amount > most.get(size, amount):
        raise value.refused(f"Must be at most {quantity(size, most[size])}, the max_{size}.")
    return amount


def _parameters(value: Value, app: App) -> dict[str, Mapping[str, Any]]:
    fields = value.fields("type", "properties", "additionalProperties")
    fields.get("type", "object").one_of(["object"], "type here")
    if fields.get("additionalProperties", False).raw is not False:
        raise fields["additionalProperties"].refused(
            "Must be false: a launch has only the parameters that are settings of the app."
        )
    narrowed = {}
    for name, schema in fields.get("properties", {}).entries(most=100):
        known = Value(name, schema.pointer).one_of(app.settings, "setting")
        narrowed[known] = narrow(app.settings[known], schema)
    return {name: narrowed.get(name, setting) for name, setting in app.settings.items()}


def _preset(value: Value) -> LaunchRequest:
    """The request of a preset, of which only the fields are checked. `expand` checks the values."""
    fields = value.fields("groups", "parameters")
    groups = fields.get("groups", {}).entries(most=_GROUPS)
    parameters = fields.get("parameters", {}).entries(most=100)
    return LaunchRequest(
        groups={name: dict(item.fields("count", *SIZES).raw) for name, item in groups},
        parameters={name: item.raw for name, item in parameters},
    )


def _group_body(group: GroupSpec) -> dict[str, Any]:
    return {
        "name": group.name,
        "role": group.role,
        "count": group.count,
        **stored_amounts(group.each),
        "min_count": group.min_count,
        "max_count": group.max_count,
        **{f"min_{size}": bound for size, bound in stored_amounts(group.least).items()},
        **{f"max_{size}": bound for size, bound in group.most.items()},
    }


def _group_document(group: Mapping[str, Any]) -> dict[str, Any]:
    """A group of a stored body with quantities in the place of integers."""
    return {
        field: quantity(_AMOUNT_FIELDS[field], value) if field in _AMOUNT_FIELDS else value
        for field, value in group.items()
    }
