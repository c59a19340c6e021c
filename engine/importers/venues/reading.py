"""What the readers of venues share: tables as CSV with flat memory, strict numbers, times, and the facts of a row.

A row that is not understood raises `Odd`; `rescued` turns that, and whatever the events' own rules refuse, into a
`QuarantinedRow` with its place.
"""

from __future__ import annotations

import csv
import json
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Context, Decimal
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from engine.importers.csv_rows import DELIMITERS, PREAMBLE_LINES, csv_rows, of_other_width
from engine.importers.items import (
    SHOWN_CHARACTERS,
    Fact,
    Item,
    Movement,
    Origin,
    QuarantinedRow,
    Sample,
    Source,
    Unreadable,
)
from engine.importers.times import TimeReader
from ledger.amounts import DIGITS_AFTER_POINT, ZERO, add, negate, value
from ledger.errors import Refused, shown
from ledger.events import Adjustment, Fill

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]{1,3})?", re.ASCII)
# What others are priced in, the first of two.
MONEY = (
    *("USD", "EUR", "GBP", "CHF", "JPY", "CAD", "AUD", "TRY", "BRL", "UAH", "KRW"),
    *("RLUSD", "USDT", "USDC", "FDUSD", "BUSD", "TUSD", "DAI", "PYUSD", "BTC", "ETH", "BNB"),
)
# What no amount can have, so that a sum of hostile numbers stays within the exact context.
_DIGITS = 60
_WIDE = Context(prec=200)


class Odd(Exception):
    """A row that is not understood; the message is a sentence for the user."""


@dataclass(frozen=True, slots=True)
class Line:
    """A row of a table.

    origin: where it stands
    cells:  its cells by the name of their column, as in the header, without blanks around them
    """

    origin: Origin
    cells: Mapping[str, str]

    def get(self, *names: str) -> str:
        """The first cell of these columns that is not empty; "" when all are empty or absent."""
        for name in names:
            found = self.cells.get(name)
            if found:
                return found
        return ""

    def required(self, *names: str) -> str:
        """Like `get`. Raises Odd when there is nothing."""
        found = self.get(*names)
        if not found:
            raise Odd(f"{names[0]} is empty")
        return found

    @property
    def text(self) -> str:
        """The row, shortened."""
        return ",".join(self.cells.values())[:SHOWN_CHARACTERS]


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose header was recognised.

    header: its columns
    rows:   its rows, and those that are not sound
    """

    header: tuple[str, ...]
    rows: Iterator[Line | QuarantinedRow]


def read_table(
    lines: Iterable[str], file: str, is_header: Callable[[frozenset[str]], bool], optional: frozenset[str] = frozenset()
) -> Table:
    """The rows below the first line that is a header; a title may precede it. Raises Unreadable when there is none.

    `optional`: columns at the end that a row may leave out.
    """
    given, seen = iter(lines), ""
    for count, line in enumerate(islice(given, PREAMBLE_LINES), 1):
        seen = seen or line.strip()
        for delimiter in DELIMITERS:
            header = _header(line, delimiter)
            if is_header(frozenset(header)):
                return Table(header, _rows(given, file, header, delimiter, count, optional))
    first = shown(seen[:SHOWN_CHARACTERS])
    raise Unreadable(
        f"{file}: none of the known headers was found; it begins with {first}" if seen else f"{file} is empty"
    )


def head_has(head: bytes, is_header: Callable[[frozenset[str]], bool]) -> bool:
    """Whether the beginning of a file has a header that is recognised."""
    lines = head.decode("utf-8", "replace").lstrip("\ufeff").splitlines()[:PREAMBLE_LINES]
    return any(is_header(frozenset(_header(line, delimiter))) for line in lines for delimiter in DELIMITERS)


def _header(line: str, delimiter: str) -> tuple[str, ...]:
    try:
        cells = next(csv.reader([line.lstrip("\ufeff")], delimiter=delimiter), [])
    except csv.Error:
        return ()
    return tuple(cell.strip().strip('"') for cell in cells)


def _rows(
    lines: Iterator[str], file: str, header: Sequence[str], delimiter: str, before: int, optional: frozenset[str]
) -> Iterator[Line | QuarantinedRow]:
    for found in csv_rows(csv.reader(lines, delimiter=delimiter, strict=False), file, before):
        if isinstance(found, QuarantinedRow):
            yield found
            continue
        origin, cells = found
        cells = [cell.strip() for cell in cells]
        if any(cells):
            yield _line(origin, header, cells, optional)


def _line(origin: Origin, header: Sequence[str], cells: list[str], optional: frozenset[str]) -> Line | QuarantinedRow:
    joined = ",".join(cells)
    if not joined.isascii() and joined != _encodable(joined):
        return QuarantinedRow(origin, "the row is not UTF-8", _encodable(joined)[:SHOWN_CHARACTERS])
    while len(cells) > len(header) and not cells[-1]:
        cells.pop()
    while len(cells) < len(header) and header[len(cells)] in optional:
        cells.append("")
    if len(cells) != len(header):
        return of_other_width(origin, cells, header)
    return Line(origin, dict(zip(header, cells, strict=True)))


@contextmanager
def opened_database(source: Source) -> Iterator[sqlite3.Connection]:
    """A file's database, to be read only; its rows by name.

    Raises Unreadable, also for what is found only when it is read.
    """
    with source.database() as path:
        try:
            with closing(sqlite3.connect(path)) as database:
                database.row_factory = sqlite3.Row
                database.text_factory = lambda raw: raw.decode("utf-8", "replace")
                database.execute("PRAGMA query_only = 1")
                yield database
        except sqlite3.Error as error:
            raise Unreadable(f"{source.name} cannot be read as a SQLite database: {error}") from error


def tables_in(sample: Sample) -> frozenset[str]:
    """The tables of a SQLite file; none where the sample is of no file, or it cannot be read.

    The file is opened as one that nobody writes to, so that nothing appears beside it.
    """
    try:
        address = f"{Path(sample.name).resolve().as_uri()}?mode=ro&immutable=1"
        with closing(sqlite3.connect(address, uri=True)) as database:
            return frozenset(
                str(name) for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            )
    except (sqlite3.Error, OSError, ValueError):
        return frozenset()


def columns_of(database: sqlite3.Connection, table: str) -> dict[str, str]:
    """A table's columns with their declared types, in upper case; {} where there is no such table."""
    rows = database.execute("SELECT name, type FROM pragma_table_info(?)", (table,))
    return {str(name): str(declared).upper() for name, declared in rows}


