"""A launch as `Cluster.effective` stores it: groups with integer amounts, settings, and the digest of the app's body.

The body itself is stored once, in the catalogue, where the database refuses to change or delete it.
"""

from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any, Final

from templates import models
from templates.parsing import stored_amounts
from templates.schema import App, Group, Launch
from tenants.amounts import Amounts

FORMAT: Final = 3


def launch_to_json(launch: Launch) -> dict[str, Any]:
    """`launch` as JSON. Raises ValueError when its app is not registered."""
    app = launch.app
    if not app.digest:
        raise ValueError(f"{app.name} {app.version} is not registered")
    return {
        "format": FORMAT,
        "app": {"name": app.name, "version": app.version, "digest": app.digest},
        "groups": [{**asdict(group), "each": stored_amounts(group.each)} for group in launch.groups],
        "settings": dict(launch.settings),
    }


def launch_from_json(body: Mapping[str, Any]) -> Launch:
    """The Launch that `launch_to_json` wrote. Raises ValueError for the format of another release."""
    if body["format"] != FORMAT:
        raise ValueError(f"a stored launch has format {body['format']!r}; this release reads {FORMAT}")
    return Launch(
        app=registered_app(body["app"]["digest"]),
        groups=tuple(Group(**{**group, "each": Amounts(**group["each"])}) for group in body["groups"]),
        settings=body["settings"],
    )


@lru_cache(maxsize=256)
def registered_app(digest: str) -> App:
    """The app with this digest, withdrawn or not. Read once per process, because a stored body never changes."""
    return models.App.objects.get(digest=digest).spec
