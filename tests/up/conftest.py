import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By

from tests.console.browser import Page, chromium, programs
from tests.journeys.service import Slipway
from tests.up.clone import PYTHON, clone_into

FIRST_START_SECONDS = 600.0
"""The packages are installed first, from a cold cache maybe."""


@pytest.fixture(scope="session")
def place() -> Iterator[Path]:
    """A folder with a short path that PostgreSQL's user can enter."""
    made = Path(tempfile.mkdtemp(prefix="up-", dir="/tmp"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="session")
def up(place: Path) -> Iterator[Slipway]:
    """The running installation that the tests of this tier share."""
    service = Slipway(place / "data", root=clone_into(place / "slipway"), python=PYTHON)
    try:
        yield service.up(seconds=FIRST_START_SECONDS)
    finally:
        service.leave()


@pytest.fixture(scope="session")
def notebook(up: Slipway) -> str:
    """The name of a ready cluster of one notebook."""
    up.launch("pages", "notebook")
    return "pages"


@pytest.fixture(scope="session")
def browser(up: Slipway, place: Path) -> Iterator[Page]:
    """A browser client that signed in as the first admin with the form."""
    if programs() is None:
        pytest.skip("no Chromium with its driver: apt-get install chromium chromium-driver")
    with chromium(place / "profile") as driver:
        page = Page(driver, up.url)
        page.open("/login")
        page.fill("id_username", "admin")
        page.fill("id_password", (up.folder / "admin-password").read_text().strip())
        page.driver.find_element(By.CSS_SELECTOR, "main button").click()
        page.wait(lambda: page.path.startswith("/t/demo/"), "home of the tenant")
        yield page