def _encodable(text: str) -> str:
    """The text; bytes that were not UTF-8, which a source gives as lone surrogates, are spelled out."""
    return text.encode("utf-8", "backslashreplace").decode()


def rescued(origin: Origin, text: str, items: Callable[[], Iterable[Item]]) -> Iterator[Item]:
    """The items of a row; a row that is not understood is one `QuarantinedRow`, and nothing of it goes in."""
    try:
        found = list(items())
    except Refused as refused:
        found = [QuarantinedRow(origin, refused.what, text[:SHOWN_CHARACTERS])]
    except Odd as odd:
        found = [QuarantinedRow(origin, str(odd), text[:SHOWN_CHARACTERS])]
    except ArithmeticError:
        found = [QuarantinedRow(origin, "its numbers do not fit", text[:SHOWN_CHARACTERS])]
    yield from found


def each_rescued(rows: Iterable[Line | QuarantinedRow], items: Callable[[Line], Iterable[Item]]) -> Iterator[Item]:
    """The items of each line; what could not be read as a line stays quarantined."""
    for line in rows:
        if isinstance(line, QuarantinedRow):
            yield line
        else:
            yield from rescued(line.origin, line.text, partial(items, line))


def number(text: object, what: str = "the amount") -> Decimal:
    """A number exactly as written: a text, an int or a Decimal. A float, of a database's column, as its shortest text.

    Raises Odd.
    """
    if isinstance(text, bool) or not isinstance(text, str | int | float | Decimal):
        raise Odd(f"{what} is no number")
    written = str(text).strip()
    if not _NUMBER.fullmatch(written):
        raise Odd(f"{what}, {shown(written[:40])}, is no number")
    found = Decimal(written)
    if found.is_zero():
        return ZERO
    if not -_DIGITS * 2 < found.adjusted() < _DIGITS:
        raise Odd(f"{what} is out of range")
    return found


