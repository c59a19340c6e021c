"""The application: its routes, and what becomes of errors.

What is wrong with a request is said to whoever made it. What is wrong with the database is said to whoever runs the server;
the reader gets its code, without the path or the address that the message has.
"""

from __future__ import annotations

import traceback
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeAlias

from anyio import to_thread
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from cli.page import log, lots, now
from cli.page.asking import NotFound, PageRequest, address
from cli.page.gate import Gate, Rules
from cli.page.rendering import STATIC, environment, static, static_address
from cli.page.site import Busy, Site, SiteCache, TooLong
from cli.page.streaming import Streams
from engine.reports.prometheus import CONTENT_TYPE, exposition
from engine.reports.status import read_status
from engine.retrying import always, retry
from ledger.errors import NetbasisError, Refusal, StorageError

Pages: TypeAlias = Mapping[str, tuple[str, str, Callable[[Site, SiteCache, PageRequest, str], dict[str, Any]]]]
# By path: the template, the title, and what it shows; each about one book at a moment.
PAGES: Pages = {
    "/": ("overview.html", "Overview", now.overview),
    "/register": ("register.html", "Register", log.register),
    "/basis": ("basis.html", "Basis", log.basis),
    "/lots": ("lots.html", "Lots", lots.lots),
    "/gains": ("gains.html", "Gains", lots.gains),
    "/returns": ("returns.html", "Returns", lots.returns),
    "/sessions": ("sessions.html", "Sessions", lots.sessions),
    "/exposure": ("exposure.html", "Exposure", now.exposure),
}
# Each reads with a connection of its own; more would not be quicker.
REQUESTS_AT_ONCE = 10
_NOT_FOUND = (Refusal.BOOK_UNKNOWN, Refusal.BOOK_REQUIRED)


def application(site: Site, kept: SiteCache, rules: Rules) -> ASGIApp:
    """The whole of it, behind its gate. `kept` is started and stopped with it."""

    @asynccontextmanager
    async def running(_app: Starlette) -> AsyncIterator[None]:
        to_thread.current_default_thread_limiter().total_tokens = REQUESTS_AT_ONCE
        kept.start()
        yield
        await run_in_threadpool(kept.end)

    answers = Answers(site, kept)
    routes = [Route(path, partial(_answer, answers, answers.page)) for path in PAGES]
    routes += [
        Route("/books", partial(_answer, answers, answers.books)),
        Route("/event", partial(_answer, answers, answers.event)),
        Route("/check", partial(_answer, answers, answers.check)),
        Route("/stream", partial(_answer, answers, answers.stream)),
        Route("/metrics", partial(_answer, answers, answers.metrics)),
        Route("/static/{digest}/{name}", _static),
    ]
    app = Starlette(routes=routes, lifespan=running, exception_handlers={HTTPException: partial(_http_error, answers)})
    app.router.redirect_slashes = False
    return Gate(app, rules)


async def _answer(answers: Answers, work: Callable[[Request], Response], request: Request) -> Response:
    """Answer in a thread; errors become pages."""
    return await run_in_threadpool(answers.guarded, work, request)


