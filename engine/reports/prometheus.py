"""The figures of a desk as Prometheus reads them: text in the exposition format, for a scrape or a node exporter's file.

A figure that is unknown has no sample; it is never 0. The hash of a head would make a new series with every event, so it is
there as a number: its first 12 hexadecimal digits, which a float holds exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypeAlias

from engine.reports.books import BookNow
from engine.reports.inbox import waiting_document
from engine.reports.status import negative_balances
from ledger.amounts import amount_text
from ledger.times import EPOCH

_MICROSECOND = timedelta(microseconds=1)
_HASH_DIGITS = 12
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels: TypeAlias = Mapping[str, str]
Sample: TypeAlias = tuple[Labels, str]


@dataclass(frozen=True, slots=True)
class LastCheck:
    """What the last `check` of a book said.

    at:        when it ended, UTC
    findings:  how many there were; 0 when everything holds
    """

    at: datetime
    findings: int


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric, always a gauge.

    name, help:  as Prometheus shows them
    samples:     of one book, at a time
    """

    name: str
    help: str
    samples: Callable[[BookNow, datetime], Iterable[Sample]]


def seconds_text(span: timedelta) -> str:
    """A span in seconds, exact to the microsecond."""
    count = span // _MICROSECOND
    sign, count = ("-", -count) if count < 0 else ("", count)
    return f"{sign}{count // 10**6}.{count % 10**6:06}"


def _book(found: BookNow, **more: str) -> Labels:
    return {"book": found.view.book.name, **more}


def _terms(found: BookNow) -> Labels:
    book = found.view.book
    return {"book": book.name, "mode": book.mode, "numeraire": book.numeraire}


def _figure(name: str, text: str, field: str) -> Metric:
    """A figure in the numeraire; none where it is unknown."""

    def samples(found: BookNow, now: datetime) -> Iterator[Sample]:
        figure: Decimal | None = getattr(found.pnl, field)
        if figure is not None:
            yield _terms(found), amount_text(figure)

    return Metric(name, text, samples)


def _count(name: str, text: str, count: Callable[[BookNow], int]) -> Metric:
    return Metric(name, text, lambda found, now: [(_book(found), str(count(found)))])


def _of_marks(name: str, text: str, figure: Callable[[Decimal, datetime, datetime], str]) -> Metric:
    def samples(found: BookNow, now: datetime) -> Iterator[Sample]:
        for asset, mark in sorted(found.view.state.marks.items()):
            yield _book(found, asset=asset), figure(mark.price, mark.at, now)

    return Metric(name, text, samples)


def _balances(found: BookNow, now: datetime) -> Iterator[Sample]:
    for asset, holding in sorted(found.view.state.inventory.items()):
        yield _book(found, asset=asset), amount_text(holding.total)


def _waiting(found: BookNow, now: datetime) -> Iterator[Sample]:
    for sort, count in waiting_document(found.waiting).items():
        yield _book(found, sort=sort), str(count)


METRICS: Sequence[Metric] = (
    _count("netbasis_head_version", "Version of the newest event.", lambda found: found.view.head.version),
    _count(
        "netbasis_head_hash_prefix",
        "The first 12 hexadecimal digits of the newest event's hash, as a number.",
        lambda found: int(found.view.head.hash.hex()[:_HASH_DIGITS], 16),
    ),
    Metric(
        "netbasis_newest_event_timestamp_seconds",
        "When the newest event was recorded.",
        lambda found, now: [(_book(found), seconds_text(found.newest.recorded_at - EPOCH))],
    ),
    Metric(
        "netbasis_newest_event_age_seconds",
        "How long ago the newest event was recorded, when this was written.",
        lambda found, now: [(_book(found), seconds_text(now - found.newest.recorded_at))],
    ),
    _of_marks(
        "netbasis_mark_price",
        "The newest price of an asset in the numeraire.",
        lambda price, at, now: amount_text(price),
    ),
    _of_marks(
        "netbasis_mark_timestamp_seconds",
        "When the newest mark was the price.",
        lambda price, at, now: seconds_text(at - EPOCH),
    ),
    _of_marks(
        "netbasis_mark_age_seconds",
        "How old the newest mark was, when this was written.",
        lambda price, at, now: seconds_text(now - at),
    ),
    Metric("netbasis_balance", "What the book holds of an asset, in its own unit.", _balances),
    _figure("netbasis_equity", "Total value at the newest marks, in the numeraire.", "total_value"),
    _figure("netbasis_net_deposits", "Value of deposits less withdrawals.", "net_deposits"),
    _figure("netbasis_net_basis", "Committed capital.", "net_basis"),
    _figure("netbasis_starting_value", "What total PnL is counted from.", "starting_value"),
    _figure("netbasis_total_pnl", "Total value less starting value.", "total_pnl"),
    _figure("netbasis_retained_profit", "Total value less net basis.", "retained_profit"),
    _figure("netbasis_withdrawn_profit", "Profit that was withdrawn.", "withdrawn_profit"),
    _figure("netbasis_transferred_profit", "Profit that went to other books of the ledger.", "transferred_profit"),
    _count("netbasis_missing_marks", "Assets held that have no mark.", lambda found: len(found.pnl.missing_marks)),
    _count(
        "netbasis_negative_balances",
        "Assets of which the book holds less than nothing.",
        lambda found: len(negative_balances(found)),
    ),
    _count("netbasis_unknown_fees", "Fills whose fee was not reported.", lambda found: found.pnl.unknown_fees),
    Metric("netbasis_inbox_waiting", "What waits in the inbox: movements, rows held back, proposals.", _waiting),
)

_CHECKS: Mapping[str, tuple[str, Callable[[LastCheck], str]]] = {
    "netbasis_last_check_ok": (
        "1 when the last check found nothing, 0 when it found something.",
        lambda last: "0" if last.findings else "1",
    ),
    "netbasis_last_check_findings": ("How much the last check found.", lambda last: str(last.findings)),
    "netbasis_last_check_timestamp_seconds": (
        "When the last check ended.",
        lambda last: seconds_text(last.at - EPOCH),
    ),
}


def exposition(
    found: Sequence[BookNow], now: datetime, checked: Mapping[str, LastCheck] | None = None
) -> Iterator[str]:
    """The lines of the exposition. `checked`: the last check by book, where somebody keeps it; None for nobody."""
    for metric in METRICS:
        yield from _metric(metric.name, metric.help, (each for book in found for each in metric.samples(book, now)))
    for name, (text, figure) in _CHECKS.items():
        if checked:
            yield from _metric(name, text, (({"book": book}, figure(last)) for book, last in sorted(checked.items())))


def _metric(name: str, text: str, samples: Iterable[Sample]) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} gauge"
    for labels, figure in samples:
        inside = ",".join(f'{label}="{_escaped(content)}"' for label, content in labels.items())
        yield f"{name}{{{inside}}} {figure}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
