"""An image: its tags, its files in the cache, and whether it is built."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from deploy.tooling.images import base
from deploy.tooling.images.inputs import Inputs, gather
from templates import catalog
from templates.images import image_of
from templates.schema import App, Runtime

SHOWN_DIGITS = 12


@dataclass(frozen=True)
class Image:
    app: App
    runtime: Runtime
    base: str
    """The name of the base image."""

    @cached_property
    def inputs(self) -> Inputs:
        """Raises NoImage."""
        return gather(self.app, self.runtime, self.base)

    @cached_property
    def digest(self) -> str:
        return self.inputs.digest

    @property
    def tags(self) -> tuple[str, str]:
        """The tag with the digest of the inputs, and the tag that pods name."""
        name = f"localhost/{image_of(self.app, self.runtime)}"
        return f"{name}-{self.digest[:SHOWN_DIGITS]}", name

    @property
    def archive(self) -> Path:
        """The docker archive. If it exists, it is complete."""
        return self.beside("tar")

    def beside(self, suffix: str) -> Path:
        name = self.tags[0].removeprefix("localhost/").replace(":", "-")
        return cache() / f"{name}.{suffix}"

    @property
    def built(self) -> bool:
        return self.archive.exists()

    @property
    def facts(self) -> dict[str, Any]:
        """The image's id, the archive's size in bytes and the build's duration: {"id", "bytes", "seconds"}."""
        facts: dict[str, Any] = json.loads(self.beside("json").read_text())
        return facts


def cache() -> Path:
    """Returns the folder of archives and of buildah's storage, which all checkouts share."""
    elsewhere = os.environ.get("SLIPWAY_IMAGE_CACHE", "")
    return Path(elsewhere).absolute() if elsewhere else Path.home() / ".cache" / "slipway" / "images"


def every_image() -> Iterator[Image]:
    """Yields the images of all apps in the catalogue, on our own base."""
    for app in catalog.load():
        yield from (Image(app, runtime, base.ours()) for runtime in app.runtimes)
