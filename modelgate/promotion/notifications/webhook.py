"""
Send a webhook, signed as in Standard Webhooks (https://www.standardwebhooks.com): HMAC-SHA256 over id, time and body.

The address is a secret, and anyone may have chosen it, so the request is restricted: over https, never to a private
network, to the exact address that was checked, without redirects, for a bounded time. Only the status of the answer is
read. `http.client` can do this; the clients in our locks resolve a name a second time when they connect.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import http.client
import ipaddress
import json
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from modelgate.promotion.notifications.message import TEMPLATES, Message
from modelgate.promotion.notifications.untold import Untold
from modelgate.text import to_line

URL, SECRET = "PROMOTION_WEBHOOK_URL", "PROMOTION_WEBHOOK_SECRET"
TEMPLATE, ALLOW = "PROMOTION_WEBHOOK_TEMPLATE", "PROMOTION_WEBHOOK_ALLOW"
TIMEOUT_S = 15.0
_SECRET_BYTES = range(24, 65)
_ADDRESS = re.compile(r"(https?)://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?(/[\x21-\x22\x24-\x7e]*)?")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True)
class _Receiver:
    """The parts of the webhook's address."""

    scheme: str
    host: str
    port: int
    path: str


def send(message: Message) -> None:
    """Send the message once; Untold if the receiver did not answer 2xx."""
    allowed = set(os.environ.get(ALLOW, "").split())
    receiver = _parse_receiver(os.environ.get(URL, ""), allowed)
    body = json.dumps(_build_body(message)).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "modelgate"} | _sign(message.id, body)
    status = _run_within(TIMEOUT_S, lambda: _post(receiver, body, headers, private="private" in allowed))
    if not 200 <= status < 300:
        raise Untold(f"it answered {status}", again=status in (408, 429) or status >= 500)


def sign(secret: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the header `webhook-signature`."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return f"v1,{base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()}"


def _build_body(message: Message) -> object:
    name = os.environ.get(TEMPLATE, "")
    if name not in TEMPLATES:
        raise Untold(f"{TEMPLATE} is {to_line(name, 40)!r}, but must be slack, teams or empty")
    return TEMPLATES[name](message)


def _sign(message_id: str, body: bytes) -> dict[str, str]:
    """Return the three headers; without a secret only the id and the time, which is enough for Slack and Teams."""
    timestamp = int(time.time())
    headers = {"webhook-id": message_id, "webhook-timestamp": str(timestamp)}
    if secret := os.environ.get(SECRET, ""):
        return headers | {"webhook-signature": sign(_decode_key(secret), message_id, timestamp, body)}
    if os.environ.get(TEMPLATE):
        return headers
    raise Untold(f"{SECRET} is not set")


def _decode_key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith("whsec_") or len(key) not in _SECRET_BYTES:
        raise Untold(f"{SECRET} is not `whsec_` and then 24 to 64 bytes in base64")
    return key


def _parse_receiver(url: str, allowed: set[str]) -> _Receiver:
    if not (parts := _ADDRESS.fullmatch(url)):
        raise Untold(f"{URL} is not an address like https://host/path" if url else f"{URL} is not set")
    scheme, host, port, path = parts.groups()
    if scheme == "http" and "http" not in allowed:
        raise Untold(f"{URL} is not https, and {ALLOW} does not contain `http`")
    return _Receiver(scheme, host.strip("[]"), int(port or (443 if scheme == "https" else 80)), path or "/")


def _post(receiver: _Receiver, body: bytes, headers: dict[str, str], *, private: bool) -> int:
    """Return the status of the answer. The connection goes to an address that was checked, without another look-up."""
    connection: http.client.HTTPConnection
    plain = _connect(_resolve(receiver, private=private), receiver.port)
    if receiver.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(receiver.host, receiver.port, context=context)
        connection.sock = context.wrap_socket(plain, server_hostname=receiver.host)
    else:
        connection = http.client.HTTPConnection(receiver.host, receiver.port)
        connection.sock = plain
    try:
        connection.request("POST", receiver.path, body, headers)
        return connection.getresponse().status
    finally:
        connection.close()


def _resolve(receiver: _Receiver, *, private: bool) -> list[str]:
    """Return the addresses of the host; raise Untold if any of them is not public, unless private ones are allowed."""
    answers = socket.getaddrinfo(receiver.host, receiver.port, type=socket.SOCK_STREAM)
    addresses = [str(answer[4][0]) for answer in answers]
    if not private and not all(is_public(address) for address in addresses):
        raise Untold(f"its host has a private address, and {ALLOW} does not contain `private`")
    return addresses


def is_public(text: str) -> bool:
    """Return whether an address is public: not this machine, a private network, link-local or multicast."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        within = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            within = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if within:
            return is_public(str(within))
        if address.is_site_local:
            return False
    return address.is_global and not address.is_multicast


def _connect(addresses: list[str], port: int) -> socket.socket:
    """Return a connection to the first address that accepts one."""
    for address in addresses[:-1]:
        try:
            return socket.create_connection((address, port), TIMEOUT_S / 3)
        except OSError:
            continue
    return socket.create_connection((addresses[-1], port), TIMEOUT_S)


def _run_within(seconds: float, work: Callable[[], int]) -> int:
    """
    Return the result of the work if it arrives in time; otherwise, and for any error in it, raise Untold.

    This uses a thread, because a name look-up cannot be interrupted, and a receiver may send its answer byte by byte.
    """
    outcome: list[int | Untold] = []

    def attempt() -> None:
        try:
            outcome.append(work())
        except Untold as error:
            outcome.append(error)
        except TimeoutError:
            return
        except Exception as error:  # its text may contain the address
            outcome.append(Untold(f"it could not be reached: {type(error).__name__}", again=True))

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(seconds)
    result = outcome[0] if outcome else Untold(f"it did not answer within {seconds:g} s", again=True)
    if isinstance(result, Untold):
        raise result
    return result
