"""Prices become marks: candles at their close, and the rows of a tape at their own time.

What was decided:

    time                the opening of a candle, unless its column is named after the close (`close_time`): the mark stands
                        at the opening plus the candle's length, since nobody knew the close before
    length              as given, or the shortest distance of two candles among the first thousand of the file
    the tape's form     at,price,size: the price; at,bid,ask: the middle of both; at their own time
    every               of each span the last price; a price on a boundary is the last one of the span that ends there

The key is `mark:<source>:<asset>:<time>`, so a price that two files have is one mark.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import chain, islice, pairwise
from typing import IO, Any

from engine.importers.items import Item, Kind, Origin, Quarantined, Row, Sample, Settings, Source, Unreadable
from engine.importers.json_stream import Malformed, read_json
from engine.importers.times import TimeReader
from ledger.amounts import add, amount_text, parse_amount, value
from ledger.errors import Refused
from ledger.events import Mark
from ledger.times import time_text

NAME = "candles"
ROWS_TO_LEARN_FROM = 1000
_HALF = Decimal("0.5")
_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CLOSES = ("close", "c")
_OPENINGS = (
    "open_time",
    "opentime",
    "timestamp",
    "time",
    "date",
    "datetime",
    "ts",
    "t",
    "unix",
    "at",
    "start",
    "timestamp_ms",
    "ts_ms",
)
_CLOSING_TIMES = ("close_time", "closetime", "end", "end_time")
_ASSETS = ("asset", "base", "base_asset", "coin")
# Candles as lists, as exchanges and ccxt give them.
_LIST_COLUMNS = ("time", "open", "high", "low", "close", "volume")
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class _Price:
    """A price in a file.

    origin:  where it stands
    at:      the time in the file, UTC
    price:   in the numeraire
    asset:   as the file names it; None where it does not
    """

    origin: Origin
    at: datetime
    price: Decimal
    asset: str | None


@dataclass(frozen=True, slots=True)
class _Layout:
    """Which columns hold what.

    time:      the column of the time
    prices:    the close; of a top of book, bid and ask
    asset:     the column of the asset; None for none
    is_close:  the time is that of the price, not of a candle's opening
    """

    time: str
    prices: tuple[str, ...]
    asset: str | None
    is_close: bool


def _layout(columns: Sequence[str]) -> _Layout | None:
    """Find the columns by their names; None when they are not those of prices."""
    there = {name.strip().lower(): name for name in columns}

    def first(names: Sequence[str]) -> str | None:
        return next((there[name] for name in names if name in there), None)

    closing, opening, close = first(_CLOSING_TIMES), first(_OPENINGS), first(_CLOSES)
    asset = first(_ASSETS)
    if close is not None and (closing or opening):
        return _Layout(closing or opening or "", (close,), asset, closing is not None)
    if opening is None:
        return None
    if "price" in there:
        return _Layout(opening, (there["price"],), asset, True)
    bid, ask = first(("bid", "bid_px", "bid_price")), first(("ask", "ask_px", "ask_price"))
    return _Layout(opening, (bid, ask), asset, True) if bid is not None and ask is not None else None


def _read(sources: Sequence[Source], settings: Settings) -> Iterator[Item]:
    for source in sources:
        with source.text() as text:
            yield from _marks(_timed(_rows(text, source.name, settings), settings), settings)


def _rows(text: IO[str], name: str, settings: Settings) -> Iterator[tuple[_Layout, _Price] | Quarantined]:
    lines = iter(text)
    beginning = next(lines, "")
    while beginning and not beginning.strip():
        beginning = next(lines, "")
    if beginning.lstrip()[:1] in ("[", "{"):
        records = _json_records(_Again(beginning, text), name)
    else:
        records = _csv_records(chain([beginning], lines), name)
    times = TimeReader(settings.zone)
    layout: _Layout | None = None
    for found in records:
        if isinstance(found, Quarantined):
            yield found
            continue
        origin, fields = found
        layout = layout or _required(list(fields), name)
        try:
            yield layout, _price(origin, fields, layout, times)
        except (Refused, ValueError, KeyError) as error:
            reason = error.what if isinstance(error, Refused) else str(error)
            yield Quarantined(origin, reason, str(fields)[:_SHOWN])


def _required(columns: list[str], name: str) -> _Layout:
    layout = _layout(columns)
    if layout is None:
        raise Unreadable(
            f"{name} has no columns of prices: expected a time and close, price, or bid and ask; it has {', '.join(columns)}"
        )
    return layout


def _price(origin: Origin, fields: dict[str, Any], layout: _Layout, times: TimeReader) -> _Price:
    at = times.read(fields[layout.time])
    prices = [_decimal(fields[name]) for name in layout.prices]
    price = prices[0] if len(prices) == 1 else value(add(*prices), _HALF)
    if price < 0:
        raise ValueError(f"the price {amount_text(price)} is negative")
    asset = fields.get(layout.asset) if layout.asset else None
    return _Price(origin, at, price, str(asset) if asset else None)


def _decimal(given: Any) -> Decimal:
    return parse_amount(given.strip() if isinstance(given, str) else given)


class _Again:
    """A text whose first line was read already."""

    def __init__(self, first: str, rest: IO[str]) -> None:
        self._first = first
        self._rest = rest

    def readline(self, size: int = -1) -> str:
        if self._first:
            found, self._first = (self._first, "") if size < 0 else (self._first[:size], self._first[size:])
            return found
        return self._rest.readline(size)


def _json_records(text: Any, name: str) -> Iterator[tuple[Origin, dict[str, Any]] | Quarantined]:
    for found in read_json(text):
        origin = Origin(name, f"line {found.line}")
        if isinstance(found, Malformed):
            yield Quarantined(origin, found.reason, found.text)
            continue
        for each in _candles_in(found.value):
            if isinstance(each, dict):
                yield origin, each
            elif isinstance(each, list) and len(each) >= 5:
                yield origin, dict(zip(_LIST_COLUMNS, each, strict=False))
            else:
                yield Quarantined(
                    origin,
                    "no candle: neither an object nor a list of time, open, high, low, close",
                    str(each)[:_SHOWN],
                )


def _candles_in(found: Any) -> list[Any]:
    """The candles of a value: itself, or those of the first list in an envelope."""
    if isinstance(found, dict) and not any(name.lower() in _CLOSES for name in found):
        lists = [each for each in found.values() if isinstance(each, list)]
        return lists[0] if lists else [found]
    if isinstance(found, list) and found and isinstance(found[0], list | dict):
        return found
    return [found]


def _csv_records(lines: Iterator[str], name: str) -> Iterator[tuple[Origin, dict[str, Any]] | Quarantined]:
    reader = csv.reader(lines)
    header = next(reader, [])
    for cells in _checked(reader, name):
        origin = Origin(name, f"line {reader.line_num}")
        if isinstance(cells, Quarantined):
            yield cells
        elif len(cells) == len(header):
            yield origin, dict(zip(header, cells, strict=True))
        elif cells:
            yield Quarantined(
                origin, f"the row has {len(cells)} cells, the header {len(header)}", ",".join(cells)[:_SHOWN]
            )


def _checked(reader: Any, name: str) -> Iterator[list[str] | Quarantined]:
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Quarantined(Origin(name, f"line {reader.line_num}"), f"not CSV: {error}")


def _timed(found: Iterator[tuple[_Layout, _Price] | Quarantined], settings: Settings) -> Iterator[_Price | Quarantined]:
    """The prices with the time at which they were known."""
    first = list(islice(found, ROWS_TO_LEARN_FROM))
    times = sorted({each[1].at for each in first if not isinstance(each, Quarantined)})
    steps = [later - earlier for earlier, later in pairwise(times)]
    length = settings.length or min(steps, default=None)
    for each in chain(first, found):
        if isinstance(each, Quarantined):
            yield each
            continue
        layout, price = each
        if layout.is_close:
            yield price
        elif length is None:
            yield Quarantined(
                price.origin, "a single candle does not say how long it is: give its length with --length"
            )
        else:
            yield _Price(price.origin, price.at + length, price.price, price.asset)


def _marks(prices: Iterator[_Price | Quarantined], settings: Settings) -> Iterator[Item]:
    every = settings.every
    last: dict[str, tuple[int, _Price]] = {}
    for price in prices:
        if isinstance(price, Quarantined):
            yield price
            continue
        asset = settings.named(price.asset) if price.asset is not None else settings.asset
        if asset is None:
            yield Quarantined(price.origin, "the file does not say which asset it prices: name it with --asset")
            continue
        if every is None:
            yield _row(price, asset, settings)
            continue
        span = (price.at - _MICROSECOND - _EPOCH) // every
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
        return Quarantined(price.origin, refused.what)
    return Row(price.origin, price.at, f"{source}:{asset}:{time_text(price.at)}", (mark,))


def _recognises(sample: Sample) -> bool:
    head = sample.head.decode("utf-8", "replace").lstrip()
    names: list[str] = []
    if head[:1] in ("[", "{"):
        return _is_json_of_candles(head)
    names = [name.strip(' "\r').lower() for name in head.partition("\n")[0].split(",")]
    is_candle = {"open", "high", "low", "close"} <= set(names) and _layout(names) is not None
    return is_candle or names in (["at", "price", "size"], ["at", "bid", "ask"])


def _is_json_of_candles(head: str) -> bool:
    names = {name.lower() for name in _names_in(head)}
    return {"open", "high", "low", "close"} <= names


def _names_in(head: str) -> Iterator[str]:
    yield from head.split('"')[1::2]


KIND = Kind(
    name=NAME,
    help="prices: candles (time, open, high, low, close) as CSV or JSON, or a tape, as marks at each close",
    recognises=_recognises,
    read=_read,
)