def number_or_none(text: object, what: str = "the amount") -> Decimal | None:
    """Like `number`; None for nothing."""
    return None if text is None or text == "" else number(text, what)


def product(one: Decimal, other: Decimal) -> Decimal:
    """The exact product where it fits 36 decimals; else rounded to 18."""
    exact = _WIDE.multiply(one, other).normalize(_WIDE)
    return exact if int(exact.as_tuple().exponent) >= -DIGITS_AFTER_POINT else value(one, other)


def time(text: object, reader: TimeReader) -> datetime:
    """A time. Raises Odd."""
    try:
        return reader.read(text)
    except (ValueError, ArithmeticError) as error:
        raise Odd(str(error)) from None


def utc_times() -> TimeReader:
    """Reads times of a file that are in UTC where they name no zone."""
    return TimeReader(UTC)


def adjustment(asset: str, amount: Decimal, reason: str, *, group: str | None = None, note: str | None = None) -> Fact:
    """An adjustment. `group`: what belongs together, such as a transaction's hash. Raises Refused."""
    given: dict[str, Any] = {"asset": asset, "amount": amount, "reason": reason}
    if group is not None:
        given["group"] = group
    if note:
        given["source_note"] = note
    return Adjustment.model_validate(given)


def fill(**given: Any) -> Fill:
    """A fill of the fields that are not None. Raises Refused."""
    return Fill.model_validate({name: value for name, value in given.items() if value is not None})


def exchange(came: tuple[str, Decimal], went: tuple[str, Decimal], numeraire: str) -> dict[str, Any]:
    """An exchange as a fill's side, base and quote. The quote asset is the numeraire, else money, else what went out.

    Both amounts > 0.
    """
    assets = (came[0], went[0])
    quote = next((name for name in (numeraire, *MONEY) if name in assets), went[0])
    return paired(came, went, quote)


def paired(came: tuple[str, Decimal], went: tuple[str, Decimal], quote: str) -> dict[str, Any]:
    """An exchange as a fill's side, base and quote, where the quote asset is known. Both amounts > 0."""
    is_sale = came[0] == quote
    base, paid = (went, came) if is_sale else (came, went)
    return {
        "side": "sell" if is_sale else "buy",
        "base_asset": base[0],
        "base_amount": base[1],
        "quote_asset": paid[0],
        "quote_amount": paid[1],
    }


def postings(facts: Iterable[Fact]) -> dict[str, Decimal]:
    """What facts do to each asset's balance, exactly; assets whose sum is 0 are left out."""
    found: dict[str, Decimal] = {}

    def post(asset: str, amount: Decimal) -> None:
        found[asset] = add(found.get(asset, ZERO), amount)

    for fact in facts:
        if isinstance(fact, Movement):
            post(fact.asset, fact.amount if fact.direction == "in" else negate(fact.amount))
        elif isinstance(fact, Adjustment):
            post(fact.asset, fact.amount)
        elif isinstance(fact, Fill):
            is_buy = fact.side == "buy"
            post(fact.base_asset, fact.base_amount if is_buy else negate(fact.base_amount))
            post(fact.quote_asset, negate(fact.quote_amount) if is_buy else fact.quote_amount)
            if fact.fee_asset is not None and fact.fee_amount is not None:
                post(fact.fee_asset, negate(fact.fee_amount))
    return {asset: amount for asset, amount in found.items() if amount}


def shortened(value: Any) -> str:
    """A JSON value as text, shortened."""
    return json.dumps(value, default=str, ensure_ascii=True)[:SHOWN_CHARACTERS]


def tags_of(*names: str) -> list[str] | None:
    """Tags for a fill; None for none. What is too long for a tag is cut."""
    return [name[:128] for name in dict.fromkeys(names) if name] or None
