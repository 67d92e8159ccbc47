"""A server that replaces a real service in tests, on a port of this machine."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FakeServer(ThreadingHTTPServer):
    """Answers with its handler at `url` until it is closed. Subclasses keep its data and its requests in attributes."""

    def __init__(self, handler):
        super().__init__(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        with contextlib.suppress(OSError):  # macOS does not support this for a listening socket
            self.socket.shutdown(socket.SHUT_RDWR)  # so the thread notices at once, and not at its next poll
        self.shutdown()
        self.server_close()


class Request(BaseHTTPRequestHandler):
    """One request; nothing is printed."""

    def say(self, answer, status=200, **headers):
        """Send bytes as they are, and anything else as JSON."""
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass
