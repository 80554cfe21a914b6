"""The server of the demo page. It accepts connections only from this machine.

A page from another site could send requests to it through the browser, so requests with another
origin than the demo page are refused.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any
from urllib.parse import parse_qs, urlsplit

from sae.demo.subject import Subject
from sae.errors import InputError

HOST = "127.0.0.1"
NAMES = (HOST, "localhost")
MOST_BYTES = 64 * 2**20
# The page loads nothing from other servers, and no other page may embed it.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'"
)


class Server(ThreadingHTTPServer):
    """Serves the page and answers its requests.

    Args:
        subject: The run.
        port: The port; 0 for any free port.

    Raises:
        InputError: The port is in use, or not allowed.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, subject: Subject, port: int = 0) -> None:
        self.subject, self.lock = subject, threading.Lock()
        self.page = (resources.files("sae.demo") / "page.html").read_bytes()
        try:
            super().__init__((HOST, port), Handler)
        except OSError as error:
            found = f"port {port}, which cannot be used ({error.strerror})"
            raise InputError("port", "a free port", found, "choose another, or 0 for any") from None

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://{HOST}:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server
    protocol_version = "HTTP/1.1"
    timeout = 60  # seconds to wait for the rest of a request

    def do_GET(self) -> None:
        """Send the page, or the facts about the run."""
        subject, path = self.server.subject, urlsplit(self.path).path
        if not self._is_ours():
            return
        if path == "/":
            self._send(HTTPStatus.OK, self.server.page, "text/html; charset=utf-8")
        elif path == "/about":
            self._answer(subject.about)
        elif path == "/map":
            self._answer(lambda: subject.map(self._number("first"), self._number("second")))
        elif path == "/sample":
            self._answer(lambda: subject.sample(self._number("k")))
        else:
            self._send(HTTPStatus.NOT_FOUND, b"{}", "application/json")

    def do_POST(self) -> None:
        """Send the results for a sample, an image, a row, a file or a code."""
        subject, path = self.server.subject, urlsplit(self.path).path
        content = self._body() if self._is_ours() else None
        if content is None:
            return
        asked: dict[str, Callable[[], dict[str, Any]]] = {
            "/image": lambda: subject.image(
                content, self._query("drawn") == "1", self._query("invert") == "1"
            ),
            "/file": lambda: subject.file(self._query("name"), content, self._number("row")),
            "/row": lambda: subject.row(_listed(content)),
            "/decode": lambda: subject.decode(_listed(content)),
        }
        if path in asked:
            self._answer(asked[path])
        else:
            self._send(HTTPStatus.NOT_FOUND, b"{}", "application/json")

    # Requests

    def _is_ours(self) -> bool:
        """Whether the request comes from our own page, or from a program on this machine."""
        places = {f"{name}:{self.server.server_port}" for name in NAMES}
        origin = self.headers.get("Origin")
        ours = self.headers.get("Host") in places
        if not ours or origin not in (None, *(f"http://{place}" for place in places)):
            self.close_connection = True
            self._send(HTTPStatus.FORBIDDEN, b"{}", "application/json")
            return False
        return True

    def _body(self) -> bytes | None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MOST_BYTES:
            self.close_connection = True
            said = {"error": f"file: expected a file of at most {MOST_BYTES // 2**20} MB"}
            content = json.dumps(said).encode()
            self._send(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, content, "application/json")
            return None
        return self.rfile.read(int(length))

    def _query(self, key: str) -> str:
        return parse_qs(urlsplit(self.path).query).get(key, [""])[0]

    def _number(self, key: str) -> int:
        value = self._query(key)
        return int(value) if value.isdecimal() and len(value) < 10 else 0

    # Answers

    def _answer(self, make: Callable[[], dict[str, Any]]) -> None:
        try:
            with self.server.lock:  # one thread at a time computes
                made = make()
        except InputError as error:
            content = json.dumps({"error": str(error)}).encode()
            self._send(HTTPStatus.UNPROCESSABLE_ENTITY, content, "application/json")
            return
        except Exception as error:  # the page shows it, and the server continues
            line = " ".join(f"{type(error).__name__}: {error}".split())
            content = json.dumps({"error": f"a bug in sae ({line})"}).encode()
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, content, "application/json")
            return
        self._send(HTTPStatus.OK, json.dumps(made).encode(), "application/json")

    def _send(self, status: HTTPStatus, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


def _listed(content: bytes) -> list[Any]:
    """Parse a list in JSON; raise InputError for anything else."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list):
        raise InputError("request", "a list in JSON", "something else", "reload the page")
    return found
