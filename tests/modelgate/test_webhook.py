"""
The webhook: how it is signed, where it is never sent, how long it waits, and what it discloses.

    pytest tests/modelgate/test_webhook.py

Each receiver is a real one on a port of this machine. Host names are resolved from the test's table.
"""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import time
from dataclasses import replace

import pytest

from modelgate.promotion.ledger import Entry
from modelgate.promotion.notifications import webhook
from modelgate.promotion.notifications.message import Message
from modelgate.promotion.notifications.untold import Untold
from tests.receiver import PATH, SECRET, Receiver, is_signed

PAGE = "https://wandb.ai/acme/registry/v3"
HOST = "hooks.example.com"


def message(**changes):
    version = {"name": "acme/wandb-registry-model/cells:v3", "digest": "d" * 32}
    content = {"from": version | {"name": "acme/wandb-registry-model/cells:v2"}, "to": version, "approver": "ada"}
    content |= {"reason": "", "time": "2026-11-23T14:00:00Z", "policy": {"name": "no_worse"}, "previous": None}
    return Message("cells", Entry(5, content | changes), PAGE, "production")


@pytest.fixture
def receiver(monkeypatch):
    running = Receiver()
    variables = {"URL": running.address, "SECRET": SECRET, "ALLOW": "http private", "TEMPLATE": ""}
    for name, value in variables.items():
        monkeypatch.setenv(f"PROMOTION_WEBHOOK_{name}", value)
    yield running
    running.close()


@pytest.fixture
def names(monkeypatch):
    """Resolve names as a test wants: `names(host=[["10.0.0.1"], ["1.1.1.1"]])` gives the first list first."""
    known = {}

    def look_up(host, port, *_, **__):
        if host not in known:
            return getaddrinfo(host, port, *_, **__)
        answers = known[host].pop(0) if len(known[host]) > 1 else known[host][0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in answers]

    getaddrinfo = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return known


def problem(**changes):
    """Return why the message was not sent; the reason contains no secret."""
    with pytest.raises(Untold) as untold:
        webhook.send(message(**changes))
    reason = untold.value.reason
    assert PATH not in reason and SECRET not in reason and HOST not in reason and "127.0.0.1" not in reason
    return reason, untold.value.again


# --- the signature ---------------------------------------------------------------------------------------------------


def test_the_signature_is_the_one_that_standard_webhooks_publishes():
    """The example in the tests of all Standard Webhooks libraries."""
    key = webhook._decode_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = webhook.sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_what_arrives_is_signed_and_what_is_changed_is_not(receiver):
    webhook.send(message())
    (received,) = receiver.received
    assert is_signed(received)
    assert not is_signed(received, SECRET[:-4] + "AAA=")
    later = str(int(received.headers["webhook-timestamp"]) + 1)
    for change in ({"webhook-id": "promotion_0"}, {"webhook-timestamp": later}):
        assert not is_signed(replace(received, headers=received.headers | change))
    assert not is_signed(replace(received, body=received.body + b" "))


def test_one_entry_has_one_id_and_another_one_another(receiver):
    for reason in ("", "", "bad labels"):
        webhook.send(message(reason=reason))
    first, again, other = receiver.ids
    assert first == again != other


@pytest.mark.parametrize("secret", ["", "plain", "whsec_", "whsec_c2hvcnQ=", "whsec_" + "!" * 40, SECRET[6:]])
def test_without_a_good_secret_nothing_is_sent(receiver, monkeypatch, secret):
    monkeypatch.setenv("PROMOTION_WEBHOOK_SECRET", secret)
    assert problem()[0].startswith("PROMOTION_WEBHOOK_SECRET is not ")
    assert receiver.received == []


# --- Slack and Teams -------------------------------------------------------------------------------------------------


def test_slack_gets_a_text_that_mentions_no_one(receiver, monkeypatch):
    monkeypatch.setenv("PROMOTION_WEBHOOK_TEMPLATE", "slack")
    monkeypatch.delenv("PROMOTION_WEBHOOK_SECRET")
    webhook.send(message(reason="<!channel> & <https://evil.example|look>"))
    (received,) = receiver.received
    digest = "d" * 32
    assert received.json == {
        "text": "cells: promoted cells:v3, in place of v2\n"
        f"approved by ada, ledger entry v5, digest {digest}\n"
        "&lt;!channel&gt; &amp; &lt;https://evil.example|look&gt;\n"
        f"<{PAGE}|the version in W&amp;B>"
    }
    assert "webhook-signature" not in received.headers


