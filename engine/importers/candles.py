"""Prices become marks: candles at their close, and the rows of a tape at their own time.

What was decided:

    time                the opening of a candle, unless its column is named after the close (`close_time`): the mark stands
                        at the opening plus the candle's length, since nobody knew the close before
    length              as given, or the shortest distance of two candles of one asset among the first thousand of the file;
                        months are of their own length. A candle that has not closed yet is passed over
    the tape's form     at,price,size: the price; at,bid,ask: the middle of both; at their own time
    gaps                a price that is empty, NaN or 0 is passed over: nothing was traded. To record that an asset is
                        worth nothing, use `append mark`
    every               of each span the last price; a price on a boundary is the last one of the span that ends there

The key is `mark:<source>:<asset>:<time>`, so a price that two files have is one mark.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import chain, islice, pairwise
from typing import IO, Any

from engine.importers.candle_files import Layout, header_in, is_of_candles, layout_of, no_columns, plain_name, records
from engine.importers.csv_rows import PREAMBLE_LINES
from engine.importers.items import (
    SHOWN_CHARACTERS,
    Item,
    Kind,
    Origin,
    PassedOver,
    QuarantinedRow,
    Row,
    Sample,
    Settings,
    Source,
)
from engine.importers.times import TimeReader
from ledger.amounts import add, amount_text, parse_amount, value
from ledger.errors import Refused, shown
from ledger.events import Mark
from ledger.times import EPOCH, time_text

NAME = "candles"
ROWS_TO_LEARN_FROM = 1000
_HALF = Decimal("0.5")
_MICROSECOND = timedelta(microseconds=1)
# A candle of about this length that opens on the first of a month is the month's.
_MONTHS = (timedelta(days=28), timedelta(days=31))
_GAPS = frozenset({"", "nan", "null", "none", "n/a", "-"})


@dataclass(frozen=True, slots=True)
class _Price:
    """A price in a file.

    origin:  where it stands
    at:      the time in the file, UTC
    price:   in the numeraire; None for a gap: nothing was traded
    asset:   as the file names it; None where it does not
    """

    origin: Origin
    at: datetime
    price: Decimal | None
    asset: str | None


def _read(sources: Sequence[Source], settings: Settings) -> Iterator[Item]:
    for source in sources:
        with source.text() as text:
            yield from _marks(_timed(_rows(text, source.name, settings), settings), settings)


def _rows(text: IO[str], name: str, settings: Settings) -> Iterator[tuple[Layout, _Price] | QuarantinedRow]:
    times = TimeReader(settings.zone)
    layout: Layout | None = None
    first: str | None = None
    for found in records(text, name):
        if isinstance(found, QuarantinedRow):
            yield found
            continue
        origin, fields = found
        layout = layout or layout_of(list(fields))
        if layout is None:
            raise no_columns(name, list(fields))
        symbol = None if layout.symbol is None or layout.asset is not None else str(fields.get(layout.symbol))
        first = first or symbol
        if symbol != first:
            reason = (
                f"it prices {shown(symbol or '')}, and the file begins with {shown(first or '')}: import one at a time"
            )
            yield QuarantinedRow(origin, reason, str(fields)[:SHOWN_CHARACTERS])
            continue
        try:
            yield layout, _price(origin, fields, layout, times)
        except KeyError as missing:
            yield QuarantinedRow(origin, f"it has no {missing.args[0]}", str(fields)[:SHOWN_CHARACTERS])
        except (Refused, ValueError) as error:
            reason = error.what if isinstance(error, Refused) else str(error)
            yield QuarantinedRow(origin, reason, str(fields)[:SHOWN_CHARACTERS])


def _price(origin: Origin, fields: Mapping[str, Any], layout: Layout, times: TimeReader) -> _Price:
    at = times.read(fields[layout.time])
    asset = fields.get(layout.asset) if layout.asset else None
    return _Price(origin, at, _figure([fields[name] for name in layout.prices]), str(asset) if asset else None)


def _figure(given: list[Any]) -> Decimal | None:
    """A price, or the middle of two; None for a gap, which files leave empty, or fill with 0 or NaN."""
    texts = [each.strip() if isinstance(each, str) else each for each in given]
    if any(each is None or str(each).lower() in _GAPS for each in texts):
        return None
    prices = [parse_amount(each) for each in texts]
    price = prices[0] if len(prices) == 1 else value(add(*prices), _HALF)
    if price < 0:
        raise ValueError(f"the price {amount_text(price)} is negative")
    return price if price else None


def _timed(
    found: Iterator[tuple[Layout, _Price] | QuarantinedRow], settings: Settings
) -> Iterator[_Price | QuarantinedRow | PassedOver]:
    """The prices with the time at which they were known."""
    first = list(islice(found, ROWS_TO_LEARN_FROM))
    length = settings.length or _shortest_step([each[1] for each in first if not isinstance(each, QuarantinedRow)])
    for each in chain(first, found):
        if isinstance(each, QuarantinedRow):
            yield each
            continue
        layout, price = each
        if price.price is None:
            yield PassedOver(price.origin, "no price: nothing was traded")
        elif layout.is_close:
            yield _closed(price, price.at, settings) if layout.is_candle else price
        elif length is None:
            reason = "a single candle does not say how long it is: give its length with --length"
            yield QuarantinedRow(price.origin, reason)
        else:
            yield _closed(price, price.at + length if settings.length else _closing(price.at, length), settings)


def _closed(price: _Price, at: datetime, settings: Settings) -> _Price | PassedOver:
    """A candle's price at its close, unless that is still to come."""
    if settings.now is not None and at > settings.now():
        return PassedOver(price.origin, "a candle that has not closed yet")
    return replace(price, at=at)


