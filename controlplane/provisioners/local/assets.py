"""Hooks and scripts of apps on this machine's disk: one folder for each distinct set, written once."""

import hashlib
import json
import os
import shutil
from pathlib import Path

from controlplane.provisioners.local import files
from controlplane.provisioners.local.layout import Layout
from controlplane.provisioners.rendering import inside
from templates.schema import App


def folder(layout: Layout, app: App) -> Path:
    """Where the app's assets lie or will lie, named after their content."""
    body = sorted((asset.path, asset.content, asset.executable) for asset in app.assets)
    return layout.assets / hashlib.sha256(json.dumps(body).encode()).hexdigest()[:32]


def write(layout: Layout, app: App) -> Path:
    """The folder, complete."""
    place = folder(layout, app)
    if place.is_dir():
        return place
    draft = place.with_name(f"{place.name}.{os.urandom(4).hex()}.new")
    try:
        files.make_folder(str(draft))
        for asset in app.assets:
            target = draft / inside(asset.path)
            files.make_folder(str(target.parent))
            files.write(str(target), asset.content.encode(), mode=0o700 if asset.executable else 0o600)
        draft.rename(place)
    except OSError:
        shutil.rmtree(draft, ignore_errors=True)
        if not place.is_dir():
            raise
    return place