def test_teams_gets_a_card_without_markdown(receiver, monkeypatch):
    monkeypatch.setenv("PROMOTION_WEBHOOK_TEMPLATE", "teams")
    webhook.send(message(policy={"name": "rollback"}, reason="[look](https://evil.example)"))
    (attachment,) = receiver.received[0].json["attachments"]
    card = attachment["content"]
    assert (attachment["contentType"], card["type"]) == ("application/vnd.microsoft.card.adaptive", "AdaptiveCard")
    assert {block["type"] for block in card["body"]} == {"RichTextBlock"}  # whose runs are plain text
    texts = [run["text"] for block in card["body"] for run in block["inlines"]]
    assert texts[0] == "cells: rolled back to cells:v3, in place of v2"
    assert texts[-1] == "[look](https://evil.example)"
    assert [action["url"] for action in card["actions"]] == [PAGE]


def test_an_unknown_template_is_named(receiver, monkeypatch):
    monkeypatch.setenv("PROMOTION_WEBHOOK_TEMPLATE", "discord")
    assert problem()[0] == "PROMOTION_WEBHOOK_TEMPLATE is 'discord', but must be slack, teams or empty"


def test_a_page_that_is_no_plain_address_is_left_out(receiver, monkeypatch):
    monkeypatch.setenv("PROMOTION_WEBHOOK_TEMPLATE", "slack")
    webhook.send(Message("cells", message().entry, "https://x|<!here>", "production"))
    assert "here" not in receiver.received[0].json["text"]


# --- where it is never sent to ---------------------------------------------------------------------------------------

PRIVATE = [
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.0.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",  # noqa: S104 - an address that is refused
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1%eth0",
    "fc00::1",
    "fec0::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:224.0.0.1",
    "2002:7f00:1::",
    "2002:a00:1::",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2001:0:4136:e378:8000:63bf:80ff:fffe",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_of_the_internet_is_private(address):
    assert not webhook.is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"])
def test_an_address_of_the_internet_is_public(address):
    assert webhook.is_public(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"])
def test_a_private_address_is_refused_however_it_is_written(receiver, monkeypatch, host):
    monkeypatch.setenv("PROMOTION_WEBHOOK_ALLOW", "http")
    monkeypatch.setenv("PROMOTION_WEBHOOK_URL", f"http://{host}:{receiver.server_port}{PATH}")
    assert problem() == (
        "its host has a private address, and PROMOTION_WEBHOOK_ALLOW does not contain `private`",
        False,
    )
    assert receiver.received == []


@pytest.mark.parametrize("answer", [["127.0.0.1"], ["1.1.1.1", "127.0.0.1"]])
def test_a_name_that_stands_for_a_private_address_is_refused(receiver, names, monkeypatch, answer):
    names[HOST] = [answer]
    monkeypatch.setenv("PROMOTION_WEBHOOK_ALLOW", "http")
    monkeypatch.setenv("PROMOTION_WEBHOOK_URL", f"http://{HOST}:{receiver.server_port}{PATH}")
    assert problem()[0].startswith("its host has a private address")
    assert receiver.received == []


def test_the_connection_is_made_to_the_address_that_was_checked(receiver, names, monkeypatch):
    """A name that resolves to another address the second time is resolved only once."""
    public = "192.0.2.1"
    names[HOST] = [[public], ["127.0.0.1"]]
    connected = []

    def connect(address, *_):
        connected.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", connect)
    monkeypatch.setattr(webhook, "is_public", lambda address: address == public)
    monkeypatch.setenv("PROMOTION_WEBHOOK_ALLOW", "http")
    monkeypatch.setenv("PROMOTION_WEBHOOK_URL", f"http://{HOST}:{receiver.server_port}{PATH}")
    assert problem() == ("it could not be reached: ConnectionRefusedError", True)
    assert connected == [public] and receiver.received == []


def test_http_is_refused_unless_it_is_allowed(receiver, monkeypatch):
    monkeypatch.setenv("PROMOTION_WEBHOOK_ALLOW", "private")
    assert problem()[0] == "PROMOTION_WEBHOOK_URL is not https, and PROMOTION_WEBHOOK_ALLOW does not contain `http`"
    assert receiver.received == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "file:///etc/passwd",
        "https://",
        "https://user:key@host/",
        "https://host/a b",
        "https://host/\r\nX: y",
        "https://host\\@other/",
        "//host/x",
        "https://host:port/",
        "https://h\u00f6st/",
    ],
)
def test_what_is_no_address_is_refused(receiver, monkeypatch, url):
    monkeypatch.setenv("PROMOTION_WEBHOOK_URL", url)
    assert problem()[0].startswith("PROMOTION_WEBHOOK_URL is not ")


