"""The main tasks of users in a real browser, with and without scripts."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django.live_server_helper import LiveServer

from controlplane.clusters.models import Cluster, Site
from controlplane.provisioners.fake import FakeProvisioner
from controlplane.reconciler.site.provisioning import provisioner_of
from tests.console.browser import PHONE_WIDTH, Page, chromium, programs, working
from tests.console.conftest import SignIn, World

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        programs() is None, reason="no Chromium with its driver: apt-get install chromium chromium-driver"
    ),
]


@pytest.fixture
def slow(world: World) -> FakeProvisioner:
    """A site where one node becomes ready only when the test allows it."""
    fake = provisioner_of(Site.objects.get())
    assert isinstance(fake, FakeProvisioner)
    fake.unready = {"hand-1"}
    return fake


@pytest.fixture
def worker(world: World) -> Iterator[None]:
    with working():
        yield


@pytest.fixture
def page(live_server: LiveServer, sign_in: SignIn, tmp_path: Path) -> Iterator[Page]:
    with chromium(tmp_path / "profile") as driver:
        page = Page(driver, live_server.url)
        page.sign_in(sign_in("bob"))
        yield page


@pytest.fixture
def plain_page(live_server: LiveServer, sign_in: SignIn, tmp_path: Path) -> Iterator[Page]:
    """A browser whose pages cannot run scripts."""
    with chromium(tmp_path / "profile", scripts=False) as driver:
        page = Page(driver, live_server.url)
        page.sign_in(sign_in("bob"))
        yield page


def test_one_click_launches_and_the_page_refreshes_until_ready(
    page: Page, slow: FakeProvisioner, worker: None
) -> None:
    page.open("/")
    page.press("Launch pair")
    page.wait(lambda: "2 of 3 ready" in page.text, "two nodes ready")
    page.driver.execute_script("window.wasNeverReloaded = true")
    assert "In progress: create" in page.text

    slow.get_ready(Cluster.objects.get().id)
    page.wait(lambda: "3 of 3 ready" in page.text and "Last operation: create" in page.text, "ready")
    assert page.driver.execute_script("return window.wasNeverReloaded")
    assert page.runs_scripts
    assert page.announced == f"{Cluster.objects.get().name} is ready."
    assert page.complaints() == []


def test_one_click_launches_without_scripts(plain_page: Page, slow: FakeProvisioner, worker: None) -> None:
    page = plain_page
    page.open("/")
    assert not page.runs_scripts
    page.press("Launch pair")
    page.press_until("Refresh", lambda: "2 of 3 ready" in page.text)
    slow.get_ready(Cluster.objects.get().id)
    page.press_until("Refresh", lambda: "3 of 3 ready" in page.text)

    page.press("Stop")
    page.press_until("Refresh", lambda: "No nodes exist now." in page.text)
    page.press("Delete…")
    name = Cluster.objects.get().name
    page.fill("name", name)
    page.press(f"Delete {name}")
    page.press_until("Refresh", lambda: Cluster.objects.get().phase == "deleted")
    assert page.complaints() == []


def test_signing_in_by_keyboard(page: Page, world: World) -> None:
    world.people.bob.set_password("correct horse battery")
    world.people.bob.save()
    page.driver.delete_all_cookies()
    page.open("/t/acme/clusters")
    page.type("bob\tcorrect horse battery\n")
    page.wait(lambda: page.path == "/t/acme/clusters", "signed in, and where one wanted to go")


def test_the_skip_link_comes_first_and_leads_to_the_content(page: Page) -> None:
    page.open("/t/acme/")
    page.type("\t\n")
    assert page.driver.switch_to.active_element.get_attribute("id") == "main"


def test_a_refresh_keeps_the_focus_where_it_was(page: Page, slow: FakeProvisioner, worker: None) -> None:
    page.open("/")
    page.press("Launch pair")
    page.wait(lambda: "2 of 3 ready" in page.text, "two nodes ready")
    page.driver.execute_script(
        "document.getElementById('do-stop').focus(); window.was = document.activeElement"
    )
    page.wait(lambda: page.driver.execute_script("return window.was !== document.activeElement"), "a refresh")
    assert page.driver.switch_to.active_element.get_attribute("id") == "do-stop"


def test_when_slipway_does_not_answer_the_page_says_so(
    page: Page, slow: FakeProvisioner, worker: None
) -> None:
    page.open("/")
    page.press("Launch pair")
    page.wait(lambda: "2 of 3 ready" in page.text, "two nodes ready")
    page.cut_off()
    page.wait(lambda: "Slipway does not answer" in page.text, "the note")
    page.reconnect()
    page.wait(lambda: "Slipway does not answer" not in page.text, "the note gone")


@pytest.mark.parametrize("dark", [False, True])
def test_every_page_fits_a_phone(
    live_server: LiveServer, sign_in: SignIn, world: World, worker: None, tmp_path: Path, dark: bool
) -> None:
    world.launch("a-cluster-with-a-name-as-long-as-allowed")
    with chromium(tmp_path / "profile", dark=dark) as driver:
        page = Page(driver, live_server.url)
        page.sign_in(sign_in("bob"))
        for path in (
            "/t/acme/",
            "/t/acme/clusters",
            "/t/acme/clusters/a-cluster-with-a-name-as-long-as-allowed",
        ):
            page.as_phone()
            page.open(path)
            page.wait(lambda: "3 of 3" in page.text or "3 / 3" in page.text, "all nodes ready")
            # Do not compare with innerWidth: a phone's viewport grows with a page that is too wide.
            assert driver.execute_script("return document.documentElement.scrollWidth") <= PHONE_WIDTH, path


def test_a_button_in_a_table_keeps_its_word_whole_on_a_phone(page: Page, worker: None) -> None:
    page.open("/")
    page.press("Launch pair")
    page.wait(lambda: "3 of 3 ready" in page.text, "all nodes ready")
    page.as_phone()
    lines = (
        "const range = document.createRange(); range.selectNode(document.querySelector('#replace-head-0').firstChild);"
        "return range.getClientRects().length"
    )
    page.wait(lambda: page.driver.execute_script(lines) == 1, "the button on one line")
