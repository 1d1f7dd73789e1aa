"""Hooks and scripts of apps on this machine's disk: one folder for each distinct set, written once."""

import hashlib
import json
import os
import shutil
from pathlib import Path

from controlplane.provisioners.local.layout import Layout
from controlplane.provisioners.node_environment import contained_path
from controlplane.system import files
from templates.schema import App


def folder(layout: Layout, app: App) -> Path:
    """The folder of this app's assets, whether or not it exists. Its name is a digest of their content."""
    body = sorted((asset.path, asset.content, asset.executable) for asset in app.assets)
    return layout.assets / hashlib.sha256(json.dumps(body).encode()).hexdigest()[:32]


def write(layout: Layout, app: App) -> Path:
    """Write the assets if they are not there. Returns their folder; it is never there in part."""
    target = folder(layout, app)
    if target.is_dir():
        return target
    draft = target.with_name(f"{target.name}.{os.urandom(4).hex()}.new")
    try:
        files.make_folder(draft)
        for asset in app.assets:
            path = draft / contained_path(asset.path)
            files.make_folder(path.parent)
            files.write(path, asset.content.encode(), mode=0o700 if asset.executable else 0o600)
        draft.rename(target)
    except OSError:
        shutil.rmtree(draft, ignore_errors=True)
        # Another process may have written the same folder meanwhile.
        if not target.is_dir():
            raise
    return target
