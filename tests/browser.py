"""A browser without a screen, driven by the WebDriver protocol of chromedriver: https://www.w3.org/TR/webdriver2."""

import json
import shutil
import socket
import subprocess
import time
from base64 import b64decode
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

DRIVER = shutil.which("chromedriver")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
KEYS = {
    "ArrowRight": "\ue014",
    "ArrowLeft": "\ue012",
    "ArrowUp": "\ue013",
    "ArrowDown": "\ue015",
    "Tab": "\ue004",
    "Enter": "\ue007",
}
KEYS |= {"Space": " ", "Home": "\ue011", "Escape": "\ue00c"}


class Browser:
    """One browser with one page."""

    def __init__(self) -> None:
        assert DRIVER is not None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process = subprocess.Popen(
            [DRIVER, f"--port={self.port}", "--silent"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        flags = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
        ]
        wanted = {
            "goog:chromeOptions": {"args": flags, "binary": BROWSER},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        self.session = ""
        for attempt in range(100):
            try:
                found = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
                break
            except OSError:
                if attempt == 99 or self.process.poll() is not None:
                    raise
                time.sleep(0.1)
        self.session = f"/session/{found['sessionId']}"

    def close(self) -> None:
        """End it."""
        self._ask("DELETE", self.session)
        self.process.terminate()
        self.process.wait()

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"http://127.0.0.1:{self.port}{path}", data, {"Content-Type": "application/json"}, method=method)
        with urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def open(self, page: Path | str) -> None:
        """Show a file, or an address; before anything is painted, keys are dropped."""
        self._ask("POST", self.session + "/url", {"url": page.resolve().as_uri() if isinstance(page, Path) else page})
        painted = "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done)))"
        self._ask("POST", self.session + "/execute/async", {"script": painted, "args": []})

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script returns in the page."""
        return self._ask("POST", self.session + "/execute/sync", {"script": script, "args": arguments})

    def press(self, *keys: str) -> None:
        """Press keys one after the other, by name; what has no name is typed."""
        texts = [KEYS.get(key, key) for key in keys]
        actions = [{"type": kind, "value": char} for text in texts for char in text for kind in ("keyDown", "keyUp")]
        self._ask("POST", self.session + "/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def devtools(self, command: str, **parameters: Any) -> Any:
        """A command of the DevTools protocol."""
        return self._ask("POST", self.session + "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def look(self, width: int, height: int = 800, scheme: str = "light") -> None:
        """The size of the window, and whether it is light or dark."""
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def picture(self, file: Path) -> None:
        """Draw what is seen."""
        file.write_bytes(b64decode(self._ask("GET", self.session + "/screenshot")))

    def said(self) -> list[str]:
        """What the console has said since the last time."""
        return [entry["message"] for entry in self._ask("POST", self.session + "/se/log", {"type": "browser"})]

    def requests(self) -> list[str]:
        """The addresses that were asked for since the last time."""
        entries = self._ask("POST", self.session + "/se/log", {"type": "performance"})
        messages = [json.loads(entry["message"])["message"] for entry in entries]
        return [one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"]
