"""A real browser without a screen, and a worker beside the live server."""

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from django.test import Client
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from controlplane.reconciler.worker import Worker

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1280,1000",
)
WAIT_SECONDS = 30


# In CSS pixels, of the narrowest phone.
PHONE_WIDTH = 360


def programs() -> tuple[str, str] | None:
    """The browser and its driver; None when there is none."""
    browser, driver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


@contextmanager
def chromium(folder: Path, *, scripts: bool = True, dark: bool = False) -> Iterator[Chrome]:
    """folder: for its profile, made and removed. scripts: whether pages may run any."""
    found = programs()
    assert found, "no browser is installed"
    options = ChromeOptions()
    options.binary_location = found[0]
    for flag in (*FLAGS, f"--user-data-dir={folder}"):
        options.add_argument(flag)
    if not scripts:
        options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options=options, service=Service(found[1]))
    try:
        if dark:
            feature = {"name": "prefers-color-scheme", "value": "dark"}
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        yield driver
    finally:
        driver.quit()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def working() -> Iterator[None]:
    """A worker, as it runs beside the web process."""
    worker = Worker(threads=1)
    thread = threading.Thread(target=worker.run, name="worker")
    thread.start()
    try:
        yield
    finally:
        worker.stop()
        thread.join()


class Page:
    """What somebody at the keyboard does and sees."""

    def __init__(self, driver: Chrome, root: str) -> None:
        self.driver, self.root = driver, root

    def open(self, path: str) -> None:
        self.driver.get(self.root + path)

    def sign_in(self, client: Client) -> None:
        """With the session of a signed-in test client."""
        self.open("/login")
        cookie = client.cookies["slipway_session"].value
        self.driver.add_cookie({"name": "slipway_session", "value": cookie, "path": "/"})

    def press(self, words: str) -> None:
        """A button or link by its accessible name or text."""
        quoted = f'"{words}"'
        button = f"//button[normalize-space()={quoted} or @aria-label={quoted}]"
        path = f"{button}|//a[normalize-space()={quoted}]"

        def pressed() -> bool:
            self.driver.find_element(By.XPATH, path).click()
            return True

        self.wait(pressed, words)

    def fill(self, label: str, text: str) -> None:
        self.driver.find_element(By.ID, label).send_keys(text)

    @property
    def text(self) -> str:
        return self.driver.find_element(By.TAG_NAME, "main").text

    @property
    def path(self) -> str:
        return self.driver.current_url.removeprefix(self.root)

    def wait(self, condition: Callable[[], object], what: str) -> None:
        """Until it holds; a page that is just being replaced is looked at again."""
        patience = WebDriverWait(
            self.driver,
            WAIT_SECONDS,
            poll_frequency=0.1,
            ignored_exceptions=(NoSuchElementException, StaleElementReferenceException),
        )
        patience.until(lambda _: condition(), what)

    def press_until(self, words: str, condition: Callable[[], object]) -> None:
        """Press the same again and again, as somebody without scripts does to see how far it is."""

        def reached() -> bool:
            if condition():
                return True
            self.press(words)
            return False

        self.wait(reached, words)

    def type(self, keys: str) -> None:
        """To whatever has the focus; a tab and a newline are the keys."""
        chain = ActionChains(self.driver)
        for key in keys:
            chain.send_keys({"\t": Keys.TAB, "\n": Keys.ENTER}.get(key, key))
        chain.perform()

    @property
    def runs_scripts(self) -> bool:
        """Whether the page's own scripts ran; ours run in any case."""
        return bool(self.driver.execute_script("return 'htmx' in window"))

    @property
    def announced(self) -> str:
        """What a screen reader was told last."""
        element = self.driver.find_element(By.ID, "announce")
        return str(element.get_property("textContent"))

    def cut_off(self) -> None:
        self.driver.set_network_conditions(offline=True, latency=0, throughput=0)

    def reconnect(self) -> None:
        self.driver.delete_network_conditions()

    def as_phone(self) -> None:
        size = {"width": PHONE_WIDTH, "height": 740, "deviceScaleFactor": 1, "mobile": True}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def complaints(self) -> list[str]:
        """What the browser's console says: blocked styles and scripts, failed requests."""
        entries: list[dict[str, str]] = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [entry["message"] for entry in entries]
