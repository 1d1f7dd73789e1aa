"""What pods mount: the app's own files in a ConfigMap, all that was rendered in a Secret. Both never change.

Every content lies there once, under its digest, and each pod picks what is its own: sixty workers with the same file
are one entry. The objects are named after what is in them, so that another content is another object.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from controlplane.provisioners.base import Desired
from controlplane.provisioners.kubernetes.objects import names
from controlplane.provisioners.kubernetes.objects.body import Body
from controlplane.provisioners.kubernetes.objects.container_layout import SCRIPTS, SCRIPTS_FOLDER
from controlplane.provisioners.rendering import Rendered, inside
from templates.schema import App

READ, EXECUTE, OWN = 0o444, 0o555, 0o440


@dataclass(frozen=True, slots=True)
class Payload:
    """Of all nodes of a cluster. assets, secrets: key -> content, the latter in base 64."""

    assets_name: str
    assets: Mapping[str, str]
    asset_items: list[Body]
    secret_name: str
    secrets: Mapping[str, str]

    @classmethod
    def of(cls, desired: Desired, given: Iterable[Rendered]) -> "Payload":
        contents, items = _of_app(desired.launch.app)
        private = secrets(given)
        return cls(
            _named(desired, "app", contents),
            contents,
            items,
            _named(desired, "conf", private),
            private,
        )


def key(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()[:32]


@lru_cache(maxsize=64)
def _of_app(app: App) -> tuple[dict[str, str], list[Body]]:
    """The same for every cluster of an app."""
    return assets(app), asset_items(app)


def assets(app: App) -> dict[str, str]:
    """Key -> content."""
    return {key(text): text for text in sorted([*_scripts().values(), *(a.content for a in app.assets)])}


def asset_items(app: App) -> list[Body]:
    """Where each lies below {dir.app}."""
    items = [
        _item(asset.content, str(inside(asset.path)), EXECUTE if asset.executable else READ)
        for asset in app.assets
    ]
    return items + [_item(text, path, EXECUTE) for path, text in _scripts().items()]


def secrets(given: Iterable[Rendered]) -> dict[str, str]:
    """Key -> content in base 64, of all these nodes."""
    texts = sorted({text for each in given for text in _private(each)})
    return {key(text): base64.b64encode(text.encode()).decode() for text in texts}


def file_items(given: Rendered) -> list[Body]:
    """Where each lies below {dir.conf}."""
    return [_item(text, path, OWN) for path, text in given.files.items()]


def _private(given: Rendered) -> list[str]:
    return [*given.files.values(), *(given.env[name] for name in given.secret_env)]


def _scripts() -> Mapping[str, str]:
    return {f"{SCRIPTS_FOLDER}/{name}": text for name, text in SCRIPTS.items()}


def _item(content: str, path: str, mode: int) -> Body:
    return {"key": key(content), "path": path, "mode": mode}


def _named(desired: Desired, kind: str, data: Mapping[str, str]) -> str:
    digest = hashlib.sha256("\n".join(sorted(data)).encode()).hexdigest()[:12]
    return f"{names.run_root(desired.cluster.id, desired.run)}-{kind}-{digest}"
