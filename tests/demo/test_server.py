"""The page in a real browser, and the server as others would ask it."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import PIL.Image
import pytest
from board import addresses_asked, browsing

from sae.demo.server import HOST, MOST_BYTES, Server
from sae.demo.subject import Subject
from sae.errors import InputError
from sae.run.model import load_run

PATIENCE = 60


@contextmanager
def serving(subject: Subject) -> Iterator[Server]:
    server = Server(subject)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def server(finished) -> Iterator[Server]:
    with serving(Subject(load_run(finished[0]))) as served:
        yield served


def ask(server: Server, method: str, path: str, body: bytes | None = None, **headers: str):
    """Status, headers and content of an answer."""
    connection = http.client.HTTPConnection(HOST, server.server_port, timeout=PATIENCE)
    connection.putrequest(method, path, skip_host="Host" in headers)
    if body is not None and "Content_Length" not in headers:
        headers["Content_Length"] = str(len(body))
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders(body)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, answer.headers, content


def until(seen: Callable[[], object]) -> object:
    end = time.monotonic() + PATIENCE
    while True:
        found = seen()
        if found:
            return found
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.1)


# As programs ask it


def test_it_listens_to_this_machine_alone(server):
    assert server.server_address[0] == "127.0.0.1"
    assert server.url == f"http://127.0.0.1:{server.server_port}/"


def test_answers(server):
    status, headers, page = ask(server, "GET", "/")
    assert status == 200
    assert b"<canvas" in page
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    about = json.loads(ask(server, "GET", "/about")[2])
    assert about["units"] == 4
    assert len(json.loads(ask(server, "GET", "/sample?k=2")[2])["neighbours"]) == 8
    points = json.loads(ask(server, "GET", "/map?first=1&second=3")[2])["points"]
    assert len(points) == about["samples"]
    assert "png" in json.loads(ask(server, "POST", "/decode", b"[0.1, 0.2, 0.3, 0.4]")[2])


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "says"),
    [
        ("GET", "/nix", None, 404, ""),
        ("GET", "/../cli.py", None, 404, ""),
        ("POST", "/nix", b"", 404, ""),
        ("POST", "/decode", b"{", 422, "request: expected a list in JSON"),
        ("POST", "/decode", b"\xff", 422, "request: expected a list in JSON"),
        ("POST", "/decode", b"[" * 100_000, 422, "request: expected a list in JSON"),
        ("POST", "/decode", b"[1]", 422, "code: expected 4 finite numbers"),
        ("POST", "/row", b"3", 422, "request: expected a list in JSON"),
        ("POST", "/image", b"x", 422, "file: expected an image"),
        ("POST", "/file?name=a.npy&row=0", b"x", 422, "a.npy: expected"),
        ("POST", "/file?name=&row=0", b"x", 422, "file: expected"),
        ("POST", "/file?name=..", b"x", 422, "file: expected a name with a suffix"),
        ("POST", "/file?name=a.b%00c", b"x", 422, "file: expected a name with a suffix"),
        ("POST", "/row", b"[1, 2]", 422, "row: expected 784 values, found 2"),
        ("GET", "/map?first=9&second=x", None, 422, "unit: expected a number from 0 to 3"),
    ],
)
def test_wrong_requests_have_an_answer(server, method, path, body, status, says):
    found, _, content = ask(server, method, path, body)
    assert found == status
    assert says in json.loads(content).get("error", "")
    assert ask(server, "GET", "/about")[0] == 200, "it goes on"


def test_what_nobody_thought_of_is_answered_too(server, monkeypatch):
    def breaks(self):
        raise RuntimeError("a defect")

    monkeypatch.setattr(Subject, "about", breaks)
    status, _, content = ask(server, "GET", "/about")
    assert status == 500
    assert json.loads(content) == {"error": "a bug in sae (RuntimeError: a defect)"}


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Host": "evil.example"},
        {"Host": "evil.example:80", "Origin": "http://evil.example:80"},
    ],
)
def test_other_pages_are_refused(server, headers):
    for method, path, body in (("GET", "/about", None), ("POST", "/decode", b"[0,0,0,0]")):
        status, _, content = ask(server, method, path, body, **headers)
        assert (status, content) == (403, b"{}")


def test_our_own_page_is_not(server):
    place = f"localhost:{server.server_port}"
    status, _, _ = ask(server, "GET", "/about", Host=place, Origin=f"http://{place}")
    assert status == 200


@pytest.mark.parametrize("length", [str(MOST_BYTES + 1), "-1", "many"])
def test_too_much_at_once_is_refused_unread(server, length):
    status, _, _ = ask(server, "POST", "/image", b"", Content_Length=length)
    assert status == 413


def test_a_port_that_is_taken(server):
    expected = f"port: expected a free port, found port {server.server_port}"
    with pytest.raises(InputError, match=expected):
        Server(server.subject, server.server_port)


# As people see it

DRAW = """
const canvas = document.getElementById('draw'), box = canvas.getBoundingClientRect();
canvas.setPointerCapture = () => {};
const event = (kind, x, y) => canvas.dispatchEvent(new PointerEvent(kind, {
  clientX: box.left + x, clientY: box.top + y, buttons: kind === 'pointerup' ? 0 : 1, bubbles: true
}));
event('pointerdown', 100, 40);
for (let k = 0; k < 20; k++) event('pointermove', 100, 40 + 10 * k);
event('pointerup', 100, 240);
"""
SOURCES = "return [...document.querySelectorAll('%s img')].map(image => image.src)"
WALK = """
const canvas = document.getElementById('map'), box = canvas.getBoundingClientRect();
canvas.dispatchEvent(new PointerEvent('pointermove', {
  clientX: box.left + arguments[0], clientY: box.top + arguments[1], bubbles: true
}));
"""


def test_a_browser_draws_drops_and_walks(server, tmp_path):
    with browsing(tmp_path / "profile") as browser:
        browser.get(server.url)
        until(lambda: browser.execute_script("return document.body.dataset.ready"))
        assert browser.title == f"{server.subject.about()['name']} · sae demo"

        def sources(place: str) -> list[str]:
            return browser.execute_script(SOURCES % place)

        def text(place: str) -> str:
            return browser.find_element("id", place).text

        # a sample
        until(lambda: len(sources("#neighbours")) == 8)
        assert len(sources("#pair")) == 2
        assert "of the validation samples" in text("score")
        before = sources("#pair")
        browser.find_element("id", "next").click()
        until(lambda: sources("#pair") != before)
        # a drawing
        before = sources("#pair")
        browser.execute_script(DRAW)
        until(lambda: sources("#pair") != before)
        # a file
        shades = np.zeros((40, 40), np.uint8)
        shades[:20] = 255
        PIL.Image.fromarray(shades).save(tmp_path / "mine.png")
        before = sources("#pair")
        browser.find_element("id", "file").send_keys(str(tmp_path / "mine.png"))
        until(lambda: len(sources("#pair")) == 2 and sources("#pair") != before)
        # a file that is none: a sentence, and what was seen stays
        (tmp_path / "bad.png").write_bytes(b"no image")
        browser.find_element("id", "file").send_keys(str(tmp_path / "bad.png"))
        until(lambda: text("error").startswith("file: expected an image"))
        assert len(sources("#pair")) == 2
        # the code
        seen = set()
        for x, y in ((20, 20), (200, 100), (350, 300)):
            before = text("place")
            browser.execute_script(WALK, x, y)
            until(lambda before=before: text("place") != before)
            seen.update(sources("#place"))
        assert len(seen) == 3, "other places decode to other images"
        assert text("error").startswith("file: "), "what is wrong with the sample stays"
        browser.find_element("id", "next").click()
        until(lambda: text("error") == "")
        before = text("place")
        browser.find_element("id", "map").send_keys("\ue014")  # the right arrow
        until(lambda: text("place") != before)
        asked = {url.split("?")[0] for url in addresses_asked(browser)}
        asked = {url for url in asked if not url.startswith(("data:", "chrome:"))}
        assert all(url.startswith(server.url) for url in asked), "nothing from elsewhere"
        wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        for width in (1400, 500):
            browser.set_window_size(width, 900)
            assert browser.execute_script(wide) == 0, f"{width} pixels wide"
