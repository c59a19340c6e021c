"""The page without a socket: a request goes into the application, and its answer comes out."""

from __future__ import annotations

import asyncio
import html
import http.client
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from starlette.types import ASGIApp, Message

from cli.page import server
from cli.page.application import application
from cli.page.gate import Rules
from cli.page.site import Site, SiteCache
from engine.bookkeeper import Bookkeeper
from engine.cost_basis import CostMethod
from engine.paper.strategy_config import Strategy
from ledger.database.connections import Database

HOST = ("host", "localhost:8750")


@dataclass(frozen=True)
class Answer:
    """An answer: its status, its headers in lower case, its body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text; the digits of a figure are together, whatever their size."""
        return re.sub(r'<span class="rest">(\d+)</span>', r"\1", self.body.decode())

    @property
    def seen(self) -> str:
        """What a reader sees of a page: its text without tags, blanks as one."""
        bare = re.sub(r"<(script|style).*?</\1>", "", self.text, flags=re.DOTALL)
        return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", bare)))

    def links(self) -> list[str]:
        """Where the page leads."""
        return [html.unescape(link) for link in re.findall(r'href="([^"]*)"', self.text)]


@dataclass
class Page:
    """A site and its application. `said`: what was told to whoever runs the server."""

    site: Site
    kept: SiteCache
    app: ASGIApp
    said: list[str] = field(default_factory=list)

    def get(
        self, path: str, *headers: tuple[str, str], method: str = "GET", host: tuple[str, str] | None = HOST
    ) -> Answer:
        """Ask for a path, which may have a query."""
        return ask(self.app, path, [*([host] if host else []), *headers], method)


def page_over(
    database: Database,
    now: Callable[[], datetime],
    *,
    book: str | None = None,
    token: str | None = None,
    names: Iterable[str] = (),
    strategy: Strategy | None = None,
) -> Page:
    """The page over an open database."""
    said: list[str] = []
    site = Site(database, book, now, None, CostMethod(), strategy, said.append)
    kept = SiteCache(site)
    return Page(site, kept, application(site, kept, Rules.of(names, token)), said)


def page_of(keeper: Bookkeeper, **how: Any) -> Page:
    """The page over a bookkeeper's ledger, by its clock."""
    return page_over(keeper.database, keeper.now, **how)


def ask(app: ASGIApp, path: str, headers: Iterable[tuple[str, str]] = (), method: str = "GET") -> Answer:
    """Put a request to an application, and wait for the whole answer."""
    bare, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": bare,
        "raw_path": bare.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 8750),
    }
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    async def run() -> None:
        await app(scope, receive, send)

    asyncio.run(run())
    start, *parts = sent
    found = {name.decode(): value.decode("latin-1") for name, value in start["headers"]}
    return Answer(start["status"], found, b"".join(part.get("body", b"") for part in parts))


def served(page: Page) -> AbstractContextManager[str]:
    """The page behind a real socket on loopback, served by a thread; its address."""
    return server.served(page.app, page.kept)


@contextmanager
def streaming(address: str, path: str, headers: Mapping[str, str] | None = None) -> Iterator[Iterator[dict[str, str]]]:
    """The events of a stream as they come, each with its fields; comments are left out."""
    with closing(http.client.HTTPConnection(address.removeprefix("http://"), timeout=20)) as connection:
        connection.request("GET", path, headers=dict(headers or {}))
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        yield _sent(answer)
        answer.close()


def _sent(answer: http.client.HTTPResponse) -> Iterator[dict[str, str]]:
    fields: dict[str, str] = {}
    for raw in answer:
        line = raw.decode().removesuffix("\n")
        if not line and "event" in fields:
            yield fields
        if not line:
            fields = {}
        elif not line.startswith(":"):
            name, _, text = line.partition(": ")
            fields[name] = text
