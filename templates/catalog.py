"""Loading the apps and templates that ship: one YAML file per app, with a folder of assets of the same name."""

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


class BadCatalog(ValueError):  # noqa: N818 - the name says what is bad
    """A file of the catalogue is not valid. The message names the file, the JSON pointer and the error."""


def load(folder: Path = FOLDER) -> list[App]:
    """All apps of `folder`, by name. Raises BadCatalog."""
    return [_load_app(path) for path in sorted(folder.glob("*.yaml")) if path.name != TEMPLATES]


def load_templates(folder: Path = FOLDER) -> dict[str, dict[str, Any]]:
    """The bodies of the templates that ship, by name. "app" is a name without a version. Raises BadCatalog."""
    path = folder / TEMPLATES
    bodies = _load_yaml(path) if path.exists() else {}
    for name, body in bodies.items():
        if not isinstance(body, dict) or not isinstance(body.get("app"), str):
            raise BadCatalog(f"{TEMPLATES}: /{name}/app: must be the name of an app")
    return bodies


def _load_app(path: Path) -> App:
    body = _load_yaml(path)
    if "assets" in body:
        raise BadCatalog(f"{path.name}: /assets: put assets as files into the folder {path.stem} instead")
    folder = path.with_suffix("")
    files = [file for file in sorted(folder.rglob("*")) if file.is_file() and "__pycache__" not in file.parts]
    assets = [_asset(file, file.relative_to(folder).as_posix()) for file in files]
    try:
        app = parse_app({**body, "assets": assets})
    except Invalid as refusal:
        found = "; ".join(f"{error['pointer']}: {error['detail']}" for error in refusal.errors)
        raise BadCatalog(f"{path.name}: {found}") from None
    if app.name != path.stem:
        raise BadCatalog(f"{path.name}: /name: must be {path.stem}, the name of the file")
    return app


def _asset(path: Path, name: str) -> dict[str, Any]:
    if path.is_symlink():
        raise BadCatalog(f"{name}: an asset must be a file, not a link")
    try:
        content = path.read_bytes().decode()
    except UnicodeDecodeError:
        raise BadCatalog(f"{name}: an asset must be text in UTF-8") from None
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
    """Refuses a duplicate key, of which YAML would silently use the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = next((key for index, key in enumerate(keys) if key in keys[:index]), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {twice!r} occurs twice", node.start_mark
            )
        return super().construct_mapping(node, deep)
