"""A web server in a thread, whose answers the test decides."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator


class Request(NamedTuple):
    """What a client has asked; ``parameters`` are of the query or of the form in the body."""

    method: str
    path: str
    parameters: dict[str, str]
    content_type: str | None


Answer = tuple[int, bytes]


class Web:
    """``requests`` are all so far; ``answer`` makes the next ones."""

    def __init__(self, scheme: str, port: int) -> None:
        self.url = f"{scheme}://localhost:{port}"
        self.requests: list[Request] = []
        self.answer: Callable[[Request], Answer] = lambda _request: (404, b"nothing here")

    def take(self, request: Request) -> Answer:
        self.requests.append(request)
        return self.answer(request)


@contextmanager
def serve_web(context: ssl.SSLContext | None = None) -> Iterator[Web]:
    """Serve on a free port of this machine until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parameters = dict(parse_qsl(parts.query or body.decode(), keep_blank_values=True))
            kind = self.headers.get("Content-Type")
            status, answer = web.take(Request(self.command, parts.path, parameters, kind))
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = _serve

        def log_message(self, format: str, *args: object) -> None:
            """Keep the output of tests clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    web = Web("http" if context is None else "https", server.server_port)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
