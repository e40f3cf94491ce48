"""Connections that keep to limits: of their number, of the size of headers, of the time until a request arrives."""

import asyncio
from functools import partial
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from recsys.config import ServiceConfig
from recsys.service.problems import MEDIA_TYPE, Problem, unavailable

_BETWEEN = 64  # bytes of a header beside its name and value, generously


class LimitedConnection(HttpToolsProtocol):
    """uvicorn's HTTP connection; what arrives on it before the application is called has limits too."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],  # Any: as uvicorn has it
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        limits: ServiceConfig,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limits = limits
        self._header_bytes = 0  # of headers that were read
        self._unread_bytes = 0  # received since the last request's headers ended
        self._waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request, or turn the connection away when there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self._limits.max_connections:
            self._refuse(unavailable("Too many connections are open. Try again."))
            return
        self._waiting = self.loop.call_later(self._limits.header_timeout_s, self._close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop to wait."""
        self._stop_waiting()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Begin a request: its headers count from here on."""
        self._header_bytes = 0
        if self._waiting is None:
            self._waiting = self.loop.call_later(self._limits.header_timeout_s, self._close)
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Take a part of the address."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self._count(len(name) + len(value) + _BETWEEN)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Hand the request over unless the connection was refused meanwhile."""
        self._stop_waiting()
        if not self.transport.is_closing():
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        if self.cycle is not None:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End the request."""
        if self.cycle is not None:
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        del msg
        self._refuse(Problem(400, "bad-request", "This is no HTTP request."))

    def data_received(self, data: bytes) -> None:
        """Take bytes; those of a refused connection are dropped, and headers without an end are refused."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self._waiting is not None:
            self._unread_bytes += len(data)
            self._check(self._unread_bytes)
        elif self.timeout_keep_alive_task is None and (self.cycle is None or self.cycle.response_complete):
            self._waiting = self.loop.call_later(self._limits.header_timeout_s, self._close)

    def _count(self, n: int) -> None:
        self._header_bytes += n
        self._check(self._header_bytes)

    def _check(self, n: int) -> None:
        if n > self._limits.max_header_bytes and not self.transport.is_closing():
            limit = self._limits.max_header_bytes
            self._refuse(Problem(431, "headers", f"Address and headers must be at most {limit} bytes."))

    def _refuse(self, problem: Problem) -> None:
        if self.transport.is_closing():
            return
        body = problem.body()
        more = "".join(f"{name}: {value}\r\n" for name, value in problem.headers.items())
        head = (
            f"HTTP/1.1 {problem.status} {problem.details().title}\r\ncontent-type: {MEDIA_TYPE}\r\n"
            f"content-length: {len(body)}\r\n{more}connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

    def _close(self) -> None:
        self._waiting = None
        if not self.transport.is_closing():
            self.transport.close()

    def _stop_waiting(self) -> None:
        self._unread_bytes = 0
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None


def limited(limits: ServiceConfig) -> Any:  # Any: uvicorn calls it as it would call a class
    """Return what makes connections within `limits`."""
    return partial(LimitedConnection, limits=limits)
