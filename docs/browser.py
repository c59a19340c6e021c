"""A real Chromium, driven through its WebDriver (`chromedriver`): for the tests of the page and the pictures of the docs.

Only what they need, over plain HTTP. Where there is no browser, `why_not` says what is missing.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

GIVE_UP_S = 20.0
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
_STARTED = re.compile(r"started successfully on port (\d+)")
_ARGUMENTS = (
    "--headless=new",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--no-first-run",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
)
FoundT = TypeVar("FoundT")


def why_not() -> str | None:
    """Why there is no browser; None when there is one."""
    missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return f"this machine has no {' and no '.join(missing)} (Debian: chromium, chromium-driver)" if missing else None


class Browser:
    """A tab of a browser."""

    def __init__(self, port: int, session: str) -> None:
        self._port = port
        self._session = session

    def command(self, method: str, path: str, given: Any = None) -> Any:
        """A command of WebDriver; its value. Raises AssertionError with what the browser says."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            body = None if method == "GET" else json.dumps(given or {})
            connection.request(method, f"/session/{self._session}{path}", body)
            value = json.loads(connection.getresponse().read())["value"]
        finally:
            connection.close()
        assert not (isinstance(value, dict) and "stacktrace" in value), value
        return value

    def open(self, address: str) -> None:
        """Open an address, and wait until it has loaded."""
        self.command("POST", "/url", {"url": address})

    def address(self) -> str:
        """The address of the page that is shown."""
        found = self.command("GET", "/url")
        assert isinstance(found, str)
        return found

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a script in the page; what it returns."""
        return self.command("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def run_async(self, script: str, *arguments: Any) -> Any:
        """Run a script whose last argument takes the answer."""
        return self.command("POST", "/execute/async", {"script": script, "args": list(arguments)})

    def devtools(self, name: str, **given: Any) -> Any:
        """A command of Chromium's own."""
        return self.command("POST", "/goog/cdp/execute", {"cmd": name, "params": given})

    def look(self, *, width: int, height: int = 900, dark: bool = False, scale: float = 1) -> None:
        """Set the size of the screen, in CSS pixels, and the colour scheme."""
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.devtools("Emulation.setEmulatedMedia", features=[scheme])

    def element(self, selector: str) -> str:
        """The first element that a CSS selector finds."""
        found = self.command("POST", "/element", {"using": "css selector", "value": selector})
        element = found[_ELEMENT]
        assert isinstance(element, str)
        return element

    def type(self, selector: str, text: str) -> None:
        """Type into a field."""
        self.command("POST", f"/element/{self.element(selector)}/value", {"text": text})

    def click(self, selector: str) -> None:
        """Click on an element."""
        self.command("POST", f"/element/{self.element(selector)}/click")

    def text(self, selector: str = "main") -> str:
        """The text of an element as it is seen, the cells of a table a blank apart; in one step, for a page that changes."""
        found = self.run("return document.querySelector(arguments[0])?.innerText ?? null", selector)
        assert isinstance(found, str), selector
        return found.replace("\t", " ")

    def until(self, condition: Callable[[], FoundT], what: str) -> FoundT:
        """Wait until a condition holds; its value. Raises AssertionError after 20 seconds."""
        end = time.monotonic() + GIVE_UP_S
        while not (found := condition()):
            assert time.monotonic() < end, f"never: {what}"
            time.sleep(0.05)
        return found

    def picture(self, *, whole: bool = False) -> bytes:
        """What is seen, or the whole page, as PNG."""
        found = self.devtools("Page.captureScreenshot", format="png", captureBeyondViewport=whole, **self._clip(whole))
        return base64.b64decode(found["data"])

    def _clip(self, whole: bool) -> dict[str, Any]:
        if not whole:
            return {}
        size = self.devtools("Page.getLayoutMetrics")["cssContentSize"]
        return {"clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}}


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A browser whose profile is in a folder; it ends with the context."""
    arguments = [*_ARGUMENTS, f"--user-data-dir={folder / 'profile'}"]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")  # Chromium has none for root
    environment = {**os.environ, "HOME": str(folder), "TMPDIR": str(folder)}
    driver = subprocess.Popen(
        ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True
    )
    try:
        port = _port_of(driver)
        chrome = {"binary": shutil.which("chromium"), "args": arguments}
        logged = {"browser": "ALL"}
        wanted = {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": chrome, "goog:loggingPrefs": logged}}
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("POST", "/session", json.dumps({"capabilities": wanted}))
        answer = json.loads(connection.getresponse().read())["value"]
        connection.close()
        assert "sessionId" in answer, answer
        tab = Browser(port, answer["sessionId"])
        try:
            yield tab
        finally:
            tab.command("DELETE", "")
    finally:
        driver.terminate()
        driver.wait(GIVE_UP_S)
        if driver.stdout is not None:
            driver.stdout.close()


def _port_of(driver: subprocess.Popen[str]) -> int:
    assert driver.stdout is not None
    for line in driver.stdout:
        if match := _STARTED.search(line):
            return int(match[1])
    raise AssertionError("chromedriver has not started")
