import pytest

from templates.services import app_register, template_create, template_publish
from tenants.actors import system_actor
from tests.cast import Cast, an_access, cast
from tests.templates.examples import engine, template_body


@pytest.fixture
def people(db) -> Cast:
    return cast()


@pytest.fixture
def engine_row(db):
    return app_register(actor=system_actor(), app=engine())


@pytest.fixture
def alice(people, engine_row):
    """The access of alice, an admin of acme. The app "engine" is registered."""
    return an_access(people.alice, people.acme)


@pytest.fixture
def counting(alice):
    """A published template of acme."""
    template = template_create(access=alice, name="counting", body=template_body())
    return template_publish(access=alice, template=template.name)
