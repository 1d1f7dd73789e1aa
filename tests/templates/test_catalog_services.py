import dataclasses
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from django.db import DatabaseError, connection, transaction

from templates.models import App, Template, TemplateRevision
from templates.selectors import app_for, apps, current_revision
from templates.services import app_register, app_withdraw, catalog_register, defaults_publish
from tenants.actors import system_actor
from tenants.errors import Conflict, NeedsRole, NeedsScope, NotFound
from tenants.models import AuditEvent
from tests.cast import an_actor
from tests.templates.examples import engine, engine_body, template_body


@pytest.fixture
def folder(tmp_path):
    """The folder of a catalogue with one app and one template."""
    body = engine_body()
    body["assets"] = []
    for role in body["roles"].values():
        role.pop("files", None)
        role.pop("hooks", None)
    body["runtimes"]["base"].pop("prepare")
    del body["assets"]
    (tmp_path / "engine.yaml").write_text(yaml.safe_dump(body))
    (tmp_path / "templates.yaml").write_text(yaml.safe_dump({"quick": template_body(app="engine")}))
    return tmp_path


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def verbs() -> list[str]:
    return list(AuditEvent.objects.order_by("id").values_list("verb", flat=True))


@pytest.mark.django_db
def test_registering_again_changes_nothing():
    first = app_register(actor=system_actor(), app=engine())
    assert app_register(actor=system_actor(), app=engine()).pk == first.pk
    assert verbs() == ["app.register"]


@pytest.mark.django_db
def test_a_registered_app_is_read_back_unchanged():
    assert app_register(actor=system_actor(), app=engine()).spec == engine()
    assert App.objects.get().spec == engine()


@pytest.mark.django_db
def test_another_body_under_the_same_version_is_refused():
    app_register(actor=system_actor(), app=engine())
    with pytest.raises(Conflict) as refusal:
        app_register(actor=system_actor(), app=dataclasses.replace(engine(), title="Motor"))
    assert refusal.value.reason == "APP_CHANGED"
    assert App.objects.get().spec == engine()


def test_the_database_refuses_to_change_a_registered_app(engine_row):
    for change_it in (
        lambda: App.objects.update(body={}),
        lambda: App.objects.update(version="2.0"),
        lambda: App.objects.filter(pk=engine_row.pk).delete(),
    ):
        with pytest.raises(DatabaseError, match="never changes"), transaction.atomic():
            change_it()


def test_only_a_site_admin_changes_the_catalogue(people, engine_row):
    alice, root = an_actor(people.alice), an_actor(people.root)
    with pytest.raises(NeedsRole):
        app_register(actor=alice, app=engine())
    with pytest.raises(NeedsRole):
        app_withdraw(actor=alice, name="engine", version="1.0")
    with pytest.raises(NeedsRole):
        app_withdraw(actor=an_actor(people.root, bound_to=people.acme), name="engine", version="1.0")
    with pytest.raises(NeedsScope):
        app_withdraw(actor=an_actor(people.root, scopes={"templates:read"}), name="engine", version="1.0")
    assert app_withdraw(actor=root, name="engine", version="1.0").withdrawn_at is not None


def test_withdrawing_an_app_is_idempotent(people, engine_row):
    root = an_actor(people.root)
    assert list(apps()) == [engine_row]
    first = app_withdraw(actor=root, name="engine", version="1.0").withdrawn_at
    assert app_withdraw(actor=root, name="engine", version="1.0").withdrawn_at == first
    assert list(apps()) == []
    assert verbs() == ["app.register", "app.withdraw"]


@pytest.mark.parametrize("name", ["none", "", "\0", "x" * 1000])
@pytest.mark.django_db
def test_an_unknown_app_is_not_found(name):
    with pytest.raises(NotFound):
        app_for(name, "1.0")


@pytest.mark.django_db
def test_the_shipped_catalogue_is_registered_and_published_once(folder):
    for _ in range(2):
        assert catalog_register(folder=folder) == []
        (template,) = defaults_publish(folder=folder)
    assert (template.tenant, template.name, template.state) == (None, "quick", "published")
    assert current_revision(template).number == 1
    assert verbs() == ["app.register", "template.publish"]


@pytest.mark.django_db
def test_a_changed_shipped_template_gets_a_new_revision(folder):
    catalog_register(folder=folder)
    defaults_publish(folder=folder)
    change(folder / "templates.yaml", "title: Counting", "title: Counting more")
    (template,) = defaults_publish(folder=folder)
    revision = current_revision(template)
    assert (revision.number, revision.body["title"]) == (2, "Counting more")


@pytest.mark.django_db
def test_a_new_app_version_gives_its_template_a_new_revision(folder):
    catalog_register(folder=folder)
    defaults_publish(folder=folder)
    change(folder / "engine.yaml", "version: '1.0'", "version: '1.1'")
    assert catalog_register(folder=folder) == []
    (template,) = defaults_publish(folder=folder)
    revision = current_revision(template)
    assert (revision.number, revision.app.version) == (2, "1.1")
    assert [app.version for app in apps()] == ["1.1", "1.0"]


@pytest.mark.django_db
def test_a_shipped_app_that_changed_without_a_new_version_is_refused(folder):
    catalog_register(folder=folder)
    change(folder / "engine.yaml", "title: Engine", "title: Motor")
    assert [refusal.reason for refusal in catalog_register(folder=folder)] == ["APP_CHANGED"]
    assert App.objects.get().spec.title == "Engine"


@pytest.mark.django_db
def test_a_shipped_template_of_a_withdrawn_app_is_not_updated(folder, people):
    catalog_register(folder=folder)
    defaults_publish(folder=folder)
    app_withdraw(actor=an_actor(people.root), name="engine", version="1.0")
    change(folder / "templates.yaml", "title: Counting", "title: Counting more")
    assert defaults_publish(folder=folder) == []
    assert current_revision(Template.objects.get()).number == 1


@pytest.mark.django_db
def test_a_shipped_template_of_an_unknown_app_is_skipped(folder):
    catalog_register(folder=folder)
    change(folder / "templates.yaml", "app: engine", "app: motor")
    assert defaults_publish(folder=folder) == []
    assert not Template.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_parallel_starts_publish_once(folder):
    def start(_):
        try:
            catalog_register(folder=folder)
            defaults_publish(folder=folder)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as starters:
        list(starters.map(start, range(8)))
    assert (App.objects.count(), Template.objects.count(), TemplateRevision.objects.count()) == (1, 1, 1)
    assert sorted(verbs()) == ["app.register", "template.publish"]
