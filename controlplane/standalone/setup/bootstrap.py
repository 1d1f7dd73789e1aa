"""Creates what a new installation starts with: sites, the shipped apps and templates, an admin, a demo tenant."""

import os
import secrets
from pathlib import Path

from django.db import transaction

from controlplane.clusters.models import Site
from controlplane.clusters.models.site import SiteKind
from controlplane.clusters.services.sites import site_put
from controlplane.standalone.installation.errors import ExpectedError
from controlplane.standalone.installation.files import write_private
from controlplane.standalone.setup import kubernetes
from controlplane.standalone.setup.production import CHECKED, local_site_wanted
from templates.services import catalog_register, defaults_publish
from tenants.access import tenant_for
from tenants.actors import Actor, actor_for, system_actor
from tenants.amounts import parse
from tenants.models import Role, Tenant, TenantState, User
from tenants.services.members import member_put
from tenants.services.tenants import tenant_create
from tenants.services.tokens import MOST_DAYS, token_create
from tenants.services.users import user_create

ADMIN = "admin"
TENANT = "demo"
TOKEN = "admin-token"  # noqa: S105 - the name of its file
# They do not depend on the size of the machine.
LIMITS = {"cpu": "8", "memory": "16Gi"}


def bootstrap(folder: Path) -> None:
    """Create what is missing. It may be repeated, and interrupted anywhere.

    An installation with a site admin keeps its users and tenants as they are; only an empty admin-token file gets a
    new token. Password and token of a new admin are written to `folder` before the transaction commits, so that none
    is ever valid and unknown.
    """
    if local_site_wanted():
        site_put(name="local", kind=SiteKind.LOCAL)
    elif os.environ.get(CHECKED):
        _refuse_local_sites()
    _kubernetes()
    catalog_register()
    defaults_publish()
    with transaction.atomic():
        if not User.objects.filter(is_superuser=True).exists():
            _first_admin(folder)
        elif (folder / TOKEN).exists() and not (folder / TOKEN).read_text().strip():
            # A user emptied the file to get a new token, or the disk was full. A file that was removed stays away.
            admin = User.objects.filter(username=ADMIN, is_superuser=True, is_active=True).first()
            if admin:
                _write_token(folder, actor_for(admin))


def _refuse_local_sites() -> None:
    # SLIPWAY_LOCAL_SITE=0 does not remove a local site that an earlier start has made.
    if site := Site.objects.filter(kind=SiteKind.LOCAL).first():
        raise ExpectedError(
            f"Not fit for production: on the local site {site.name} the code of every tenant runs as the owner of the "
            f"keys and the database. Delete its clusters, then: manage.py site remove {site.name}"
        )


def _kubernetes() -> None:
    """Register the cluster of KUBECONFIG once. Later changes of KUBECONFIG do not change the site; `site add` does."""
    if Site.objects.filter(name=kubernetes.SITE).exists():
        return
    try:
        reached = kubernetes.named()
    except ExpectedError as error:
        # Many users have a KUBECONFIG for another purpose, so this is no reason to stop.
        print(error)
        return
    if reached:
        site_put(name=kubernetes.SITE, kind="kubernetes", settings={"accounts": {"provision": reached}})


def _first_admin(folder: Path) -> None:
    password = secrets.token_urlsafe(15)
    write_private(folder / "admin-password", f"{password}\n")
    user = user_create(actor=system_actor(), username=ADMIN, password=password, site_admin=True)
    actor = actor_for(user)
    _write_token(folder, actor)
    if Tenant.objects.filter(name=TENANT).exclude(state=TenantState.DELETED).exists():
        return
    limits = {resource: parse(resource, amount) for resource, amount in LIMITS.items()}
    tenant_create(actor=actor, name=TENANT, display_name="Demo", limits=limits)
    member_put(access=tenant_for(actor, TENANT), username=ADMIN, role=Role.ADMIN)


def _write_token(folder: Path, actor: Actor) -> None:
    _, token = token_create(actor=actor, name="first token", expires_in_days=MOST_DAYS)
    write_private(folder / TOKEN, f"{token}\n")
