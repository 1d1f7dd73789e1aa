"""`manage.py runtimes fetch [APP…]` installs the runtimes of apps for local clusters; `list` shows them."""

import os
import signal
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from controlplane.provisioners.local.launcher import file_locks
from controlplane.provisioners.local.layout import Layout
from controlplane.provisioners.local.runtimes import assets
from controlplane.provisioners.local.runtimes.install import InstallFailed, install_locked, prepare
from controlplane.provisioners.local.runtimes.runtime import LocalRuntime, describe, install_environment
from templates.catalog import load
from templates.schema import App

WAIT_SECONDS = 1.0


class Command(BaseCommand):
    help = "Install the runtimes of apps for local clusters, or list them."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=["fetch", "list"])
        parser.add_argument(
            "apps", nargs="*", metavar="APP", help="all apps of the catalogue when none is named"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        layout = Layout(settings.DATA_DIR / "sites" / "local")
        failed = 0
        chosen = _named(options["apps"])
        runtimes = [(app, describe(layout, app, runtime)) for app in chosen for runtime in app.runtimes]
        for app, runtime in runtimes:
            name = f"{app.name} {app.version}"
            if runtime.installed:
                if options["action"] == "fetch":
                    failed += not self._prepare_again(layout, app, runtime)
                self._print_installed(app, runtime)
            elif options["action"] == "list":
                self.stdout.write(f"{name}: not installed")
            else:
                with _cleaning_up():
                    failed += not self._fetch(layout, app, runtime)
        if failed:
            raise CommandError(f"{failed} could not be installed.")

    def _fetch(self, layout: Layout, app: App, runtime: LocalRuntime) -> bool:
        assets.write(layout, app)
        runtime.write_request()
        held = self._wait_for_lock(app, str(runtime.beside("lock")))
        try:
            install_locked(str(runtime.beside("request")), lambda text: self._progress(app, runtime, text))
        except InstallFailed as error:
            self.stderr.write(f"{app.name} {app.version}: {error}")
            return False
        finally:
            os.close(held)
        self._print_installed(app, runtime)
        return True

    def _prepare_again(self, layout: Layout, app: App, runtime: LocalRuntime) -> bool:
        """Run the app's prepare step again: it restores missing files, and changes nothing else."""
        if not runtime.request.get("prepare"):
            return True
        # Several data directories may share the runtime, and this one may not have the app's files yet.
        assets.write(layout, app)
        held = self._wait_for_lock(app, str(runtime.beside("lock")))
        try:
            prepare(runtime.home, runtime.request, install_environment())
        except InstallFailed as error:
            self.stderr.write(f"{app.name} {app.version}: {error}")
            return False
        finally:
            os.close(held)
        return True

    def _print_installed(self, app: App, runtime: LocalRuntime) -> None:
        self._print(app, f"installed at {runtime.home}")
        if notice := runtime.notice:
            self._print(app, notice)

    def _wait_for_lock(self, app: App, lock: str) -> int:
        if (held := file_locks.acquire(lock)) is not None:
            return held
        self._print(app, "is being installed by another process")
        while (held := file_locks.acquire(lock)) is None:
            time.sleep(WAIT_SECONDS)
        return held

    def _progress(self, app: App, runtime: LocalRuntime, text: str) -> None:
        # Launchers that wait for this runtime read the file.
        runtime.beside("progress").write_text(text)
        self._print(app, text)

    def _print(self, app: App, text: str) -> None:
        self.stdout.write(f"{app.name} {app.version}: {text}")


@contextmanager
def _cleaning_up() -> Iterator[None]:
    """Turn SIGTERM into SystemExit, so that `finally` blocks end the child processes."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _named(names: list[str]) -> list[App]:
    apps = load()
    unknown = set(names) - {app.name for app in apps}
    if unknown:
        raise CommandError(f"There is no app {', '.join(sorted(unknown))}.")
    return [app for app in apps if not names or app.name in names]
