"""The apps and templates that ship with Slipway: a YAML file each, with a folder of assets beside it."""

import os
from collections.abc import Hashable
from pathlib import Path
from typing import Any, Final

import yaml

from templates.parsing import parse_app
from templates.schema import App
from tenants.errors import Invalid

FOLDER: Final = Path(__file__).with_name("catalog")
TEMPLATES: Final = "templates.yaml"


class BadCatalog(ValueError):  # noqa: N818 - read as a finding
    """A file of the catalogue cannot be used; the message names it, the place in it and what is wrong."""


def load(folder: Path = FOLDER) -> list[App]:
    """Every app of `folder`, by name. Raises BadCatalog."""
    return [_load_app(path) for path in sorted(folder.glob("*.yaml")) if path.name != TEMPLATES]


def load_templates(folder: Path = FOLDER) -> dict[str, dict[str, Any]]:
    """The bodies of the templates that ship, by name; apps are named without a version. Raises BadCatalog."""
    path = folder / TEMPLATES
    bodies = _load_yaml(path) if path.exists() else {}
    for name, body in bodies.items():
        if not isinstance(body, dict) or not isinstance(body.get("app"), str):
            raise BadCatalog(f"{TEMPLATES}: /{name}/app: must be the name of an app")
    return bodies


def _load_app(path: Path) -> App:
    body = _load_yaml(path)
    if "assets" in body:
        raise BadCatalog(f"{path.name}: /assets: assets are the files in the folder {path.stem}")
    try:
        app = parse_app({**body, "assets": _assets(path.with_suffix(""))})
    except Invalid as refusal:
        found = "; ".join(f"{error['pointer']}: {error['detail']}" for error in refusal.errors)
        raise BadCatalog(f"{path.name}: {found}") from None
    if app.name != path.stem:
        raise BadCatalog(f"{path.name}: /name: must be {path.stem}, like the file")
    return app


def _assets(folder: Path) -> list[dict[str, Any]]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    return [_asset(path, path.relative_to(folder).as_posix()) for path in files]


def _asset(path: Path, name: str) -> dict[str, Any]:
    if path.is_symlink():
        raise BadCatalog(f"{name}: an asset is a file of its own, never a link")
    try:
        content = path.read_bytes().decode()
    except UnicodeDecodeError:
        raise BadCatalog(f"{name}: an asset is text in UTF-8") from None
    return {"path": name, "content": content, "executable": os.access(path, os.X_OK)}


def _load_yaml(path: Path) -> dict[str, Any]:
    try:
        body = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise BadCatalog(f"{path.name}: {error}") from None
    if not isinstance(body, dict):
        raise BadCatalog(f"{path.name}: must be a mapping")
    return body


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice: the second would silently win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = next((key for index, key in enumerate(keys) if key in keys[:index]), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(None, None, f"{twice!r} is there twice", node.start_mark)
        return super().construct_mapping(node, deep)
