"""New events as they come: server-sent events, one for each event of a book, its version the id.

A reader that was away goes on after the last version that it has seen (`Last-Event-ID`, as browsers send it, or `from`). A
thread follows the log by version for each reader, and ends with it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

from starlette.responses import StreamingResponse

from cli.page.asking import VERSION_DIGITS, PageRequest
from cli.page.site import Busy, Site, SiteCache
from cli.shared.output import json_text
from engine.reports.following import follow, followed_fields
from ledger.errors import NetbasisError
from ledger.stored import StoredEvent

MOST_READERS = 32
POLL_S, BEAT_S = 0.25, 15.0
RETRY_MS = 2_000


class Streams:
    """The readers of a site. `read` gives a new one its stream."""

    def __init__(self, site: Site, kept: SiteCache) -> None:
        self._site = site
        self._kept = kept
        self._threads = ThreadPoolExecutor(MOST_READERS, "follower")
        self._readers = 0  # changed by the event loop alone

    def read(self, asked: PageRequest, name: str, last_seen: str | None) -> StreamingResponse:
        """A stream of a book. Raises Refused for a version that is none; Busy when there are too many readers."""
        _, head = self._site.terms(name)
        start = asked.version("from") or head.version + 1
        if last_seen is not None and last_seen.isascii() and last_seen.isdecimal() and len(last_seen) <= VERSION_DIGITS:
            start = int(last_seen) + 1
        if self._readers >= MOST_READERS:
            raise Busy
        return StreamingResponse(self._lines(name, start), media_type="text/event-stream")

    async def _lines(self, name: str, start: int) -> AsyncIterator[str]:
        gone = threading.Event()
        self._readers += 1
        some = self._followed(name, start, gone)
        try:
            yield f"retry: {RETRY_MS}\n\n"
            loop = asyncio.get_running_loop()
            while (lines := await loop.run_in_executor(self._threads, next, some, None)) is not None:
                yield lines
        finally:
            gone.set()
            self._readers -= 1

    def _followed(self, name: str, start: int, gone: threading.Event) -> Iterator[str]:
        """The text of the stream; something at least every `BEAT_S`, since only writing tells that a reader has gone."""
        last = time.monotonic()
        beats = 0

        def pause() -> bool:
            return not (gone.wait(POLL_S) or self._kept.is_stopped or time.monotonic() - last > BEAT_S)

        try:
            while not (gone.is_set() or self._kept.is_stopped):
                for events in follow(self._site.database, name, start, pause):
                    last = time.monotonic()
                    start = events[-1].version + 1
                    yield "".join(_line(stored) for stored in events)
                    if gone.is_set():
                        return
                last = time.monotonic()
                beats += 1
                yield f": {beats}\n\n"
        except NetbasisError as error:
            self._site.say(f"a reader's stream has ended: {error}")
            yield f"event: ended\ndata: {json_text({'code': error.code})}\n\n"


def _line(stored: StoredEvent) -> str:
    return f"id: {stored.version}\nevent: appended\ndata: {json_text(followed_fields(stored))}\n\n"
