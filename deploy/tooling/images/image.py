"""An image: its names, its place in the cache, and whether it is there."""

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
    """The image that it is built on, by name."""

    @cached_property
    def inputs(self) -> Inputs:
        """Raises NoImage."""
        return gather(self.app, self.runtime, self.base)

    @cached_property
    def digest(self) -> str:
        return self.inputs.digest

    @property
    def tags(self) -> tuple[str, str]:
        """The name of exactly this image, and the one that Slipway asks for."""
        name = f"localhost/{image_of(self.app, self.runtime)}"
        return f"{name}-{self.digest[:SHOWN_DIGITS]}", name

    @property
    def archive(self) -> Path:
        """A docker archive, whole whenever it is there."""
        return self.beside("tar")

    def beside(self, suffix: str) -> Path:
        name = self.tags[0].removeprefix("localhost/").replace(":", "-")
        return cache() / f"{name}.{suffix}"

    @property
    def built(self) -> bool:
        return self.archive.exists()

    @property
    def facts(self) -> dict[str, Any]:
        """{"id", "bytes", "seconds"} of the archive that is there: the image's own id, its size, how long it took."""
        facts: dict[str, Any] = json.loads(self.beside("json").read_text())
        return facts


def cache() -> Path:
    """Where archives and what they are built from are kept, outside of every checkout."""
    elsewhere = os.environ.get("SLIPWAY_IMAGE_CACHE", "")
    return Path(elsewhere).absolute() if elsewhere else Path.home() / ".cache" / "slipway" / "images"


def every_image() -> Iterator[Image]:
    """Of the catalogue, on the base that is made here."""
    for app in catalog.load():
        yield from (Image(app, runtime, base.ours()) for runtime in app.runtimes)
