"""What a request asks for. All of it stands in its address, so that what is seen can be sent to somebody and seen again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from urllib.parse import quote, urlencode

from engine.views import Moment
from ledger.errors import Refusal, Refused
from ledger.spans import Span, parse_span

VERSION_DIGITS = 18
# What goes with a reader from page to page.
KEPT = ("book", "as_of", "known_at")


class NotFound(Exception):
    """There is no such page, event or book."""


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A request.

    path:    of the page
    given:   what its address gives, without what is empty
    now:     when it came, UTC
    zone:    of days and months; None for UTC
    """

    path: str
    given: Mapping[str, str]
    now: datetime
    zone: tzinfo | None = None

    @property
    def is_live(self) -> bool:
        """Whether it is about the present."""
        return "as_of" not in self.given and "known_at" not in self.given

    def moment(self) -> Moment:
        """The moment that it is about. Raises Refused."""
        known = self.span("known_at")
        known_until = None if known is None else known.last
        as_of = self.given.get("as_of", "")
        if _is_version(as_of):
            return Moment(int(as_of), known_until)
        happened = self.span("as_of")
        return Moment(None if happened is None else happened.last, known_until)

    def span(self, name: str) -> Span | None:
        """A span of time; None when it was left out. Raises Refused, naming the field."""
        text = self.given.get(name)
        if text is None:
            return None
        try:
            return parse_span(text, now=self.now, zone=self.zone)
        except Refused as refused:
            refused.what = f"{label(name)}: {refused.what}"
            raise

    def start(self) -> datetime | None:
        """The first moment of a period; None for no limit. Raises Refused."""
        span = self.span("from")
        return None if span is None else span.start

    def end(self) -> datetime | None:
        """The first moment after a period; None for no limit. Raises Refused."""
        span = self.span("to")
        return None if span is None else span.before

    def version(self, name: str) -> int | None:
        """A version; None when it was left out. Raises Refused."""
        text = self.given.get(name)
        if text is None:
            return None
        if not _is_version(text):
            raise Refused(Refusal.VERSION_MALFORMED, f"{label(name)}: not a version", expected="digits", actual=text)
        return int(text)

    def choice(self, name: str, choices: Mapping[str, str], default: str) -> str:
        """One of some choices. Raises Refused."""
        text = self.given.get(name, default)
        if text not in choices:
            expected = f"one of {', '.join(choice for choice in choices if choice)}"
            raise Refused(Refusal.CHOICE_UNKNOWN, f"{label(name)}: no such choice", expected=expected, actual=text)
        return text

    def link(self, path: str, **more: object) -> str:
        """The address of another page on the same book and moment; None leaves a field out."""
        return address(path, {**{name: self.given.get(name) for name in KEPT}, **more})

    def same(self, **more: object) -> str:
        """The address of the same page with some fields changed; None leaves a field out."""
        return address(self.path, {**self.given, **more})


def label(name: str) -> str:
    """A field as people read it."""
    return name.replace("_", " ")


def address(path: str, fields: Mapping[str, object]) -> str:
    """A path and the fields that are not None."""
    found = urlencode({name: str(text) for name, text in fields.items() if text is not None}, quote_via=quote)
    return f"{path}?{found}" if found else path


def _is_version(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= VERSION_DIGITS
