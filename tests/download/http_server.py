"""A small HTTP server with Range, ETag and a list of faults, to test downloads."""

import gzip
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Served:
    """What is at one path; each request uses up one of ``faults``, later ones meet ``always``."""

    body: bytes
    etag: str | None = '"v1"'
    modified: str | None = None
    faults: list[str] = field(default_factory=list)
    always: str = ""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        served, fault = self.server.next(self.path, self.headers)
        if served is None:
            return self.answer(404)
        kind, _, argument = fault.partition(" ")
        if kind == "status":  # "status 429 3": code and Retry-After
            code, *wait = argument.split(" ", 1)
            return self.answer(int(code), {"Retry-After": wait[0]} if wait else {})
        if kind == "redirect":
            return self.answer(302, {"Location": argument})
        if kind == "hang-up":
            self.close_connection = True
            return
        if kind == "gzip":
            return self.answer(
                200, {"Content-Encoding": "gzip", "ETag": '"z"'}, gzip.compress(served.body)
            )
        self.deliver(served, kind, argument)

    def deliver(self, served: Served, kind: str, argument: str):
        """Sends the body from the start of a Range, as slowly or incompletely as the fault says."""
        flipped = served.body[:-1] + bytes([served.body[-1] ^ 1])
        body = {"empty": b"", "flipped": flipped, "longer": served.body + b"x"}.get(
            kind, served.body
        )
        validator = served.etag or served.modified
        headers = {
            k: v for k, v in {"ETag": served.etag, "Last-Modified": served.modified}.items() if v
        }
        start, asked = 0, self.headers.get("Range")
        same = self.headers.get("If-Range") in (None, validator) or kind == "ignores-if-range"
        if asked and same and kind != "ignores-range":
            start = int(asked.removeprefix("bytes=").rstrip("-")) + (5 if kind == "shifted" else 0)
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        stop = int(argument) if kind == "cut" else None  # "cut 5000": stops after 5000 bytes
        pause = float(argument) if kind == "slow" else 0  # "slow 0.1": waits 0.1 s per 64 KiB
        self.answer(206 if "Content-Range" in headers else 200, headers, body[start:], stop, pause)

    def answer(
        self,
        status: int,
        headers: dict | None = None,
        body: bytes = b"",
        stop: int | None = None,
        pause: float = 0,
    ):
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        sent = body[:stop]
        for at in range(0, len(sent), 2**16):
            self.wfile.write(sent[at : at + 2**16])
            time.sleep(pause)
        self.close_connection = self.close_connection or stop is not None

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, Served] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.guard = threading.Lock()
        threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()

    def put(self, name: str, body: bytes, *faults: str, **more) -> str:
        """Serves ``body`` and returns its URL."""
        self.files[f"/{name}"] = Served(body, faults=list(faults), **more)
        return self.url(name)

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"

    def next(self, path: str, headers) -> tuple[Served | None, str]:
        """Records the request; returns what is served and the fault that the request meets."""
        with self.guard:
            self.asked.append((path, dict(headers)))
            served = self.files.get(path)
            return served, (
                served.faults.pop(0)
                if served and served.faults
                else served.always
                if served
                else ""
            )

    def ranges(self) -> list[str | None]:
        """The Range header of every request so far."""
        return [headers.get("Range") for _, headers in self.asked]

    def handle_error(self, request, client_address):
        pass  # the tests have clients that go away
