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
from controlplane.reconciler.provisioning import installation_id
from controlplane.standalone.errors import ExpectedError
from controlplane.standalone.keys import ENVIRONMENT
from templates.catalog import load
from templates.images import image_of
from templates.selectors import apps
from tenants.errors import Invalid, NotFound, Refused
from tenants.models import TenantState

COLOURS = {ProbeOutcome.HOLDS: "green", ProbeOutcome.BROKEN: "red", ProbeOutcome.UNKNOWN: "yellow"}
KEYS = tuple(ENVIRONMENT[name] for name in ("installation", "secret"))
# Small, and it has what the probes need.
PROBE_APP = "jupyterlab"
ADD = """Register a Kubernetes cluster, or change how it is reached and what clusters get there. Everything that is not
said is as it was for a new site. Secrets stay in their files: only the paths are written down."""
ALLOW = """Say which tenants may launch there: those that are named and no others, or everyone, as on a new site. For
the rest the site is not there. What they have there already runs on and can be stopped and deleted, not started."""
PREPULL = """Print what brings the images of the apps to all machines of the site, so that no launch waits for them:
a DaemonSet for `kubectl apply -f -`, and the login to registries where the site has one. Our own accounts make none.
Print and apply it again after an upgrade."""
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
        add.add_argument(
            "--replace",
            action="store_true",
            help="the Kubernetes that it was is gone for good: give up what ran there, and take this one in its place",
        )
        allowing = _action(actions, "allow", "say which tenants may launch there", ALLOW)
        allowing.add_argument("name")
        who = allowing.add_mutually_exclusive_group(required=True)
        who.add_argument("--tenant", action="append", metavar="TENANT")
        who.add_argument("--everyone", action="store_true")
        examine = _action(actions, "check", "prove what is said of a site", CHECK)
        examine.add_argument("name")
        examine.add_argument(
            "--probe-image", default="", help="with a shell and Python or busybox; else that of notebooks"
        )
        bring = _action(actions, "prepull", "print what brings images to a site in advance", PREPULL)
        bring.add_argument("name")
        remove = _action(actions, "remove", "forget a site that has no clusters")
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
        for heading in ("name", "kind", "tenants", "ready", "isolation", "checked", "what is known"):
            table.add_column(heading, overflow="fold")
        for site in _shown():
            checked = site.checked_at.strftime("%Y-%m-%d %H:%M") if site.checked_at else "never"
            ready = "yes" if site.ready else "no"
            table.add_row(site.name, site.kind, _who(site), ready, site.isolation, checked, site.message)
        _print(table)

    def _add(self, options: dict[str, Any]) -> None:
        given = site_options.settings_of(options)
        parsed = _parsed(given)
        _require_apps(given)
        name, replace = options["name"], options["replace"]
        found = identity.identity_of(parsed) if site_moves(name=name, settings=given) and not replace else ""
        site_put(name=name, kind=SiteKind.KUBERNETES, settings=given, identity=found, replace=replace)
        self.stdout.write(f"{options['name']} is registered; a worker checks it within seconds.")
        if parsed.shares_accounts:
            self.stdout.write(check.SHARED)
        self.stdout.write(f"Isolation is unknown until it is tried: manage.py site check {options['name']}")

    def _allow(self, options: dict[str, Any]) -> None:
        site = site_allow(name=options["name"], tenants=None if options["everyone"] else options["tenant"])
        self.stdout.write(f"{site.name} is for {_who(site)}.")

    def _prepull(self, options: dict[str, Any]) -> None:
        _require_key()
        site = _kubernetes(options["name"], "no images are brought there")
        parsed = _parsed(site.settings)
        bodies = prepull.prepull(parsed, load())
        if parsed.registry_auth:
            self.stderr.write(
                f"The output holds the login of {parsed.registry_auth}: apply it, do not keep it."
            )
        self.stdout.write(yaml.dump_all(bodies, Dumper=_Plain, sort_keys=False))

    def _check(self, options: dict[str, Any]) -> None:
        _require_key()
        site = _kubernetes(options["name"], "it shuts nobody off from anybody, and nothing is to be proved")
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
        self.stdout.write(f"{site.name} is forgotten.")
        if site.kind != SiteKind.KUBERNETES:
            return
        label = f"{names.INSTALLATION}={installation_id()}"
        self.stdout.write(f"What it holds of tenants is still there: kubectl get namespaces -l {label}")
        try:
            check.release(_parsed(site.settings))
        except (Temporary, Permanent) as error:
            self.stderr.write(
                f"No other installation can use it while it has a namespace {identity.CLAIM}, which could not be "
                f"deleted now ({error.message})."
            )


class _Plain(yaml.SafeDumper):
    """For people, who read no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _action(actions: Any, name: str, words: str, more: str = "") -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=words, description=more or words)
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


def _kubernetes(name: str, otherwise: str) -> Site:
    site = _named(name)
    if site.kind != SiteKind.KUBERNETES:
        raise CommandError(f"{name} is a site of kind {site.kind}: {otherwise}.")
    return site


def _who(site: Site) -> str:
    if site.everyone:
        return "everyone"
    there = site.tenants.exclude(state=TenantState.DELETED).order_by("name")
    return ", ".join(there.values_list("name", flat=True)) or "nobody"


def _require_apps(given: dict[str, Any]) -> None:
    known = {app.name for app in load()} | set(apps().values_list("name", flat=True))
    if strange := sorted(set(given.get("apps", ())) - known):
        raise CommandError(f"There is no app {', '.join(strange)}; there is: {', '.join(sorted(known))}.")


def _probe_image(parsed: SiteSettings) -> str:
    [app] = [app for app in load() if app.name == PROBE_APP]
    return parsed.image(image_of(app, app.runtimes[0]))


def _print(table: Table) -> None:
    # Where there is no terminal, wide enough for one line each.
    Console(width=shutil.get_terminal_size((200, 24)).columns).print(table)
