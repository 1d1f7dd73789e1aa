"""Reading the roles of an app. Every name that a role refers to is checked against what the app has."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from templates import placeholders
from templates.reading import Fields, Value
from templates.schema import NODES_AT_MOST, Asset, File, Hooks, OnChange, Role, Service
from tenants.amounts import Amounts

SIZES: Final = ("cpu", "memory", "gpu", "storage")
LONGEST_FILE: Final = 256 * 1024

_LONGEST: Final = 8000
_PATH = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")
_VARIABLE = re.compile("[A-Za-z_][A-Za-z0-9_]{0,127}")
_SCHEMES: Final = ("http", "tcp")
_HOOKS: Final = ("ready", "busy", "drain", "info")
_COUNTS: Final = ("min_count", "max_count", "critical", "when", "stop_seconds")
_AMOUNTS: Final = ("minimum", "default", "overhead")
_PROGRAM: Final = ("title", "runtime", "command", "ports", "env", "files", "services", "hooks")
# The placeholders that have a value in every role.
_ANYWHERE: Final = frozenset(
    {
        "node",
        "cluster",
        "index",
        "restart",
        "address",
        "memory_mib",
        "heap_mib",
        "cores",
        "runtime.python",
        "runtime.home",
        "packages.python",
        "packages.home",
    }
    | {f"dir.{folder}" for folder in ("home", "work", "shared", "conf", "app")}
)


@dataclass(frozen=True, slots=True)
class ParseContext:
    """The names that the roles of one app may refer to, read before the roles.

    assets: by path. runtimes: their names. java_runtimes: the names of those with a Java. secrets: their names.
    settings: the JSON Schema of each setting by its name.
    """

    assets: Mapping[str, Asset]
    runtimes: frozenset[str]
    java_runtimes: frozenset[str]
    secrets: frozenset[str]
    settings: Mapping[str, Mapping[str, Any]]


def parse_roles(value: Value, context: ParseContext) -> tuple[Role, ...]:
    """All roles of an app. Raises Invalid."""
    pairs = value.named(most=20)
    if not pairs:
        raise value.refused("An app needs at least one role.")
    roles = [_role(name, role, context) for name, role in pairs]
    for role, (_, role_value) in zip(roles, pairs, strict=True):
        _check_placeholders(role, role_value, _names_for(role, roles, context))
    return tuple(roles)


def parse_path(value: Value) -> str:
    """A relative path that stays below its folder. Raises Invalid."""
    path = value.text(longest=200)
    if not _PATH.fullmatch(path) or not {".", ".."}.isdisjoint(path.split("/")):
        raise value.refused(
            "Must be a relative path of letters, digits, dots, hyphens and underscores, without . and .. as a part."
        )
    return path


def check_paths(paths: Iterable[str], value: Value) -> None:
    """Raises Invalid if a path occurs twice, or is both a file and a folder."""
    checked: set[str] = set()
    for path in sorted(paths):
        parts = path.split("/")
        if any("/".join(parts[:depth]) in checked for depth in range(1, len(parts) + 1)):
            raise value.refused(f"The path {path} occurs twice, or is below another file.")
        checked.add(path)


def _role(name: str, value: Value, context: ParseContext) -> Role:
    fields = value.fields(*_PROGRAM, *_COUNTS, *_AMOUNTS)
    ports = {
        Value(port, number.pointer).word(): number.integer(least=1024, most=65535)
        for port, number in fields.get("ports", {}).entries(most=50)
    }
    minimum = _amounts(fields.get("minimum", {}))
    default = _amounts(fields["default"]) if "default" in fields else minimum
    if not minimum.fits_within(default):
        raise fields["default"].refused("Must be at least the minimum, in every resource.")
    overhead = fields.get("overhead", 0).amount("memory")
    if minimum.cpu == 0 or minimum.memory <= overhead:
        raise fields.get("minimum", {}).refused("Must have some cpu, and more memory than the overhead.")
    files = tuple(_file(item, context) for item in fields.get("files", []).items(most=50))
    check_paths((file.path for file in files), fields.get("files", []))
    hooks = fields.get("hooks", {}).fields(*_HOOKS)
    return Role(
        name=name,
        title=fields.get("title", name).text(longest=100),
        runtime=fields["runtime"].one_of(context.runtimes, "runtime"),
        command=tuple(
            part.text(longest=_LONGEST, shortest=0, lines=True)
            for part in fields["command"].items(least=1, most=200)
        ),
        **_counts(fields, context),
        minimum=minimum,
        default=default,
        overhead=overhead,
        ports=ports,
        env=_env(fields.get("env", {})),
        files=files,
        services=tuple(_service(*pair, ports, context) for pair in fields.get("services", {}).named(most=20)),
        hooks=Hooks(
            **{hook: executable(hooks[hook], context.assets) for hook in hooks if hooks[hook].raw != ""}
        ),
    )


def _counts(fields: Fields, context: ParseContext) -> dict[str, Any]:
    when = fields.get("when", "")
    switches = [name for name, schema in context.settings.items() if schema["type"] == "boolean"]
    least = fields.get("min_count", 1).integer(least=0, most=NODES_AT_MOST)
    return {
        "min_count": least,
        "max_count": fields.get("max_count", max(1, least)).integer(least=max(1, least), most=NODES_AT_MOST),
        "critical": fields.get("critical", False).boolean(),
        "when": "" if when.raw == "" else when.one_of(switches, "boolean setting"),
        "stop_seconds": fields.get("stop_seconds", 10).integer(least=0, most=600),
    }


def _amounts(value: Value) -> Amounts:
    fields = value.fields(*SIZES)
    return Amounts(**{resource: fields[resource].amount(resource) for resource in fields})


def _env(value: Value) -> dict[str, str]:
    pairs = value.entries(most=100)
    for name, entry in pairs:
        if not _VARIABLE.fullmatch(name):
            raise entry.refused("Name environment variables with letters, digits and underscores.")
    return {name: entry.text(longest=_LONGEST, shortest=0, lines=True) for name, entry in pairs}


def _file(value: Value, context: ParseContext) -> File:
    fields = value.fields("path", "content", "source", "on_change")
    if ("content" in fields) == ("source" in fields):
        raise value.refused("A file needs either content or source, not both.")
    if "source" in fields:
        content = context.assets[fields["source"].one_of(context.assets, "asset")].content
    else:
        content = fields["content"].text(longest=LONGEST_FILE, shortest=0, lines=True)
    return File(
        path=parse_path(fields["path"]),
        content=content,
        on_change=fields.get("on_change", OnChange.IGNORE).choice(OnChange),
    )


def _service(name: str, value: Value, ports: Mapping[str, int], context: ParseContext) -> Service:
    fields = value.fields("port", "scheme", "path", "dashboard", "token", "metrics", "on_demand")
    token = fields.get("token", "")
    return Service(
        name=name,
        port=fields["port"].one_of(ports, "port"),
        scheme=fields.get("scheme", "tcp").one_of(_SCHEMES, "scheme"),
        path=_url_path(fields["path"]) if fields.get("path", "").raw != "" else "",
        dashboard=fields.get("dashboard", False).boolean(),
        token="" if token.raw == "" else token.one_of(context.secrets, "secret"),
        metrics=tuple(_url_path(item) for item in fields.get("metrics", []).items(most=20)),
        on_demand=fields.get("on_demand", False).boolean(),
    )


def _url_path(value: Value) -> str:
    path = value.text(longest=200)
    if not path.startswith("/") or path.startswith("//") or not path.isascii() or " " in path:
        raise value.refused('Must be a path on the service, starting with one "/".')
    return path


def executable(value: Value, assets: Mapping[str, Asset]) -> str:
    """The path of an executable asset. Raises Invalid."""
    path = value.one_of(assets, "asset")
    if not assets[path].executable:
        raise value.refused("This asset is not executable. Set its executable to true.")
    return path


def _names_for(role: Role, roles: Iterable[Role], context: ParseContext) -> set[str]:
    """The names of all placeholders that have a value in `role`."""
    known = set(_ANYWHERE) | {f"port.{port}" for port in role.ports}
    known |= {f"secret.{secret}" for secret in context.secrets} | {
        f"setting.{name}" for name in context.settings
    }
    if role.runtime in context.java_runtimes:
        known.add("runtime.java")
    for other in roles:
        known.add(f"first.{other.name}.address")
        known |= {f"first.{other.name}.port.{port}" for port in other.ports}
        known |= {f"peers.{other.name}.{port}" for port in other.ports}
    return known


def _check_placeholders(role: Role, value: Value, known: set[str]) -> None:
    command, env, files = value.at("command", None), value.at("env", None), value.at("files", None)
    texts = [(command.at(index, part), part) for index, part in enumerate(role.command)]
    texts += [(env.at(name, text), text) for name, text in role.env.items()]
    texts += [(files.at(index, file), file.content) for index, file in enumerate(role.files)]
    for where, text in texts:
        try:
            unknown = placeholders.names(text) - known
        except placeholders.BadPlaceholder as error:
            raise where.refused(f"{error}.".capitalize()) from None
        if unknown:
            raise where.refused(f"The placeholder {{{min(unknown)}}} has no value in this role.")
