"""
Handle a connection with a client: send an answer in one piece, and stop waiting for a request that does not arrive.

uvicorn writes the head of an answer and its body one after the other. If the server is killed between the two, the
client has only the head, and the SDK does not ask again for a body that never arrives. One piece also saves a system
call.

uvicorn accepts any number of headers, and waits for a head or a body without a limit. Both are limited here, because a
client can send either without a key.
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from modelgate_server.settings import BODY_SILENCE_S, HEAD_S, LINGER_S, MAX_HEADER_BYTES

TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Connection(HttpToolsProtocol):
    _head_bytes = 0  # of the head that is arriving
    _in_head = True
    _in_body = False
    _heard = 0.0  # when the client last sent something, in the loop's time
    _clock: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast(asyncio.Transport, Gathering(transport, self.loop)))
        self._wait_for_head()

    def connection_lost(self, error: Exception | None) -> None:
        self._stop_clock()
        super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        self._heard = self.loop.time()
        began_in_head = self._in_head
        super().data_received(data)
        if began_in_head and self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEADER_BYTES and not self.transport.is_closing():
                self.transport.write(TOO_LARGE)
                self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if not self._in_head:
            self._head_bytes = 0
            self._wait_for_head()

    def on_headers_complete(self) -> None:
        self._in_head = False
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > MAX_HEADER_BYTES:
            raise ValueError("the head of the request is too large")  # which the parser turns into a 400
        super().on_headers_complete()
        self._in_body = True
        self._stop_clock()
        self._clock = self.loop.call_later(BODY_SILENCE_S, self._check_silence)

    def on_message_complete(self) -> None:
        self._in_body = False
        self._stop_clock()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Give a client that is still sending the body of an answered request time to read the answer, then close."""
        super().on_response_complete()
        if self._in_body:
            self._stop_clock()
            self._clock = self.loop.call_later(LINGER_S, self._give_up)

    def _wait_for_head(self) -> None:
        self._in_head = True
        self._stop_clock()
        self._clock = self.loop.call_later(HEAD_S, self._give_up)

    def _check_silence(self) -> None:
        """Close a connection on which no body arrives. Silence counts only while the server itself is reading."""
        silent_s = self.loop.time() - self._heard
        if silent_s >= BODY_SILENCE_S and not self.flow.read_paused:
            self._give_up()
        else:
            self._clock = self.loop.call_later(max(BODY_SILENCE_S - silent_s, 1.0), self._check_silence)

    def _give_up(self) -> None:
        self._clock = None
        self.transport.close()

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
