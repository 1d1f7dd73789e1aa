from pathlib import Path

import pytest
from knox.auth import TokenAuthentication

from controlplane.clusters.models import Site
from controlplane.standalone.bootstrap import bootstrap
from templates.models import Template
from tenants.actors import system_actor
from tenants.models import ApiToken, AuditEvent, Limit, Membership, Tenant, User
from tenants.services.users import user_create

pytestmark = pytest.mark.django_db


def _counts() -> list[int]:
    return [
        model.objects.count()
        for model in (User, Tenant, Membership, Limit, ApiToken, Site, Template, AuditEvent)
    ]


def test_a_new_installation_has_an_admin_who_can_sign_in(tmp_path: Path) -> None:
    bootstrap(tmp_path)
    admin = User.objects.get(is_superuser=True)
    assert admin.username == "admin"
    assert admin.check_password((tmp_path / "admin-password").read_text().strip())
    token = (tmp_path / "admin-token").read_bytes().strip()
    owner, _ = TokenAuthentication().authenticate_credentials(token)  # type: ignore[no-untyped-call]
    assert owner == admin


def test_what_is_secret_is_private(tmp_path: Path) -> None:
    bootstrap(tmp_path)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_there_is_a_tenant_to_try(tmp_path: Path) -> None:
    bootstrap(tmp_path)
    limit = Limit.objects.get(tenant__name="demo", user=None)
    assert (limit.limit_cpu, limit.limit_memory) == (8000, 16 * 2**30)
    assert Membership.objects.get(tenant__name="demo").role == "admin"


def test_the_quick_launch_templates_are_published_to_every_tenant(tmp_path: Path) -> None:
    bootstrap(tmp_path)
    published = Template.objects.filter(tenant=None, state="published").values_list("name", flat=True)
    assert {"spark", "spark-notebook", "notebook"} <= set(published)
    assert Site.objects.get().name == "local"


def test_a_second_start_changes_nothing(tmp_path: Path) -> None:
    bootstrap(tmp_path)
    before = _counts(), (tmp_path / "admin-token").read_text(), (tmp_path / "admin-password").read_text()
    bootstrap(tmp_path)
    assert (
        _counts(),
        (tmp_path / "admin-token").read_text(),
        (tmp_path / "admin-password").read_text(),
    ) == before


def test_an_installation_with_a_site_admin_is_left_as_it_is(tmp_path: Path) -> None:
    user_create(actor=system_actor(), username="root", password="correct horse battery", site_admin=True)
    bootstrap(tmp_path)
    assert not User.objects.filter(username="admin").exists()
    assert not Tenant.objects.exists()
    assert list(tmp_path.iterdir()) == []


def test_no_admin_is_valid_whose_password_could_not_be_kept(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        bootstrap(tmp_path / "missing")
    assert not User.objects.exists()
    bootstrap(tmp_path)
    assert User.objects.get().check_password((tmp_path / "admin-password").read_text().strip())
