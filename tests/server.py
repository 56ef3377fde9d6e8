"""A local web server for tests of downloads, which can fail as servers do."""

import contextlib
import hashlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server:
    """`files[path]` is what it serves; `paths` and `ranges` are what it was asked for."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.files: dict[str, bytes] = {}
        self.cuts: dict[str, list[int]] = {}  # bytes after which the connection breaks off, an answer each
        self.missing = 404
        self.resumes = True
        self.encoding = ""
        self.stated: dict[str, str] = {}  # SHA-256 that the answer to /linked/… states before it redirects
        self.asked: list[tuple[str, str | None]] = []

    def add(self, name: str, content: bytes) -> str:
        """Serve a file; its address."""
        self.files[f"/{name}"] = content
        return f"{self.address}/{name}"


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    """A server on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            found.asked.append((self.path, self.headers.get("Range")))
            if self.path in found.stated:
                self.send_response(302)
                self.send_header("X-Linked-ETag", f'"{found.stated[self.path]}"')
                self.send_header("Location", self.path.removeprefix("/linked"))
                self.end_headers()
            elif self.path not in found.files:
                self.send_error(found.missing)
            else:
                self.answer(found.files[self.path])

        def answer(self, content: bytes):
            wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")) if found.resumes else None
            start = int(wanted[1]) if wanted else 0
            if start >= len(content):
                self.send_error(416)
                return
            self.send_response(206 if wanted else 200)
            if wanted:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            if found.encoding:
                self.send_header("Content-Encoding", found.encoding)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            cuts = found.cuts.get(self.path)
            self.wfile.write(content[start : start + cuts.pop(0)] if cuts else content[start:])
            self.close_connection = True

        def log_message(self, format, *args):
            pass

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, request, client_address):
            """A client that hangs up early is part of the tests."""

    http = Quiet(("127.0.0.1", 0), Handler)
    found = Server(f"http://127.0.0.1:{http.server_address[1]}")
    thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        http.shutdown()
        http.server_close()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
