"""What pods mount: the app's own files in a ConfigMap, everything rendered in a Secret. Both are immutable.

Each content is stored once, under its digest, and each pod mounts the entries that it needs: sixty workers with the
same file share one entry. The objects are named after their content, so a changed content is another object.
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
from controlplane.provisioners.node_environment import Rendered, contained_path
from templates.schema import App

READ, EXECUTE, OWN = 0o444, 0o555, 0o440


@dataclass(frozen=True, slots=True)
class Payload:
    """What all nodes of a cluster mount. assets: key -> text. secrets: key -> content in base 64."""

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
    """The key under which a content is stored."""
    return hashlib.sha256(content.encode()).hexdigest()[:32]


@lru_cache(maxsize=64)
def _of_app(app: App) -> tuple[dict[str, str], list[Body]]:
    """Assets and their items. They are the same for every cluster of an app."""
    return assets(app), asset_items(app)


def assets(app: App) -> dict[str, str]:
    """Key -> text, of the app's assets and of Slipway's own scripts."""
    return {key(text): text for text in sorted([*_scripts().values(), *(a.content for a in app.assets)])}


def asset_items(app: App) -> list[Body]:
    """The items of the assets volume: where each key is mounted below {dir.app}."""
    items = [
        _item(asset.content, str(contained_path(asset.path)), EXECUTE if asset.executable else READ)
        for asset in app.assets
    ]
    return items + [_item(text, path, EXECUTE) for path, text in _scripts().items()]


def secrets(given: Iterable[Rendered]) -> dict[str, str]:
    """Key -> content in base 64: the files and the secret variables of all these nodes."""
    texts = sorted(
        {
            text
            for each in given
            for text in [*each.files.values(), *(each.env[name] for name in each.secret_env)]
        }
    )
    return {key(text): base64.b64encode(text.encode()).decode() for text in texts}


def file_items(given: Rendered) -> list[Body]:
    """The items of the conf volume: where each file of a node is mounted below {dir.conf}."""
    return [_item(text, path, OWN) for path, text in given.files.items()]


def _scripts() -> Mapping[str, str]:
    return {f"{SCRIPTS_FOLDER}/{name}": text for name, text in SCRIPTS.items()}


def _item(content: str, path: str, mode: int) -> Body:
    return {"key": key(content), "path": path, "mode": mode}


def _named(desired: Desired, kind: str, data: Mapping[str, str]) -> str:
    digest = hashlib.sha256("\n".join(sorted(data)).encode()).hexdigest()[:12]
    return f"{names.run_root(desired.cluster.id, desired.run)}-{kind}-{digest}"
