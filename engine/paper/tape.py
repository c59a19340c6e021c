"""A recorded tape of the market: CSV, plain or gzipped; each row is a trade, or the best bid and ask.

    at,price,size                                     at,bid,ask
    2023-01-01T00:00:00Z,0.3389,59461.25              2024-12-01T00:06:40.691Z,1.9531,1.9532

A tape is read twice: first as a whole, for its hash and to be sure that every row can be read, so nothing is traded on a
tape that ends in garbage; then row by row, with flat memory. The hash is that of the text, not of its compressed form. A row
is identified by its line in the text; the header is line 1. Errors: Refused `tape_malformed`, and the refusals of times,
prices and sizes, with file and line in `where`.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import IO, NamedTuple, Self

from ledger.amounts import add, parse_amount, value
from ledger.errors import Refusal, Refused, shown
from ledger.times import parse_time, time_text

LINE_BYTES = 1 << 16
_GZIP = b"\x1f\x8b"
_HALF = Decimal("0.5")


class Tick(NamedTuple):
    """A row of a tape. Prices are in the numeraire per unit of base.

    row:        its line
    at:         when, UTC
    mid:        the trade's price, or the middle of bid and ask
    sold_at:    the price at which base could be bought: the trade's, or the ask
    bought_at:  the price at which base could be sold: the trade's, or the bid
    size:       how much base was traded; None when the tape does not say
    """

    row: int
    at: datetime
    mid: Decimal
    sold_at: Decimal
    bought_at: Decimal
    size: Decimal | None


@dataclass(frozen=True, slots=True)
class Tape:
    """A tape that was read once.

    path:      the file
    sha256:    of its text, in hex
    rows:      how many rows
    last_row:  the line of the last row
    """

    path: Path
    sha256: str
    rows: int
    last_row: int

    def ticks(self) -> Iterator[Tick]:
        """Its rows in order, without rows that were added to the file since. Raises Refused; OSError."""
        for tick in _ticks(self.path):
            yield tick
            if tick.row == self.last_row:
                return
        raise _malformed(
            f"{shown(self.path.name)} became shorter since it was read", expected=f"the row of line {self.last_row}"
        )


def read_tape(path: Path) -> Tape:
    """Read a tape to its end. Raises Refused; OSError."""
    if "\0" in str(path):
        raise _malformed("the path has a NUL", expected="the path of a file", actual=str(path))
    digest = hashlib.sha256()
    rows = last_row = 0
    for tick in _ticks(path, digest.update):
        rows, last_row = rows + 1, tick.row
    if not rows:
        raise _malformed(f"{shown(path.name)} has no rows", expected="a row after the header")
    return Tape(path, digest.hexdigest(), rows, last_row)


def _ticks(path: Path, on_line: Callable[[bytes], None] | None = None) -> Iterator[Tick]:
    with path.open("rb") as file:
        lines = _Lines(_text_of(file), on_line)
        with _naming_line(path.name, lines):
            reader = csv.reader(lines)
            parse = _format_of(next(reader, []))
            newest = None
            for cells in reader:
                if not cells:
                    continue
                tick = parse(lines.count, cells)
                if newest is not None and tick.at < newest:
                    raise _malformed(
                        "the tape goes back in time", expected=f"{time_text(newest)} or later", actual=cells[0]
                    )
                newest = tick.at
                yield tick


class _Lines:
    """The lines of a tape as text, counted. `on_line`: called with each line's bytes."""

    def __init__(self, file: IO[bytes], on_line: Callable[[bytes], None] | None) -> None:
        self.count = 0
        self._file = file
        self._on_line = on_line

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        self.count += 1
        line = self._file.readline(LINE_BYTES + 1)
        if not line:
            raise StopIteration
        if len(line) > LINE_BYTES:
            raise _malformed("the line is too long", expected=f"at most {LINE_BYTES} bytes")
        if self._on_line is not None:
            self._on_line(line)
        return line.decode("utf-8")


@contextmanager
def _naming_line(name: str, lines: _Lines) -> Iterator[None]:
    """Within it, errors of reading a tape are raised as Refused, with the line read last in `where`."""
    try:
        try:
            yield
        except (csv.Error, UnicodeDecodeError) as error:
            raise _malformed(f"not CSV: {error}", expected="UTF-8 text, a row a line") from error
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            what = f"the compressed file is damaged or cut short: {error}"
            raise _malformed(what, expected="a whole gzip file") from error
    except Refused as refused:
        refused.where = f"{shown(name)} line {lines.count}"
        raise


def _text_of(file: IO[bytes]) -> IO[bytes]:
    """The file's content, uncompressed."""
    start = file.read(len(_GZIP))
    file.seek(0)
    return gzip.GzipFile(fileobj=file) if start == _GZIP else file  # type: ignore[return-value]


def _format_of(header: list[str]) -> Callable[[int, list[str]], Tick]:
    names = tuple(name.strip("\ufeff ") for name in header)
    if names not in _FORMATS:
        raise _malformed(
            "not the header of a tape",
            expected=" or ".join(",".join(known) for known in _FORMATS),
            actual=",".join(header),
        )
    return _FORMATS[names]


def _trade(row: int, cells: list[str]) -> Tick:
    at, price_text, size_text = _three(cells)
    price, size = _price(price_text), _amount(size_text)
    if size < 0:
        raise Refused(Refusal.AMOUNT_MUST_NOT_BE_NEGATIVE, "size: must not be negative", actual=size_text)
    return Tick(row, parse_time(at), price, price, price, size)


def _top_of_book(row: int, cells: list[str]) -> Tick:
    at, bid_text, ask_text = _three(cells)
    bid, ask = _price(bid_text), _price(ask_text)
    if bid > ask:
        raise _malformed("the bid is above the ask", expected=f"a bid of at most {ask_text}", actual=bid_text)
    return Tick(row, parse_time(at), value(add(bid, ask), _HALF), ask, bid, None)


_FORMATS = {("at", "price", "size"): _trade, ("at", "bid", "ask"): _top_of_book}


def _three(cells: list[str]) -> list[str]:
    if len(cells) != 3:
        raise _malformed("the row is not as long as the header", expected="3 cells", actual=len(cells))
    return cells


# Cached, since a tape repeats its prices and sizes many times.
@lru_cache(maxsize=1 << 14)
def _amount(text: str) -> Decimal:
    return parse_amount(text)


@lru_cache(maxsize=1 << 14)
def _price(text: str) -> Decimal:
    price = parse_amount(text)
    if price <= 0:
        raise Refused(Refusal.PRICE_MUST_BE_POSITIVE, "must be more than 0", expected="a price > 0", actual=text)
    return price


def _malformed(what: str, *, expected: object, actual: object = None) -> Refused:
    return Refused(Refusal.TAPE_MALFORMED, what, expected=expected, actual=actual)
