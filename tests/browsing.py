"""A real ``peftsum serve`` and a headless Chromium before its page; as a script, it takes the picture of docs/page.md.

Usage: python tests/browsing.py docs/page.png
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

REPOSITORY = Path(__file__).parents[1]
BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
KEY = "a-key-of-the-tests"
COLOURS = 96  # of the picture, a third of the size of one with all
PATIENCE_S = 60.0  # for a summary on a busy machine
FLAGS = (
    "--headless",
    "--no-sandbox",  # in a container, where tests are root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


@contextlib.contextmanager
def serving(log: Path, *options: str) -> Iterator[str]:
    """Run ``peftsum serve`` on the built-in base and the repository's adapters; yield the address of its page."""
    command = [sys.executable, "-m", "peftsum", "serve", "adapters", "--port", "0", *options]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "PEFTSUM_API_KEY": KEY}
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=out, stderr=out, env=environment)

    def told() -> str:
        return log.read_text(encoding="utf-8")

    try:
        wait(lambda: "listening at" in told() or process.poll() is not None, "the server to start")
        assert process.poll() is None, told()
        yield told().rpartition("listening at ")[2].split()[0] + "/"
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def wait(met: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
    """Wait until something is so.

    Raises:
        TimeoutError: it does not come.
    """
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        with contextlib.suppress(StaleElementReferenceException):  # the page has just changed
            if met():
                return
        time.sleep(0.05)
    raise TimeoutError(f"waited {patience_s:g} s for {what}")


class Page:
    """The page in a browser of its own.

    Args:
        address: of the server.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._profile = tempfile.mkdtemp(prefix="peftsum-chromium-")
        options = ChromeOptions()
        options.binary_location = BROWSER or ""
        for flag in (*FLAGS, f"--user-data-dir={self._profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = Chrome(options=options, service=Service(DRIVER))

    def close(self) -> None:
        """End the browser, and remove its profile."""
        self.driver.quit()
        shutil.rmtree(self._profile, ignore_errors=True)

    def open(self, *, key: bool = True) -> None:
        """Load the page anew, and give it the key that its server asks for."""
        self.network(offline=False)
        self.driver.get(self.address)
        wait(lambda: self.one("#key").is_displayed(), "the question for the key")
        if key:
            self.one("#key").send_keys(KEY, Keys.ENTER)
            wait(lambda: self.one("#first").is_enabled(), "the adapters")

    def look(self, width: int, height: int = 900, scheme: str = "light") -> None:
        """Give the window a size and a colour scheme."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.command("Emulation.setDeviceMetricsOverride", **size)
        self.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def command(self, name: str, **arguments: object) -> Any:
        """Send a command of the DevTools protocol."""
        return self.driver.execute_cdp_cmd(name, arguments)

    def network(self, *, offline: bool, latency_ms: float = 0) -> None:
        """Take the network away, or make it slow."""
        self.command("Network.enable")
        speed = {"downloadThroughput": -1, "uploadThroughput": -1}
        self.command("Network.emulateNetworkConditions", offline=offline, latency=latency_ms, **speed)

    def one(self, selector: str) -> WebElement:
        """Return the first element of a CSS selector."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        """Return all elements of a CSS selector."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        """Return the text of an element, whether it is seen or not."""
        return str(self.one(selector).get_property("textContent"))

    def texts(self, selector: str) -> list[str]:
        """Return the text of each element."""
        return [str(element.get_property("textContent")) for element in self.all(selector)]

    def run(self, script: str, *arguments: object) -> Any:
        """Run a script in the page and return what it returns."""
        return self.driver.execute_script(script, *arguments)

    def paste(self, dialogue: str) -> None:
        """Put a dialogue into the field at once, as pasting does."""
        self.run("text.value = arguments[0]; text.dispatchEvent(new Event('input'))", dialogue)

    def summarize(self) -> None:
        """Press the button and wait for the summaries."""
        self.one("#go").click()
        wait(lambda: self.all(".sentences"), "the summaries")

    def lit(self) -> list[int]:
        """Return the indices, from 0, of the turns that are highlighted."""
        turns = self.all(".turn")
        return [i for i, turn in enumerate(turns) if "lit" in str(turn.get_attribute("class")).split()]

    def requests(self) -> list[str]:
        """Return the addresses that the browser has asked for since the last call."""
        entries = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return [e["params"]["request"]["url"] for e in entries if e["method"] == "Network.requestWillBeSent"]

    def complaints(self) -> list[str]:
        """Return what the browser's console has warned of since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] != "INFO"]

    def picture(self, file: Path, *, whole: bool = False) -> None:
        """Take a picture of the window, or of the whole page."""
        clip = {}
        if whole:
            width, height = self.run("return [innerWidth, document.documentElement.scrollHeight]")
            clip = {"clip": {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}}
        found = self.command("Page.captureScreenshot", captureBeyondViewport=whole, **clip)
        file.write_bytes(base64.b64decode(found["data"]))


def main(arguments: Sequence[str]) -> None:
    """Take the picture of docs/page.md."""
    (target,) = arguments
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder) / "log") as address:
        page = Page(address)
        try:
            page.look(1280)
            page.open()
            page.one("#example").click()
            page.summarize()
            page.all(".sentence")[1].click()
            page.run("scrollTo(0, 0)")
            page.picture(Path(target), whole=True)
            Image.open(target).quantize(COLOURS).save(target, optimize=True)
        finally:
            page.close()


if __name__ == "__main__":
    main(sys.argv[1:])