def _shortest_step(prices: list[_Price]) -> timedelta | None:
    """The shortest distance of two candles of one asset; None for none."""
    times: dict[str | None, set[datetime]] = {}
    for price in prices:
        times.setdefault(price.asset, set()).add(price.at)
    steps = (later - earlier for those in times.values() for earlier, later in pairwise(sorted(those)))
    return min(steps, default=None)


def _closing(opening: datetime, length: timedelta) -> datetime:
    """When a candle ends; months are of different lengths."""
    if opening.day == 1 and _MONTHS[0] <= length <= _MONTHS[1]:
        return (opening + _MONTHS[1] + timedelta(days=1)).replace(day=1)
    return opening + length


def _marks(prices: Iterator[_Price | QuarantinedRow | PassedOver], settings: Settings) -> Iterator[Item]:
    every = settings.every
    last: dict[str, tuple[int, _Price]] = {}
    for price in prices:
        if not isinstance(price, _Price):
            yield price
            continue
        asset = settings.named(price.asset) if price.asset is not None else settings.asset
        if asset is None:
            yield QuarantinedRow(price.origin, "the file does not say which asset it prices: name it with --asset")
            continue
        if every is None:
            yield _row(price, asset, settings)
            continue
        span = (price.at - _MICROSECOND - EPOCH) // every
        kept = last.get(asset)
        if kept is not None and kept[0] != span:
            yield _row(kept[1], asset, settings)
        if kept is None or kept[0] != span or kept[1].at <= price.at:
            last[asset] = span, price
    for asset, (_, price) in last.items():
        yield _row(price, asset, settings)


def _row(price: _Price, asset: str, settings: Settings) -> Item:
    source = settings.source or NAME
    try:
        mark = Mark.model_validate({"asset": asset, "price": price.price, "price_source": source})
    except Refused as refused:
        return QuarantinedRow(price.origin, refused.what)
    return Row(price.origin, price.at, f"{source}:{asset}:{time_text(price.at)}", (mark,))


def _recognises(sample: Sample) -> bool:
    head = sample.head.decode("utf-8", "replace").lstrip()
    if head[:1] in ("[", "{"):
        names = [plain_name(name) for name in head.split('"')[1::2]]
        return is_of_candles(names) and layout_of(names) is not None
    found = next((found for line in head.splitlines()[:PREAMBLE_LINES] if (found := header_in(line))), None)
    if found is None:
        return False
    names = [plain_name(name) for name in found[0]]
    return is_of_candles(names) or names in (["at", "price", "size"], ["at", "bid", "ask"])


KIND = Kind(
    name=NAME,
    help="prices: candles (time, open, high, low, close) as CSV or JSON, or a tape, as marks at each close",
    recognises=_recognises,
    read=_read,
)
