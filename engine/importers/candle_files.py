"""Files of prices, record by record: CSV with or without a header, JSON of objects, lists or columns, in any envelope.

    time,open,high,low,close       a header, which a title may precede; comma, semicolon or tab
    1672531200000,0.34,…           no header: time, open, high, low, close
    [[1672531200, 0.34, …], …]     lists of the same; a list of two is time and price
    {"t": […], "o": […], "c": […]} columns
    {"result": {"XRPUSD": […]}}    an envelope: its first list of lists or objects

A list whose second figure is not its highest is in another order, and is quarantined.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import IO, Any

from engine.importers.csv_rows import DELIMITERS, PREAMBLE_LINES, RewoundText, csv_rows, of_other_width
from engine.importers.items import SHOWN_CHARACTERS, Origin, QuarantinedRow, Unreadable
from engine.importers.json_stream import read_json
from engine.importers.json_values import MalformedJson
from ledger.amounts import parse_amount
from ledger.errors import Refused, shown

Record = tuple[Origin, Mapping[str, Any]]
_LIST = ("time", "open", "high", "low", "close", "volume")
_PAIR = ("at", "price")
_CLOSES = ("close", "c", "close/last")
_OPENINGS = (
    "open_time", "opentime", "unix", "timestamp_ms", "ts_ms", "timestamp", "time", "date", "datetime", "ts", "t", "at",
    "start", "snapped_at", "gmt_time",
)  # fmt: skip
_CLOSING_TIMES = ("close_time", "closetime", "end", "end_time")
_ASSETS = ("asset", "base", "base_asset", "coin")
_SYMBOLS = ("symbol", "pair", "market", "ticker", "instrument", "tic")
_FIGURES = ({"open", "high", "low"}, {"o", "h", "l"})


@dataclass(frozen=True, slots=True)
class Layout:
    """Which columns hold what.

    time:      the column of the time
    prices:    the close; of a top of book, bid and ask
    asset:     the column of the asset; None for none
    is_close:  the time is that of the price, not of a candle's opening
    symbol:    the column of the pair; None for none
    is_candle: the price is a candle's close
    """

    time: str
    prices: tuple[str, ...]
    asset: str | None
    is_close: bool
    symbol: str | None = None
    is_candle: bool = False


def layout_of(columns: Sequence[str]) -> Layout | None:
    """Find the columns by their names; None when they are not those of prices."""
    there = {plain_name(name): name for name in reversed(columns)}

    def first(names: Sequence[str]) -> str | None:
        return next((there[name] for name in names if name in there), None)

    closing, opening, close, price = first(_CLOSING_TIMES), first(_OPENINGS), first(_CLOSES), there.get("price")
    asset, symbol = first(_ASSETS), first(_SYMBOLS)
    if close is None and price is not None and is_of_candles(list(there)):
        close = price  # what some call a candle's close
    if close is not None and (closing or opening):
        return Layout(closing or opening or "", (close,), asset, closing is not None, symbol, is_candle=True)
    if opening is None:
        return None
    if price is not None:
        return Layout(opening, (price,), asset, True, symbol)
    bid, ask = first(("bid", "bid_px", "bid_price")), first(("ask", "ask_px", "ask_price"))
    return Layout(opening, (bid, ask), asset, True, symbol) if bid is not None and ask is not None else None


def plain_name(name: str) -> str:
    """A column's name in lower case, with _ for blanks."""
    return name.strip().lower().replace(" ", "_").replace("-", "_")


def is_of_candles(names: Sequence[str]) -> bool:
    """Whether there are columns of opening, high and low."""
    return any(figures <= {plain_name(name) for name in names} for figures in _FIGURES)


def header_in(line: str) -> tuple[list[str], str] | None:
    """The columns of a line that is a header of prices, and its delimiter; None for any other line."""
    for delimiter in DELIMITERS:
        columns = _cells(line, delimiter)
        if layout_of(columns) is not None:
            return columns, delimiter
    return None


def records(text: IO[str], name: str) -> Iterator[Record | QuarantinedRow]:
    """The records of a file, each with its place. Raises Unreadable when it has no columns of prices."""
    lines = iter(text)
    beginning = next(lines, "")
    while beginning and not beginning.strip():
        beginning = next(lines, "")
    if beginning.lstrip()[:1] in ("[", "{"):
        yield from _of_json(RewoundText(beginning, text), name)
    else:
        yield from _of_csv(chain([beginning], lines), name)