def _http_error(answers: Answers, request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return answers.said(
        request, error.status_code, "There is no such page." if error.status_code == 404 else error.detail
    )


async def _static(request: Request) -> Response:
    """A style sheet or script, from memory; whole, whatever range is asked for."""
    name = request.path_params["name"]
    if name not in STATIC or static_address(name) != request.url.path:
        raise HTTPException(404)
    return Response(
        static(name), media_type=STATIC[name], headers={"Cache-Control": "public, max-age=31536000, immutable"}
    )


class Answers:
    """What the routes answer."""

    def __init__(self, site: Site, kept: SiteCache) -> None:
        self._site = site
        self._kept = kept
        self._streams = Streams(site, kept)

    def guarded(self, work: Callable[[Request], Response], request: Request) -> Response:
        """The answer of `work`; for an error, a page that says what the reader may know."""
        try:
            with self._kept.answering():
                answer = retry(lambda: work(request), safe_to_repeat=always)
            # An open connection goes on reading a file that was replaced, and what is kept is of that file, too.
            self._site.database.require_in_place()
            return answer
        except NotFound as error:
            return self.said(request, 404, str(error))
        except TooLong as error:
            return self.said(
                request,
                413,
                f"This would read {error.events:,} events, and the page reads at most {error.most:,} for a request.",
                f"On the command line there is no such limit: {error.command}",
            )
        except Busy:
            return self.said(request, 503, "Others are at work that takes long. Try again in a few seconds.")
        except StorageError as error:
            self._site.say(str(error))
            return self.said(request, 503, f"The ledger cannot be read now: {error.code}. The server has said more.")
        except NetbasisError as error:
            status = 404 if getattr(error, "refusal", None) in _NOT_FOUND else 400
            said = [error.what, *([f"expected {error.expected}"] if error.expected else [])]
            said += [f"actual {error.actual}"] if error.actual else []
            return self.said(request, status, "; ".join(said))
        except Exception:  # noqa: BLE001 - whatever it is, the reader gets no traceback
            self._site.say(traceback.format_exc())
            return self.said(request, 500, "Something is wrong with this page. The server has said more.")

    def said(self, request: Request, status: int, *lines: str) -> Response:
        """A page that says what is wrong."""
        headers = {"Retry-After": "5"} if status == 503 else None
        context = self._frame(request, "Not shown") | {"lines": lines, "status": status}
        return HTMLResponse(environment().get_template("error.html").render(context), status, headers)

    def _asked(self, request: Request) -> PageRequest:
        given = {name: text for name, text in request.query_params.items() if text}
        return PageRequest(request.url.path, given, self._site.clock(), self._site.zone)

    def _book(self, asked: PageRequest) -> str | None:
        """The book that is asked for; None when it has to be chosen. Raises Refused; NotFound."""
        names = self._site.books()
        name = asked.given.get("book", names[0] if len(names) == 1 else None)
        if name is not None and name not in names:
            raise NotFound("there is no such book")
        return name

    def _frame(self, request: Request, title: str) -> dict[str, Any]:
        """What every template has."""
        return {
            "asked": self._asked(request),
            "title": title,
            "pages": {path: heading for path, (_, heading, _) in PAGES.items()},
            "book": None,
            "head": None,
            "last": self._kept.last_check,
            "is_report": False,
        }

    def page(self, request: Request) -> Response:
        """A page about one book."""
        template, title, of = PAGES[request.url.path]
        asked = self._asked(request)
        name = self._book(asked)
        if name is None:
            return RedirectResponse(address("/books", {}), 307)
        context = of(self._site, self._kept, asked, name)
        return self._shown(request, template, title, name, context)

    def _shown(self, request: Request, template: str, title: str, name: str, context: Mapping[str, Any]) -> Response:
        view = context.get("view") or context.get("page")
        terms = (view.book, view.head) if view is not None else self._site.terms(name)
        frame = self._frame(request, title) | {"book": terms[0], "head": terms[1]}
        return HTMLResponse(environment().get_template(template).render(frame | dict(context)))

    def books(self, request: Request) -> Response:
        """All books."""
        context = now.desk(self._site, self._asked(request))
        frame = self._frame(request, "Books")
        return HTMLResponse(environment().get_template("books.html").render(frame | context))

    def event(self, request: Request) -> Response:
        """An event of a book."""
        asked = self._asked(request)
        name = self._book(asked)
        if name is None:
            raise NotFound("say which book")
        context = log.event(self._site, asked, name)
        return self._shown(request, "event.html", f"Version {context['event']['version']}", name, context)

    def check(self, request: Request) -> Response:
        """The last check."""
        asked = self._asked(request)
        context = now.last_check(self._site, self._kept, asked)
        frame = self._frame(request, "Check")
        return HTMLResponse(environment().get_template("check.html").render(frame | context))

    def stream(self, request: Request) -> Response:
        """New events as they come."""
        asked = self._asked(request)
        name = self._book(asked)
        if name is None:
            raise NotFound("say which book")
        if request.method == "HEAD":
            return Response(media_type="text/event-stream")
        return self._streams.read(asked, name, request.headers.get("last-event-id"))

    def metrics(self, request: Request) -> Response:
        """The figures as Prometheus reads them."""
        found = read_status(self._site.database, self._site.book, self._site.clock())
        lines = exposition(found, self._site.clock(), self._kept.last_checks())
        return Response("".join(f"{line}\n" for line in lines), media_type=CONTENT_TYPE)