def test_a_redirect_is_not_followed(receiver):
    inside = Receiver()
    receiver.answers = [lambda request: request.say({}, 307, Location=inside.address)]
    assert problem() == ("it answered 307", False)
    inside.close()
    assert inside.received == []


# --- TLS -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def over_tls(receiver, names, monkeypatch, tmp_path):
    """The receiver, with a certificate for the host that is trusted here."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", f"/CN={HOST}"]
    command += ["-addext", f"subjectAltName=DNS:{HOST}", "-out", certificate, "-keyout", key]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    receiver.socket = context.wrap_socket(receiver.socket, server_side=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("PROMOTION_WEBHOOK_ALLOW", "private")

    def at(host):
        names[host] = [["127.0.0.1"]]
        monkeypatch.setenv("PROMOTION_WEBHOOK_URL", f"https://{host}:{receiver.server_port}{PATH}")

    return at


def test_over_https_the_certificate_is_held_to_the_name(receiver, over_tls, monkeypatch):
    over_tls(HOST)
    webhook.send(message())
    assert receiver.received[0].headers["host"] == f"{HOST}:{receiver.server_port}"
    over_tls("other.example.com")
    assert problem() == ("it could not be reached: SSLCertVerificationError", True)
    monkeypatch.delenv("SSL_CERT_FILE")
    over_tls(HOST)  # no authority has signed this one
    assert problem()[0] == "it could not be reached: SSLCertVerificationError"
    assert len(receiver.received) == 1


# --- what it waits for -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "again"), [(500, True), (503, True), (429, True), (404, False), (410, False)])
def test_what_is_no_2xx_is_not_told(receiver, status, again):
    receiver.answers = [status]
    assert problem() == (f"it answered {status}", again)


def hang(request):
    time.sleep(3)


def drip(request):
    """Send a header one byte at a time, each just in time."""
    for byte in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 60:
        request.wfile.write(bytes([byte]))
        request.wfile.flush()
        time.sleep(0.05)


@pytest.mark.parametrize("answer", [hang, drip])
def test_a_receiver_that_does_not_end_is_not_waited_for(receiver, monkeypatch, answer):
    monkeypatch.setattr(webhook, "TIMEOUT_S", 0.3)
    receiver.answers = [answer]
    began = time.monotonic()
    assert problem() == ("it did not answer within 0.3 s", True)
    assert time.monotonic() - began < 2


def test_a_look_up_that_hangs_is_not_waited_for(receiver, monkeypatch):
    monkeypatch.setattr(webhook, "TIMEOUT_S", 0.2)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(2))
    assert problem() == ("it did not answer within 0.2 s", True)


def endless(request):
    request.send_response(200)
    request.end_headers()
    for _ in range(10_000):
        request.wfile.write(b"x" * 65536)


def test_of_an_endless_answer_nothing_but_the_status_is_read(receiver):
    receiver.answers = [endless]
    began = time.monotonic()
    webhook.send(message())
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "line", [b"not http at all\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", b""]
)
def test_what_is_no_answer_is_not_told(receiver, line):
    receiver.answers = [lambda request: request.wfile.write(line)]
    assert problem()[0].startswith("it could not be reached: ")


def test_the_payload_has_the_promotion(receiver):
    webhook.send(message(sha256={"model": "a" * 64, "eval_rows": "b" * 64}))
    body = json.loads(receiver.received[0].body)
    assert (body["type"], body["timestamp"]) == ("model.promoted", "2026-11-23T14:00:00Z")
    assert body["data"]["to"]["sha256"] == "a" * 64
