"""The server: HTTP/1.1 over sockets that are listening already, with limits for what one request may take."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from cli.page.site import SiteCache

MOST_CONNECTIONS = 128
HEADER_BYTES = 16_384
IDLE_S, TO_END_S = 15, 3


class Impatient(H11Protocol):
    """A connection that closes when a whole request has not come within `timeout_keep_alive` seconds.

    uvicorn waits without end for the first request, and for the rest of any that has begun: who opened connections and sent
    a byte now and then would have all of them.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        """Begin to wait."""
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def data_received(self, data: bytes) -> None:
        """Take what has come. What is no whole request yet does not put off the end."""
        waiting, self.timeout_keep_alive_task = self.timeout_keep_alive_task, None
        super().data_received(data)
        if waiting is None:
            return
        if self._waits_on():
            self.timeout_keep_alive_task = waiting
        else:
            waiting.cancel()

    def _waits_on(self) -> bool:
        """Whether no request is being answered, nor was one answered just now."""
        cycle: RequestResponseCycle | None = getattr(self, "cycle", None)
        return self.timeout_keep_alive_task is None and (cycle is None or cycle.response_complete)


class Server(uvicorn.Server):
    """Serves until a signal comes; the readers' streams end first, since an answer that has begun is waited for."""

    def __init__(self, app: ASGIApp, kept: SiteCache) -> None:
        self._kept = kept
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                http=Impatient,
                ws="none",
                loop="asyncio",
                lifespan="on",
                limit_concurrency=MOST_CONNECTIONS,
                backlog=MOST_CONNECTIONS,
                timeout_keep_alive=IDLE_S,
                timeout_graceful_shutdown=TO_END_S,
                h11_max_incomplete_event_size=HEADER_BYTES,
            )
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End, because a signal says so."""
        self._kept.stop()
        super().handle_exit(sig, frame)


@contextmanager
def served(app: ASGIApp, kept: SiteCache) -> Iterator[str]:
    """Served on loopback by a thread of this process, for who looks at it from here; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(app, kept)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            kept.stop()
            server.should_exit = True
            thread.join()
