"""`manage.py site add | list | allow | check | prepull | remove`: where clusters can run."""

import argparse
import os
import shutil
import sys
from typing import Any

import yaml
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from controlplane.clusters.models import Site
from controlplane.clusters.models.site import SiteKind
from controlplane.clusters.services.sites import site_allow, site_moves, site_proved, site_put, site_remove
from controlplane.management import site_options
from controlplane.provisioners.base import Permanent, Temporary
from controlplane.provisioners.kubernetes.objects import names
from controlplane.provisioners.kubernetes.settings import SettingsInvalid, SiteSettings
from controlplane.provisioners.kubernetes.site import check, identity, prepull, prove
from controlplane.provisioners.kubernetes.site.proof import ProbeOutcome
from controlplane.reconciler.site.provisioning import installation_id
from controlplane.standalone.installation.errors import ExpectedError
from controlplane.standalone.installation.keys import ENVIRONMENT
from templates.catalog import load
from templates.images import image_of
from templates.selectors import apps
from tenants.errors import Invalid, NotFound, Refused
from tenants.models import TenantState

COLOURS = {ProbeOutcome.HOLDS: "green", ProbeOutcome.BROKEN: "red", ProbeOutcome.UNKNOWN: "yellow"}
KEYS = tuple(ENVIRONMENT[name] for name in ("installation", "secret"))
# The smallest app whose image has the programs of the probes.
PROBE_APP = "jupyterlab"
ADD = """Register a Kubernetes cluster, or change how it is reached and what clusters get there. Options that are not
given have the value of a new site. Secrets stay in their files: only the paths are stored."""
ALLOW = """Set which tenants may launch on the site: the named ones only, or everyone, as on a new site. Other tenants
do not see the site. Their clusters on it keep running; they can be stopped and deleted, but not started."""
PREPULL = """Print a DaemonSet that pulls the images of the apps to all machines of the site, so that no launch waits
for them, and the Secret with the login to the registry where the site has one. Apply both by `kubectl apply -f -`:
Slipway's own accounts may not. Repeat this after an upgrade."""
CHECK = """Prove that tenants are isolated from one another on the site, by pods whose attempts must fail. Check also
that the site can be reached, that our accounts have the permissions they need and no others, and that storage and DNS
work. The result is stored and shown by the API. All test objects are deleted. Exit code 0 when every check holds,
else 1."""


