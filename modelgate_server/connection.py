"""
Handle a connection with a client: send an answer in one piece, and stop waiting for a request that does not arrive.

uvicorn writes the head of an answer and its body one after the other. If the server is killed between the two, the
client has only the head, and the SDK does not ask again for a body that never arrives. One piece also saves a system
call.

uvicorn accepts any number of headers, and waits for a head or a body without a limit. Both are limited here, because a
client can send either without a key.

A dataset is thousands of small PUTs. Each arrives in one chunk and is answered while that chunk is parsed, without the
task, the queue and the routes of the application, which took most of the time. What does not arrive in one chunk, or is
refused, goes to the application.
"""

import asyncio
import math
from collections.abc import Callable
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from modelgate_server.settings import BODY_SILENCE_S, HEAD_S, KEEP_ALIVE_S, LINGER_S, MAX_HEADER_BYTES

# Stores the body of a PUT, given its target, and returns the headers of a 200. None means that the application answers.
Store = Callable[[bytes, bytes], list[tuple[bytes, bytes]] | None]
TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Connection(HttpToolsProtocol):
    """One timer per connection, however many phases its requests have: timers were a tenth of an upload's time."""

    _received = 0  # bytes of the chunk that is being parsed
    _head_bytes = 0  # of the head that is arriving, without that chunk
    _in_head = True
    _in_body = False
    _heard = 0.0  # when the client last sent something, in the loop's time
    _until = math.inf  # when to close the connection, in the same time
    _clock: asyncio.TimerHandle | None = None
    _pieces: list[bytes] | None = None  # of the body of a PUT that the application does not know about yet

    def __init__(self, *args: Any, store: Store, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._store = store

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast(asyncio.Transport, Gathering(transport, self.loop)))
        self._close_at(self.loop.time() + HEAD_S)

    def connection_lost(self, error: Exception | None) -> None:
        self._stop_clock()
        super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        self._heard = self.loop.time()
        self._received = len(data)
        began_in_head = self._in_head
        super().data_received(data)
        if self._pieces is not None:
            self._pass_on()
        if began_in_head and self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEADER_BYTES and not self.transport.is_closing():
                self.transport.write(TOO_LARGE)
                self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if not self._in_head:
            self._in_head = True
            self._head_bytes = 0
            self._close_at(self._heard + HEAD_S)

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._head_bytes + self._received > MAX_HEADER_BYTES and self._measure_head() > MAX_HEADER_BYTES:
            raise ValueError("the head of the request is too large")  # which the parser turns into a 400
        self._in_body = True
        if self._can_answer_at_once():
            self._pieces = []
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self._pieces is None:
            super().on_body(body)
        else:
            self._pieces.append(body)

    def on_message_complete(self) -> None:
        self._in_body = False
        self._until = math.inf
        if self._pieces is not None:
            headers = self._store(self.url, b"".join(self._pieces))
            if headers is not None:
                self._pieces = None
                self._answer(headers)
                return
            self._pass_on()
        super().on_message_complete()

    def _can_answer_at_once(self) -> bool:
        """Return whether this is a PUT, no earlier answer is owed, and the answer leaves the connection open."""
        if self.parser.get_method() != b"PUT" or not (self.cycle is None or self.cycle.response_complete):
            return False
        return self.parser.get_http_version() == "1.1" and self.parser.should_keep_alive()

    def _answer(self, headers: list[tuple[bytes, bytes]]) -> None:
        lines = [b"%b: %b\r\n" % header for header in (*self.server_state.default_headers, *headers)]
        self.transport.write(b"".join([STATUS_LINE[200], *lines, b"content-length: 0\r\n\r\n"]))
        self.server_state.total_requests += 1
        self._close_at(self._heard + KEEP_ALIVE_S)

    def _pass_on(self) -> None:
        """Start the application on a PUT, with what has arrived of its body."""
        pieces, self._pieces = self._pieces or [], None
        if not self.transport.is_closing():
            super().on_headers_complete()
            for piece in pieces:
                super().on_body(piece)

    def on_response_complete(self) -> None:
        """Give a client that is still sending the body of an answered request time to read the answer, then close."""
        super().on_response_complete()
        if self._in_body:
            self._in_body = False
            self._close_at(self.loop.time() + LINGER_S)

    def _measure_head(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _close_at(self, until: float) -> None:
        self._until = until
        if self._clock is None or until < self._clock.when():
            self._stop_clock()
            self._clock = self.loop.call_at(until, self._check_time)

    def _check_time(self) -> None:
        """Close a connection whose time is over. In a body, silence counts, but only while the server is reading."""
        self._clock = None
        now = self.loop.time()
        if self._in_body:
            self._until = max(self._heard + BODY_SILENCE_S, now + 1 if self.flow.read_paused else 0)
        if self._until <= now:
            self.transport.close()
        elif self._until < math.inf:
            self._clock = self.loop.call_at(self._until, self._check_time)

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None


class Gathering:
    """
    A transport that collects everything written in one turn of the event loop, and sends it at the end of that turn.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._pieces: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        """Pass everything else to the transport itself."""
        return getattr(self._transport, name)

    def write(self, piece: bytes) -> None:
        if not self._pieces:
            self._loop.call_soon(self._send)
        self._pieces.append(piece)

    def close(self) -> None:
        self._send()
        self._transport.close()

    def _send(self) -> None:
        if self._pieces:
            whole = b"".join(self._pieces)
            self._pieces.clear()
            self._transport.write(whole)