# CSV


def _of_csv(lines: Iterator[str], name: str) -> Iterator[Record | QuarantinedRow]:
    seen = ""
    for count, line in enumerate(islice(lines, PREAMBLE_LINES), 1):
        seen = seen or line
        found = header_in(line)
        if found is not None:
            yield from _rows(lines, name, count, *found)
            return
        delimiter = next((each for each in DELIMITERS if _is_candle(_cells(line, each))), None)
        if delimiter is not None:
            yield from _rows(chain([line], lines), name, count - 1, None, delimiter)
            return
    raise no_columns(name, _cells(seen, ","))


def no_columns(name: str, columns: Sequence[str]) -> Unreadable:
    """The error for a file that has no columns of prices."""
    there = shown(", ".join(columns)[:SHOWN_CHARACTERS])
    return Unreadable(
        f"{name} has no columns of prices: expected a time and close, price, or bid and ask; it has {there}"
    )


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:
        return []


def _is_candle(cells: Sequence[str]) -> bool:
    """Whether these are figures: a row of a file without a header."""
    return len(cells) >= 5 and all(_is_number(cell) for cell in cells[:5])


def _is_number(text: str) -> bool:
    try:
        parse_amount(text)
    except Refused:
        return False
    return True


def _rows(
    lines: Iterator[str], name: str, before: int, header: Sequence[str] | None, delimiter: str
) -> Iterator[Record | QuarantinedRow]:
    """The rows of a table. `before`: how many lines precede them; `header`: None for candles without one."""
    for found in csv_rows(csv.reader(lines, delimiter=delimiter), name, before):
        if isinstance(found, QuarantinedRow):
            yield found
            continue
        origin, cells = found
        if not cells:
            continue
        if header is None:
            yield _of_list(cells, origin)
        elif len(cells) == len(header):
            yield origin, dict(zip(header, cells, strict=True))
        else:
            yield of_other_width(origin, cells, header, delimiter)


# JSON


def _of_json(text: Any, name: str) -> Iterator[Record | QuarantinedRow]:
    for found in read_json(text):
        origin = Origin(name, f"line {found.line}")
        if isinstance(found, MalformedJson):
            yield QuarantinedRow(origin, found.reason, found.text)
            continue
        for each in _candles_in(found.value):
            if isinstance(each, dict) and each:
                yield origin, each
            elif isinstance(each, list):
                yield _of_list(each, origin)
            else:
                yield _no_candle(origin, each)


def _candles_in(found: Any) -> Sequence[Any]:
    """The candles of a value: itself, or those of the first list in an envelope."""
    if isinstance(found, dict):
        if layout_of(list(found)) is not None:
            return _columns_apart(found)
        for each in found.values():
            if isinstance(each, list | dict):
                inner = _candles_in(each)
                if inner and isinstance(inner[0], list | dict) and inner[0]:
                    return inner
        return [found]
    if isinstance(found, list) and found and isinstance(found[0], list | dict):
        return found
    return [] if found == [] else [found]


def _columns_apart(found: Mapping[str, Any]) -> Sequence[Any]:
    """The records of columns, such as `{"t": […], "c": […]}`; an object of single figures is a record itself."""
    columns = {name: each for name, each in found.items() if isinstance(each, list)}
    if layout_of(list(columns)) is None:
        return [found]
    return [dict(zip(columns, figures, strict=True)) for figures in zip(*columns.values(), strict=False)]


def _of_list(given: Sequence[Any], origin: Origin) -> Record | QuarantinedRow:
    """A candle that is a list, or time and price."""
    if len(given) == len(_PAIR):
        return origin, dict(zip(_PAIR, given, strict=True))
    if len(given) < 5:
        return _no_candle(origin, given)
    try:
        figures = [parse_amount(str(each).strip()) for each in given[1:5]]
    except Refused:
        figures = []  # a gap, or what is told with its price
    if figures and figures[1] < max(figures):
        reason = (
            "its second figure is not its highest, so it is not time, open, high, low, close: name the columns in a CSV"
        )
        return QuarantinedRow(origin, reason, str(given)[:SHOWN_CHARACTERS])
    return origin, dict(zip(_LIST, given, strict=False))


def _no_candle(origin: Origin, given: Any) -> QuarantinedRow:
    return QuarantinedRow(
        origin, "no candle: neither an object nor a list of time, open, high, low, close", str(given)[:SHOWN_CHARACTERS]
    )
