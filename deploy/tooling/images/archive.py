"""Docker archives: a tar of layers with a manifest that names the image."""

import io
import json
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path

MANIFEST = "manifest.json"


def retag(source: Path, target: Path, tags: Sequence[str]) -> None:
    """Copy an archive of one image with other tags. buildah itself writes one tag only."""
    with source.open("rb") as file, target.open("wb") as out:
        with tarfile.open(fileobj=file) as old, tarfile.open(fileobj=out, mode="w") as new:
            for member in old:
                content = old.extractfile(member) if member.isfile() else None
                if member.name == MANIFEST and content is not None:
                    text = json.dumps([{**json.load(content)[0], "RepoTags": list(tags)}]).encode()
                    member.size, content = len(text), io.BytesIO(text)
                if member.name != "repositories":
                    new.addfile(member, content)
        out.flush()
        os.fsync(out.fileno())


def tags(path: Path) -> list[str]:
    with tarfile.open(path) as file:
        content = file.extractfile(MANIFEST)
        if content is None:
            raise ValueError(f"{path} is not a docker archive")
        found: list[str] = json.load(content)[0]["RepoTags"]
    return found
