"""A real TensorBoard and a real browser, for tests."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PATIENCE = 90  # seconds, on a machine with other work to do


class Board:
    """A TensorBoard process, asked over its own HTTP interface."""

    def __init__(self, url: str) -> None:
        self.url = url

    def raw(self, path: str, post: dict[str, Any] | None = None, **query: str) -> bytes:
        words = urllib.parse.urlencode(query)
        body = None if post is None else json.dumps(post).encode()
        headers = {"Content-Type": "application/json"} if body else {}
        address = f"{self.url}/data/plugin/{path}?{words}"
        request = urllib.request.Request(address, data=body, headers=headers)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.read()

    def ask(self, path: str, post: dict[str, Any] | None = None, **query: str) -> Any:
        return json.loads(self.raw(path, post, **query))


@contextmanager
def serving(logdir: Path) -> Iterator[Board]:
    """Run ``tensorboard`` on a folder, once it has read it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(logdir)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--load_fast", "false"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    board = Board(f"http://127.0.0.1:{port}")
    try:
        end = time.monotonic() + PATIENCE
        while not _has_read(board):
            assert process.poll() is None, "tensorboard has ended"
            assert time.monotonic() < end, "tensorboard does not answer"
            time.sleep(0.3)
        yield board
    finally:
        process.terminate()
        process.wait()


def _has_read(board: Board) -> bool:
    try:
        runs = board.ask("scalars/tags")
    except OSError:
        return False
    return any("test/sse" in tags for tags in runs.values())


@contextmanager
def browsing(profile: Path) -> Iterator[Any]:
    """A headless Chromium; the test is skipped, with the reason, where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    import selenium.common

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("no Chromium with its chromedriver on this machine")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for word in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--no-first-run",
        "--window-size=1400,1600",
        f"--user-data-dir={profile}",
    ):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    try:
        browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    except selenium.common.WebDriverException as error:
        pytest.skip(f"Chromium does not start on this machine: {error.msg}")
    try:
        yield browser
    finally:
        browser.quit()


# All images of a page, those in shadow roots too, once they have loaded: how large each is, and
# how much its pixels differ from one another.
IMAGES = """
const found = [];
const visit = root => {
  for (const element of root.querySelectorAll('*')) {
    if (element.tagName === 'IMG' && element.complete && element.naturalWidth > 100) {
      const canvas = document.createElement('canvas');
      canvas.width = element.naturalWidth;
      canvas.height = element.naturalHeight;
      const context = canvas.getContext('2d');
      context.drawImage(element, 0, 0);
      const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
      let sum = 0, square = 0, n = 0;
      for (let k = 0; k < pixels.length; k += 4) {
        sum += pixels[k]; square += pixels[k] * pixels[k]; n += 1;
      }
      found.push({
        source: element.src.slice(0, 300), width: canvas.width, height: canvas.height,
        spread: Math.sqrt(square / n - (sum / n) ** 2)
      });
    }
    if (element.shadowRoot) visit(element.shadowRoot);
  }
};
visit(document);
return found;
"""


def images_of(browser: Any, at_least: int) -> list[dict[str, Any]]:
    """The images of the page, once there are so many."""
    end = time.monotonic() + PATIENCE
    while True:
        found = browser.execute_script(IMAGES)
        if len(found) >= at_least:
            return found
        assert time.monotonic() < end, f"{len(found)} images instead of {at_least}"
        time.sleep(0.5)


def addresses_asked(browser: Any) -> list[str]:
    """Every address that the page has sent for."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [event for event in events if event["method"] == "Network.requestWillBeSent"]
    return [event["params"]["request"]["url"] for event in sent]
