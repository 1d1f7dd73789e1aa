"""`manage.py images build|list|path|context`: the container images of the apps in the catalogue."""

import signal
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from controlplane.standalone.installation.errors import ExpectedError
from deploy.tooling.images import base
from deploy.tooling.images.build import build
from deploy.tooling.images.image import Image
from deploy.tooling.images.inputs import NoImage
from templates.catalog import load
from templates.images import image_of

MEGABYTE = 1_000_000


class Command(BaseCommand):
    help = "Build the container images of apps, list them, or print the paths of their archives."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        for name, text in {
            "build": "build the missing images",
            "list": "list all images, built or not",
            "path": "print the paths of the archives; fails when one is not built",
        }.items():
            action = actions.add_parser(name, help=text)
            action.add_argument("apps", nargs="*", metavar="APP", help="default: all apps")
        action = actions.add_parser("context", help="fill a folder for docker build, podman or buildah")
        action.add_argument("apps", nargs=1, metavar="APP")
        action.add_argument("folder", type=Path, metavar="FOLDER")
        for action in actions.choices.values():
            action.add_argument(
                "--base",
                default="",
                metavar="IMAGE",
                help="a public base image (default: one made of Debian packages)",
            )

    def handle(self, *args: Any, **options: Any) -> None:
        # Turn SIGTERM into SystemExit, so that `finally` blocks end the child processes.
        before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        default = "debian:bookworm-slim" if options["action"] == "context" else base.ours()
        base_name = options["base"] or default
        try:
            for image in _images(options["apps"], base_name):
                getattr(self, f"_{options['action']}")(image, options)
        except (NoImage, ExpectedError) as error:
            raise CommandError(str(error)) from None
        finally:
            signal.signal(signal.SIGTERM, before)

    def _build(self, image: Image, options: dict[str, Any]) -> None:
        name = image_of(image.app, image.runtime)
        build(image, lambda text: self.stdout.write(f"{name}: {text}"))
        self.stdout.write(f"{name}: {_megabytes(image)} at {image.archive}")

    def _list(self, image: Image, options: dict[str, Any]) -> None:
        state = f"{_megabytes(image)}  {image.facts['id'][:12]}" if image.built else "not built"
        self.stdout.write(f"{image_of(image.app, image.runtime):28}{image.tags[0]}  {state}")

    def _path(self, image: Image, options: dict[str, Any]) -> None:
        if not image.built:
            raise CommandError(f"{image.tags[1]} is not built: manage.py images build {image.app.name}")
        self.stdout.write(str(image.archive))

    def _context(self, image: Image, options: dict[str, Any]) -> None:
        folder = options["folder"]
        if folder.exists() and any(folder.iterdir()):
            raise CommandError(f"{folder} is not empty.")
        image.inputs.write(folder)
        arguments = {**image.inputs.arguments, "INPUTS": image.digest}
        words = " ".join(f"--build-arg {name}={value}" for name, value in arguments.items())
        # Docker looks for a Dockerfile unless --file names another.
        named = f"--tag {image_of(image.app, image.runtime)} --file {folder}/Containerfile"
        self.stdout.write(f"docker build {words} {named} {folder}")


def _images(names: list[str], base_name: str) -> Iterator[Image]:
    apps = load()
    unknown = set(names) - {app.name for app in apps}
    if unknown:
        raise CommandError(f"There is no app {', '.join(sorted(unknown))}.")
    for app in apps:
        if not names or app.name in names:
            yield from (Image(app, runtime, base_name) for runtime in app.runtimes)


def _megabytes(image: Image) -> str:
    return f"{image.facts['bytes'] // MEGABYTE} MB"
