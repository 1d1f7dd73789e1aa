"""The API's documentation in a real browser, from the real web server."""

from pathlib import Path

import pytest
from selenium.webdriver.common.by import By

from tests.api.served import served
from tests.console.browser import Page, chromium, programs

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        programs() is None, reason="no Chromium with its driver: apt-get install chromium chromium-driver"
    ),
]


def test_the_documentation_renders_and_no_inline_script_runs(tmp_path: Path) -> None:
    with served() as address, chromium(tmp_path / "profile") as driver:
        page = Page(driver, address)
        page.open("/api/v1/docs")
        page.wait(lambda: driver.find_elements(By.CSS_SELECTOR, ".opblock-summary-path"), "the endpoints")
        driver.execute_script(
            "const script = document.createElement('script'); script.text = 'window.ran = true';"
            "document.head.append(script)"
        )
        assert driver.execute_script("return window.ran") is None
        # The one refusal is that of the script above.
        refused = page.complaints()
        assert len(refused) == 1, refused
