"""`manage.py site add | list | check | remove`: where clusters can run."""

import argparse
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from controlplane.clusters.models import Site
from controlplane.clusters.models.site import SiteKind
from controlplane.clusters.services.sites import site_proved, site_put, site_remove
from controlplane.management import site_options
from controlplane.provisioners.base import Permanent, Temporary
from controlplane.provisioners.kubernetes import check, names, prove
from controlplane.provisioners.kubernetes.proof import Outcome
from controlplane.provisioners.kubernetes.settings import SettingsInvalid, SiteSettings
from controlplane.reconciler.provisioning import installation_id
from controlplane.standalone.attach import attach
from controlplane.standalone.datadir import default_root
from controlplane.standalone.errors import ExpectedError
from controlplane.standalone.keys import ENVIRONMENT
from templates.catalog import load
from templates.images import image_of
from tenants.errors import Invalid, NotFound, Refused

COLOURS = {Outcome.HOLDS: "green", Outcome.BROKEN: "red", Outcome.UNKNOWN: "yellow"}
KEYS = tuple(ENVIRONMENT[name] for name in ("installation", "secret"))
# Small, and it has what the probes need.
PROBE_APP = "jupyterlab"
ADD = """Register a Kubernetes cluster, or change how it is reached and what clusters get there. Everything that is not
said is as it was for a new site. Secrets stay in their files: only the paths are written down."""
CHECK = """Prove, by pods that try and must fail, that tenants are shut off from one another there; also that it can be
reached, that our accounts may do what they need and no more, and that storage and DNS work. The verdict is kept
and shown by the API. It leaves nothing behind. Exit code 0 when everything holds, 1 when something does not."""


class Command(BaseCommand):
    help = "Register, list, check and remove sites: places where clusters run."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        _action(actions, "list", "show every site as a worker last found it")
        add = _action(actions, "add", "register a Kubernetes cluster, or change one", ADD)
        add.add_argument("name")
        site_options.add_arguments(add)
        examine = _action(actions, "check", "prove what is said of a site", CHECK)
        examine.add_argument("name")
        examine.add_argument(
            "--probe-image", default="", help="with a shell and Python or busybox; else that of notebooks"
        )
        remove = _action(actions, "remove", "forget a site that has no clusters")
        remove.add_argument("name")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            attach(options["data_dir"].absolute())
            getattr(self, f"_{options['action']}")(options)
        except (SettingsInvalid, ExpectedError) as error:
            raise CommandError(str(error)) from error
        except (Temporary, Permanent) as error:
            raise CommandError(f"{error.reason}: {error.message}") from error
        except NotFound as error:
            raise CommandError(f"There is no site {options['name']}.") from error
        except Invalid as error:
            raise CommandError(f"{options['name']}: {error.detail}") from error
        except Refused as error:
            raise CommandError(error.detail) from error

    def _list(self, options: dict[str, Any]) -> None:
        table = Table(box=None, pad_edge=False)
        for heading in ("name", "kind", "ready", "isolation", "checked", "what is known"):
            table.add_column(heading, overflow="fold")
        for site in _shown():
            checked = site.checked_at.strftime("%Y-%m-%d %H:%M") if site.checked_at else "never"
            ready = "yes" if site.ready else "no"
            table.add_row(site.name, site.kind, ready, site.isolation, checked, site.message)
        _print(table)

    def _add(self, options: dict[str, Any]) -> None:
        given = site_options.settings_of(options)
        parsed = _parsed(given)
        site_put(name=options["name"], kind=SiteKind.KUBERNETES, settings=given)
        self.stdout.write(f"{options['name']} is registered; a worker checks it within seconds.")
        if parsed.shares_accounts:
            self.stdout.write(check.SHARED)
        self.stdout.write(f"Isolation is unknown until it is tried: manage.py site check {options['name']}")

    def _check(self, options: dict[str, Any]) -> None:
        _require_key()
        site = _named(options["name"])
        if site.kind != SiteKind.KUBERNETES:
            raise CommandError(
                f"A site of kind {site.kind} shuts nobody off from anybody: nothing is to be proved."
            )
        parsed = _parsed(site.settings)
        proof = prove.prove(parsed, image=options["probe_image"] or _probe_image(parsed))
        site_proved(site=site, isolation=proof.isolation, proof=proof.message)
        table = Table(box=None, pad_edge=False, show_header=False)
        for finding in proof.findings:
            colour = COLOURS[finding.outcome]
            table.add_row(f"[{colour}]{finding.outcome}[/]", finding.name, finding.detail)
        _print(table)
        self.stdout.write(f"isolation: {proof.isolation}")
        if not proof.holds:
            sys.exit(1)

    def _remove(self, options: dict[str, Any]) -> None:
        _require_key()
        site = _named(options["name"])
        site_remove(name=site.name)
        self.stdout.write(f"{site.name} is forgotten.")
        if site.kind != SiteKind.KUBERNETES:
            return
        label = f"{names.INSTALLATION}={installation_id()}"
        self.stdout.write(f"What it holds of tenants is still there: kubectl get namespaces -l {label}")
        try:
            check.release(_parsed(site.settings))
        except (Temporary, Permanent) as error:
            self.stderr.write(
                f"No other installation can use it while it has a namespace {check.CLAIM}, which could not be "
                f"deleted now ({error.message})."
            )


def _action(actions: Any, name: str, words: str, more: str = "") -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=words, description=more or words)
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=default_root(),
        help="of the `up` that this is for, where DATABASE_URL names no database (%(default)s)",
    )
    return parser


def _shown() -> list[Site]:
    sites = Site.objects.order_by("name")
    return list(sites if settings.FAKE_SITE else sites.exclude(kind=SiteKind.FAKE))


def _parsed(given: dict[str, Any]) -> SiteSettings:
    return SiteSettings.parse({**given, "installation": installation_id()})


def _require_key() -> None:
    """Without it this process would be an installation of its own, and claim the site for nobody."""
    if not any(os.environ.get(name) or os.environ.get(f"{name}_FILE") for name in KEYS):
        raise CommandError(f"Set {KEYS[0]}, or {KEYS[0]}_FILE, as the workers have it: sites know us by it.")


def _named(name: str) -> Site:
    site = Site.objects.filter(name=name).first()
    if site is None:
        raise NotFound
    return site


def _probe_image(parsed: SiteSettings) -> str:
    [app] = [app for app in load() if app.name == PROBE_APP]
    return parsed.image(image_of(app, app.runtimes[0]))


def _print(table: Table) -> None:
    # Where there is no terminal, wide enough for one line each.
    Console(width=shutil.get_terminal_size((200, 24)).columns).print(table)
