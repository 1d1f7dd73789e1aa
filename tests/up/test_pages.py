"""Pages and their resources from the real web server."""

import re

import pytest
from django.urls import URLPattern

from controlplane.console.urls import urlpatterns
from tests.console.browser import Page

pytestmark = [pytest.mark.up, pytest.mark.timeout(900)]
# Routes that only accept POST.
POSTED = {"logout", "launch", "verb", "sign_out_everywhere", "token_end", "user_token_end"}
NAMES = {"tenant": "demo", "cluster": "pages", "node": "notebook-0", "name": "admin"}
PAGES = sorted(
    str(found.pattern) for found in urlpatterns if isinstance(found, URLPattern) and found.name not in POSTED
)
STATUS = "return performance.getEntriesByType('navigation')[0].responseStatus"
# Chromium's defaults for a page without styles.
UNSTYLED = {"display": "block", "margin": "8px"}


def _styles(page: Page) -> dict[str, str]:
    script = "const style = getComputedStyle(document.body); return [style.display, style.margin]"
    return dict(zip(UNSTYLED, page.driver.execute_script(script), strict=True))


@pytest.mark.parametrize("route", PAGES)
def test_every_page_has_its_styles_and_scripts(browser: Page, notebook: str, route: str) -> None:
    browser.open("/" + re.sub(r"<\w+:(\w+)>", lambda found: NAMES[found[1]], route))
    assert browser.driver.execute_script(STATUS) == 200
    assert not _styles(browser).items() & UNSTYLED.items()
    assert browser.runs_scripts
    assert browser.complaints() == []


def test_the_docs_page_shows_every_endpoint(browser: Page) -> None:
    browser.open("/api/v1/docs")
    shown = "return document.querySelectorAll('.opblock').length"
    browser.wait(lambda: browser.driver.execute_script(shown) > 40, "endpoints")
    assert browser.complaints() == []
