"""A receiver of webhooks, and an independent check of their signatures, as Standard Webhooks publishes it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from dataclasses import dataclass

from tests.fake_server import FakeServer, Request

PATH = "/services/T000/B000/ThePathThatNobodyMayRead"
SECRET = "whsec_" + base64.b64encode(b"the key that nobody may read, 32").decode()


@dataclass(frozen=True)
class Received:
    """A received request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self):
        return self.headers["webhook-id"]

    @property
    def json(self):
        return json.loads(self.body)


class _Handler(Request):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.received.append(Received(self.path, headers, body))
        answer = self.server.answers.pop(0) if len(self.server.answers) > 1 else self.server.answers[0]
        answer(self) if callable(answer) else self.say({}, answer)


class Receiver(FakeServer):
    """Answers with `answers` in order, then with the last one for ever. Each is a status or a function."""

    def __init__(self, *answers):
        self.answers = list(answers) or [200]
        self.received = []
        super().__init__(_Handler)

    @property
    def address(self):
        return self.url + PATH

    @property
    def ids(self):
        return [received.id for received in self.received]


def is_signed(received, secret=SECRET, tolerance_s=300):
    """https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md, as a receiver."""
    timestamp = received.headers["webhook-timestamp"]
    if abs(time.time() - int(timestamp)) > tolerance_s:
        return False
    content = b".".join([received.headers["webhook-id"].encode(), timestamp.encode(), received.body])
    key = base64.b64decode(secret[len("whsec_") :])
    expected = base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
    signatures = [text.split(",", 1) for text in received.headers["webhook-signature"].split(" ")]
    return any(version == "v1" and hmac.compare_digest(value, expected) for version, value in signatures)
