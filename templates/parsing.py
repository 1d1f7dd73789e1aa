"""Reading an App from JSON or YAML, and writing it for the database.

`parse_app` reads what people write and checks it strictly, once, on input. `app_body` writes what is stored, and
`stored_app` reads that. People write roles, runtimes and services as objects by name. Stored bodies have lists of
objects with a "name", because PostgreSQL does not keep the order of keys. Both functions accept both forms.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from typing import Any, Final

from templates.parameters import parse_setting
from templates.reading import Value
from templates.roles import (
    LONGEST_FILE,
    SIZES,
    ParseContext,
    check_paths,
    executable,
    parse_path,
    parse_roles,
)
from templates.schema import App, Asset, Role, Runtime
from tenants.amounts import Amounts, quantity

# The format of bodies that people write, and of those in the database.
FORMAT: Final = 1
STORED_FORMAT: Final = 2

_LONGEST_APP: Final = 1024 * 1024
_VERSION = re.compile("[0-9A-Za-z][0-9A-Za-z._+-]{0,63}")
_HEAD: Final = ("format", "name", "version", "title", "description")
_PARTS: Final = ("roles", "runtimes", "settings", "secrets", "assets")


def parse_app(body: Mapping[str, Any]) -> App:
    """The App that a person wrote as `body`. Raises Invalid with JSON pointers."""
    return _read(Value(body))


def stored_app(body_digest: str, body: Mapping[str, Any]) -> App:
    """The App that `app_body` wrote. It is read once per process and digest, because a stored body never changes."""
    return _read_stored(_StoredBody(body_digest, body))


def _read(whole: Value) -> App:
    fields = whole.fields(*_HEAD, *_PARTS)
    readable = STORED_FORMAT if whole.stored else FORMAT
    written = fields.get("format", readable)
    if written.integer(least=1, most=10**6) != readable:
        raise written.refused(f"This release reads only format {readable}.")
    listed = [_asset(item) for item in fields.get("assets", []).items(most=200)]
    check_paths((asset.path for asset in listed), fields.get("assets", []))
    assets = {asset.path: asset for asset in listed}
    runtimes = tuple(_runtime(*pair, assets) for pair in fields["runtimes"].named(most=20))
    context = ParseContext(
        assets=assets,
        runtimes=frozenset(runtime.name for runtime in runtimes),
        java_runtimes=frozenset(runtime.name for runtime in runtimes if runtime.java),
        secrets=frozenset(item.word() for item in fields.get("secrets", []).items(most=20)),
        settings={
            Value(name, setting.pointer).word(): parse_setting(setting)
            for name, setting in fields.get("settings", {}).entries(most=100)
        },
    )
    app = App(
        name=fields["name"].name(),
        version=parse_version(fields["version"]),
        title=fields["title"].text(longest=100),
        description=fields.get("description", "").text(longest=2000, shortest=0, lines=True),
        roles=parse_roles(fields["roles"], context),
        runtimes=runtimes,
        settings=context.settings,
        secrets=tuple(sorted(context.secrets)),
        assets=tuple(assets.values()),
    )
    files = sum(len(file.content) for role in app.roles for file in role.files)
    if files + sum(len(asset.content) for asset in app.assets) > _LONGEST_APP:
        raise whole.refused(f"Files and assets must have at most {_LONGEST_APP} characters in all.")
    return app


def parse_version(value: Value) -> str:
    """The version of an app. Raises Invalid."""
    version = value.text(longest=64)
    if not _VERSION.fullmatch(version):
        raise value.refused("Use letters, digits, dots, hyphens, underscores and plus signs.")
    return version


def app_body(app: App) -> dict[str, Any]:
    """`app` as the database stores it; amounts are integers. `stored_app` reads an equal App."""
    return {
        "format": STORED_FORMAT,
        "name": app.name,
        "version": app.version,
        "title": app.title,
        "description": app.description,
        "roles": [_role_body(role) for role in app.roles],
        "runtimes": [{**asdict(runtime), "python": list(runtime.python)} for runtime in app.runtimes],
        "settings": {name: dict(schema) for name, schema in app.settings.items()},
        "secrets": list(app.secrets),
        "assets": [asdict(asset) for asset in app.assets],
    }


def digest(body: Mapping[str, Any]) -> str:
    """The SHA-256 of `body` as canonical JSON, in hexadecimal digits. Equal bodies have equal digests."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def amounts_body(amounts: Amounts) -> dict[str, str | int]:
    """What one node takes, as the API shows it: quantities of cpu, memory, gpu and storage."""
    return {resource: quantity(resource, amounts[resource]) for resource in SIZES}


def stored_amounts(amounts: Amounts) -> dict[str, int]:
    """What one node takes, as the database stores it: integers of cpu, memory, gpu and storage."""
    return {resource: amounts[resource] for resource in SIZES}


@dataclass(frozen=True, slots=True)
class _StoredBody:
    """A stored body as a cache key: two bodies are equal when their digests are."""

    digest: str
    body: Mapping[str, Any] = field(compare=False)


@lru_cache(maxsize=256)
def _read_stored(stored: _StoredBody) -> App:
    return replace(_read(Value(stored.body, stored=True)), digest=stored.digest)


def _asset(value: Value) -> Asset:
    fields = value.fields("path", "content", "executable")
    return Asset(
        path=parse_path(fields["path"]),
        content=fields["content"].text(longest=LONGEST_FILE, shortest=0, lines=True),
        executable=fields.get("executable", False).boolean(),
    )


def _runtime(name: str, value: Value, assets: Mapping[str, Asset]) -> Runtime:
    fields = value.fields("python", "java", "prepare", "image")
    prepare = fields.get("prepare", "")
    return Runtime(
        name=name,
        python=tuple(_requirement(item) for item in fields.get("python", []).items(most=100)),
        java=fields.get("java", 0).integer(least=0, most=99),
        prepare="" if prepare.raw == "" else executable(prepare, assets),
        image=fields.get("image", "").text(longest=300, shortest=0),
    )


def _requirement(value: Value) -> str:
    requirement = value.text(longest=200)
    if not requirement[0].isalnum():
        raise value.refused("Must be a Python requirement, such as numpy==2.0.0.")
    return requirement


def _role_body(role: Role) -> dict[str, Any]:
    services = [{**asdict(service), "metrics": list(service.metrics)} for service in role.services]
    return {
        "name": role.name,
        "title": role.title,
        "runtime": role.runtime,
        "command": list(role.command),
        "min_count": role.min_count,
        "max_count": role.max_count,
        "critical": role.critical,
        "when": role.when,
        "minimum": stored_amounts(role.minimum),
        "default": stored_amounts(role.default),
        "overhead": role.overhead,
        "ports": dict(role.ports),
        "env": dict(role.env),
        "files": [{**asdict(file), "on_change": file.on_change.value} for file in role.files],
        "services": services,
        "hooks": asdict(role.hooks),
        "stop_seconds": role.stop_seconds,
    }
