"""A launch as a cluster keeps it: what was chosen, and the app by the digest of its registered body.

The body stands once, in the catalogue, where the database lets nobody change or delete it.
"""

from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any, Final

from templates import models
from templates.parsing import amounts_body
from templates.schema import App, Group, Launch
from tenants.amounts import Amounts, parse

FORMAT: Final = 2


def launch_to_json(launch: Launch) -> dict[str, Any]:
    """`launch` as plain JSON. Raises ValueError for one of an app that is not in the catalogue."""
    app = launch.app
    if not app.digest:
        raise ValueError(f"{app.name} {app.version} is not registered")
    return {
        "format": FORMAT,
        "app": {"name": app.name, "version": app.version, "digest": app.digest},
        "groups": [_group_body(group) for group in launch.groups],
        "settings": dict(launch.settings),
    }


def launch_from_json(body: Mapping[str, Any]) -> Launch:
    """The Launch that `launch_to_json` wrote. Raises ValueError for one of another release's format."""
    if body["format"] != FORMAT:
        raise ValueError(f"a stored launch has format {body['format']!r}; this release reads {FORMAT}")
    return Launch(
        app=registered_app(body["app"]["digest"]),
        groups=tuple(_group(group) for group in body["groups"]),
        settings=body["settings"],
    )


@lru_cache(maxsize=256)
def registered_app(digest: str) -> App:
    """The app of this body, withdrawn or not; read once a process, as a body never changes."""
    return models.App.objects.get(digest=digest).spec


def _group_body(group: Group) -> dict[str, Any]:
    return {**asdict(group), "each": amounts_body(group.each)}


def _group(body: Mapping[str, Any]) -> Group:
    each = Amounts(**{resource: parse(resource, value) for resource, value in body["each"].items()})
    return Group(**{**body, "each": each})
