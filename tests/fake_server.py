"""A stand-in for a real service, on a port of this machine."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FakeServer(ThreadingHTTPServer):
    """Answers by its handler at `url`, until it is closed. What it knows and was asked is in its own attributes."""

    def __init__(self, handler):
        super().__init__(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        with contextlib.suppress(OSError):  # macOS does not know this of a socket that listens
            self.socket.shutdown(socket.SHUT_RDWR)  # the thread notices at once, and not when it looks the next time
        self.shutdown()
        self.server_close()


class Request(BaseHTTPRequestHandler):
    """One request; nothing of it is printed."""

    def say(self, answer, status=200, **headers):
        """Bytes as they are, anything else as JSON."""
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass
