import json
from pathlib import Path

import pytest
from knox.auth import TokenAuthentication

from controlplane.clusters.models import Site
from controlplane.standalone.installation.errors import ExpectedError
from controlplane.standalone.setup import kubernetes
from controlplane.standalone.setup.bootstrap import bootstrap
from templates.models import Template
from tenants.actors import system_actor
from tenants.models import ApiToken, AuditEvent, Limit, Membership, Tenant, User
from tenants.services.users import user_create

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)


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


def test_files_with_secrets_are_private(tmp_path: Path) -> None:
    bootstrap(tmp_path)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_a_demo_tenant_exists(tmp_path: Path) -> None:
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


def test_an_installation_with_a_site_admin_is_not_changed(tmp_path: Path) -> None:
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


def _kubeconfig(folder: Path, context: str) -> str:
    file = folder / "kubeconfig"
    named = {
        "contexts": [{"name": name, "context": {"cluster": "one", "user": "one"}} for name in ("one", "two")],
        "clusters": [{"name": "one", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "one", "user": {"token": "x"}}],
    }
    file.write_text(json.dumps({"current-context": context, **named}))
    return str(file)


def test_the_kubernetes_that_the_environment_names_is_a_site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", _kubeconfig(tmp_path, "one"))
    bootstrap(tmp_path)
    site = Site.objects.get(name="k8s")
    assert (site.kind, site.ready) == ("kubernetes", False)
    reached = {"kubeconfig": str(tmp_path / "kubeconfig"), "context": "one"}
    assert site.settings == {"accounts": {"provision": reached}}


def test_a_site_stays_where_it_is_when_the_environment_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", _kubeconfig(tmp_path, "one"))
    bootstrap(tmp_path)
    _kubeconfig(tmp_path, "two")
    bootstrap(tmp_path)
    monkeypatch.delenv("KUBECONFIG")
    bootstrap(tmp_path)
    assert Site.objects.get(name="k8s").settings["accounts"]["provision"]["context"] == "one"


def test_an_unusable_kubeconfig_does_not_prevent_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "missing"))
    bootstrap(tmp_path)
    assert [site.name for site in Site.objects.all()] == ["local"]
    assert "Cannot use KUBECONFIG" in capsys.readouterr().out


def test_up_says_which_kubernetes_it_uses_and_that_one_account_does_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kubernetes.greeting() == ""
    monkeypatch.setenv("KUBECONFIG", _kubeconfig(tmp_path, "two"))
    assert kubernetes.greeting().startswith("site k8s is context two")
    assert "one account does all" in kubernetes.greeting()


def test_no_local_site_is_made_when_disabled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_LOCAL_SITE", "0")
    monkeypatch.setenv("SLIPWAY_PRODUCTION_CHECK", "1")
    bootstrap(tmp_path)
    assert not Site.objects.exists()


def test_a_local_site_of_earlier_days_is_not_fit_for_production(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bootstrap(tmp_path)
    monkeypatch.setenv("SLIPWAY_LOCAL_SITE", "0")
    bootstrap(tmp_path)
    monkeypatch.setenv("SLIPWAY_PRODUCTION_CHECK", "1")
    with pytest.raises(ExpectedError, match=r"manage\.py site remove local"):
        bootstrap(tmp_path)


def test_an_emptied_token_is_made_again(tmp_path: Path) -> None:
    bootstrap(tmp_path)
    first = (tmp_path / "admin-token").read_text()
    (tmp_path / "admin-token").write_text("\n")
    bootstrap(tmp_path)
    second = (tmp_path / "admin-token").read_bytes().strip()
    assert second.decode() != first.strip()
    owner, _ = TokenAuthentication().authenticate_credentials(second)  # type: ignore[no-untyped-call]
    assert owner.username == "admin"


def test_a_removed_token_is_not_made_again(tmp_path: Path) -> None:
    bootstrap(tmp_path)
    (tmp_path / "admin-token").unlink()
    bootstrap(tmp_path)
    assert not (tmp_path / "admin-token").exists()