class Command(BaseCommand):
    help = "Register, list, check and remove sites: places where clusters run."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        _action(actions, "list", "show every site with its last known state")
        add = _action(actions, "add", "register a Kubernetes cluster, or change one", ADD)
        add.add_argument("name")
        site_options.add_arguments(add)
        add.add_argument(
            "--replace",
            action="store_true",
            help="the former Kubernetes of this site is gone for good: give up its clusters, and use this one instead",
        )
        allowing = _action(actions, "allow", "set which tenants may launch there", ALLOW)
        allowing.add_argument("name")
        who = allowing.add_mutually_exclusive_group(required=True)
        who.add_argument("--tenant", action="append", metavar="TENANT")
        who.add_argument("--everyone", action="store_true")
        examine = _action(actions, "check", "prove that tenants are isolated on a site", CHECK)
        examine.add_argument("name")
        examine.add_argument(
            "--probe-image",
            default="",
            help="an image with a shell and Python or busybox (default: the one of notebooks)",
        )
        bring = _action(actions, "prepull", "print a DaemonSet that pulls images in advance", PREPULL)
        bring.add_argument("name")
        remove = _action(actions, "remove", "unregister a site that has no clusters")
        remove.add_argument("name")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
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
        for heading in ("name", "kind", "tenants", "ready", "isolation", "checked", "message"):
            table.add_column(heading, overflow="fold")
        sites = Site.objects.order_by("name")
        for site in sites if settings.FAKE_SITE else sites.exclude(kind=SiteKind.FAKE):
            checked = site.checked_at.strftime("%Y-%m-%d %H:%M") if site.checked_at else "never"
            ready = "yes" if site.ready else "no"
            table.add_row(
                site.name, site.kind, _tenants_of(site), ready, site.isolation, checked, site.message
            )
        _print(table)

    def _add(self, options: dict[str, Any]) -> None:
        given = site_options.settings_of(options)
        parsed = _parsed(given)
        _require_apps(given)
        name, replace = options["name"], options["replace"]
        found = identity.identity_of(parsed) if site_moves(name=name, settings=given) and not replace else ""
        site_put(name=name, kind=SiteKind.KUBERNETES, settings=given, identity=found, replace=replace)
        self.stdout.write(f"{options['name']} is registered; a worker checks it in a few seconds.")
        if parsed.shares_accounts:
            self.stdout.write(check.SHARED)
        self.stdout.write(
            f"Its isolation is unknown until you check it: manage.py site check {options['name']}"
        )

    def _allow(self, options: dict[str, Any]) -> None:
        site = site_allow(name=options["name"], tenants=None if options["everyone"] else options["tenant"])
        self.stdout.write(f"{site.name} is for {_tenants_of(site)}.")

    def _prepull(self, options: dict[str, Any]) -> None:
        _require_key()
        site = _kubernetes(options["name"], "only Kubernetes sites pull images")
        parsed = _parsed(site.settings)
        bodies = prepull.prepull(parsed, load())
        if parsed.registry_auth:
            self.stderr.write(
                f"The output holds the login of {parsed.registry_auth}: apply it, do not keep it."
            )
        self.stdout.write(yaml.dump_all(bodies, Dumper=_Plain, sort_keys=False))

    def _check(self, options: dict[str, Any]) -> None:
        _require_key()
        site = _kubernetes(options["name"], "it does not isolate tenants, so there is nothing to check")
        parsed = _parsed({**site.settings, "identity": site.identity})
        proof = prove.prove(parsed, image=options["probe_image"] or _probe_image(parsed))
        site_proved(site=site, isolation=proof.isolation, proof=proof.message)
        table = Table(box=None, pad_edge=False, show_header=False)
        for result in proof.results:
            colour = COLOURS[result.outcome]
            table.add_row(f"[{colour}]{result.outcome}[/]", result.name, result.detail)
        _print(table)
        self.stdout.write(f"isolation: {proof.isolation}")
        if not proof.holds:
            sys.exit(1)

    def _remove(self, options: dict[str, Any]) -> None:
        _require_key()
        site = _named(options["name"])
        site_remove(name=site.name)
        self.stdout.write(f"{site.name} is removed.")
        if site.kind != SiteKind.KUBERNETES:
            return
        label = f"{names.INSTALLATION}={installation_id()}"
        self.stdout.write(f"The namespaces of its tenants still exist: kubectl get namespaces -l {label}")
        try:
            check.release(_parsed(site.settings))
        except (Temporary, Permanent) as error:
            self.stderr.write(
                f"Cannot delete its namespace {identity.CLAIM} ({error.message}). No other installation can use "
                "this Kubernetes until it is deleted."
            )


class _Plain(yaml.SafeDumper):
    """Writes no anchors, which are hard to read."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _action(actions: Any, name: str, words: str, more: str = "") -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=words, description=more or words)
    return parser


def _parsed(given: dict[str, Any]) -> SiteSettings:
    return SiteSettings.parse({**given, "installation": installation_id()})


def _require_key() -> None:
    """Refuse to run without the installation key.

    This process would make up a key, and claim the site for an installation that does not exist.
    """
    if not any(os.environ.get(name) or os.environ.get(f"{name}_FILE") for name in KEYS):
        raise CommandError(
            f"Set {KEYS[0]}, or {KEYS[0]}_FILE, as for the workers: sites identify the installation by it."
        )


def _named(name: str) -> Site:
    site = Site.objects.filter(name=name).first()
    if site is None:
        raise NotFound
    return site


def _kubernetes(name: str, otherwise: str) -> Site:
    site = _named(name)
    if site.kind != SiteKind.KUBERNETES:
        raise CommandError(f"{name} is a site of kind {site.kind}: {otherwise}.")
    return site


def _tenants_of(site: Site) -> str:
    if site.everyone:
        return "everyone"
    there = site.tenants.exclude(state=TenantState.DELETED).order_by("name")
    return ", ".join(there.values_list("name", flat=True)) or "no tenant"


def _require_apps(given: dict[str, Any]) -> None:
    known = {app.name for app in load()} | set(apps().values_list("name", flat=True))
    if strange := sorted(set(given.get("apps", ())) - known):
        raise CommandError(f"There is no app {', '.join(strange)}; the apps are: {', '.join(sorted(known))}.")


def _probe_image(parsed: SiteSettings) -> str:
    [app] = [app for app in load() if app.name == PROBE_APP]
    return parsed.image(image_of(app, app.runtimes[0]))


def _print(table: Table) -> None:
    # Without a terminal the table is wide enough for one line per row.
    Console(width=shutil.get_terminal_size((200, 24)).columns).print(table)
