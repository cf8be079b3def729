"""A page in headless Chromium, driven by the W3C WebDriver protocol over loopback. Source: https://www.w3.org/TR/webdriver2/."""

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from typing import Any


def missing() -> str:
    """What is not installed, "" when all is."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    return (
        ""
        if browser and shutil.which("chromedriver")
        else "chromium and chromedriver (Debian: chromium chromium-driver)"
    )


class Browser:
    """One window; closes itself and its driver."""

    def __init__(self, profile: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._url = f"http://127.0.0.1:{port}"
        self._driver = subprocess.Popen(
            ["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        options = {
            "binary": shutil.which("chromium") or shutil.which("chromium-browser"),
            "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1200,800", f"--user-data-dir={profile}"],
        }  # fmt: skip
        wanted = {
            "capabilities": {
                "alwaysMatch": {
                    "browserName": "chrome",
                    "goog:chromeOptions": options,
                    "goog:loggingPrefs": {"browser": "ALL"},
                }
            }
        }
        self._session = ""
        try:
            self._session = self._start(wanted)
        except BaseException:
            self.close()
            raise

    def _start(self, wanted: dict[str, Any]) -> str:
        deadline = time.monotonic() + 60
        while True:
            try:
                return str(self._call("POST", "/session", wanted)["sessionId"])
            except (urllib.error.URLError, ConnectionError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def _call(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())["value"]

    def call(self, method: str, path: str, body: object = None) -> Any:
        """A command of the session."""
        return self._call(method, f"/session/{self._session}{path}", body)

    def open(self, url: str) -> None:
        """Load a page."""
        self.call("POST", "/url", {"url": url})

    def run(self, script: str) -> Any:
        """The value of a JavaScript function body."""
        return self.call("POST", "/execute/sync", {"script": script, "args": []})

    def act(self, *sources: dict[str, Any]) -> None:
        """Input of pointers, wheels and keys."""
        self.call("POST", "/actions", {"actions": list(sources)})

    def click(self, x: int, y: int) -> None:
        """Press and release the left button at a place of the window."""
        move = {"type": "pointerMove", "x": x, "y": y, "duration": 0}
        actions = [move, {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        self.act({"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": actions})

    def wheel(self, x: int, y: int, by: int) -> None:
        """Turn the wheel at a place of the window."""
        scroll = {"type": "scroll", "x": x, "y": y, "deltaX": 0, "deltaY": by, "duration": 0}
        self.act({"type": "wheel", "id": "wheel", "actions": [scroll]})

    def complaints(self) -> list[str]:
        """What the page has written to the console as errors."""
        return [
            entry["message"]
            for entry in self.call("POST", "/se/log", {"type": "browser"})
            if entry["level"] == "SEVERE"
        ]

    def close(self) -> None:
        """End the browser and its driver."""
        if self._session:
            self.call("DELETE", "")
        self._driver.terminate()
        self._driver.wait(20)
