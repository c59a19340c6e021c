"""Reading balances: `ASSET=AMOUNT`, JSON, CSV, and the wallet history of a freqtrade database.

    {"XRP": "51.2", "RLUSD": "19.5"}                            JSON, an asset a field
    {"total": {"XRP": 51.2}, "timestamp": 1767607200000}        what ccxt's fetchBalance gives: its totals, at its time
    asset,amount,at                                             CSV; `at` may be left out, and may differ by row
    wallet_history                                              a table of freqtrade's SQLite database; each row has its time
    time,asset,amount,…,balance                                 a statement with a balance column; see `statements`
    {"result": {"lines": […]}}                                  a server's answer to the XRP Ledger's account_lines or
                                                                account_info, or to Kraken's Balance

Digits are taken as they are written. If an asset has several rows, the newest one not after the requested time counts.
"""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain
from typing import IO, Any

from engine.importers.items import Source, Unreadable
from engine.importers.reconcile.statements import closing_balances, is_statement
from engine.importers.sources import source_named
from engine.importers.times import TimeReader
from engine.importers.venues.kraken.names import asset_name
from engine.importers.venues.reading import Odd
from engine.importers.venues.xrpl.balances import XRP, currency_name, drops
from ledger.amounts import add, amount_text, parse_amount
from ledger.errors import Refused

_ASSET_NAMES = ("asset", "currency", "coin", "symbol")
_AMOUNT_NAMES = ("amount", "total", "balance")
_TIME_NAMES = ("at", "time", "timestamp", "datetime", "date")
# Fields of ccxt's fetchBalance that are no assets.
_CCXT = frozenset({"info", "free", "used", "total", "debt", "timestamp", "datetime"})
_SQLITE = b"SQLite format 3\0"
_WALLET = "SELECT currency, balance, timestamp FROM wallet_history ORDER BY timestamp, id"


@dataclass(frozen=True, slots=True)
class Balance:
    """What a venue says that it holds. `amount`: in the asset's own unit; `at`: as of when, UTC, None where it says none."""

    asset: str
    amount: Decimal
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Balances:
    """What was given. `is_complete`: whether the venue holds nothing of an asset that is not among them."""

    stated: tuple[Balance, ...]
    is_complete: bool


def read_balances(
    given: Iterable[str], *, aliases: Mapping[str, str], times: TimeReader, until: datetime | None = None
) -> Balances:
    """The balances of `ASSET=AMOUNT` texts and of files. `until`: no row after it counts; None: all rows do.

    Raises Unreadable, Refused (an amount that is not one).
    """
    single: list[Balance] = []
    of_files: list[Balance] = []
    is_complete = False
    for text in given:
        asset, equals, amount = text.rpartition("=")
        if equals and asset and "/" not in asset:
            single.append(Balance(asset, parse_amount(amount)))
            continue
        found, is_whole = _of_file(source_named(text), times, until)
        of_file = [balance for balance in found if until is None or balance.at is None or balance.at <= until]
        if not of_file:  # or all that the book holds would be missing at the venue
            raise Unreadable(f"{text} states no balance{'' if until is None else ' up to then'}")
        of_files += of_file
        is_complete = is_complete or is_whole
    newest: dict[str, Balance] = {}
    for balance in chain(of_files, single):
        named = Balance(aliases.get(balance.asset, balance.asset), balance.amount, balance.at)
        before = newest.get(named.asset)
        if before is not None and before.at == named.at:
            raise Unreadable(
                f"{named.asset} has two balances, {amount_text(before.amount)} and {amount_text(named.amount)}"
            )
        if before is None or before.at is None or (named.at is not None and named.at > before.at):
            newest[named.asset] = named
    return Balances(tuple(newest[asset] for asset in sorted(newest)), is_complete)


def _of_file(source: Source, times: TimeReader, until: datetime | None) -> tuple[list[Balance], bool]:
    """The balances of a file, and whether they are all that the venue holds."""
    if source.head().startswith(_SQLITE):
        return _of_freqtrade(source, times), True
    with source.text() as text:
        head = text.read(4096)
        if head.lstrip()[:1] in ("{", "["):
            return _of_json(head + text.read(), source.name, times)
        if is_statement(head):
            lines = chain(io.StringIO(head + text.readline(), newline=""), text)
            closings = closing_balances(lines, source.name, until)
            return [Balance(each.asset, each.amount, each.at) for each in closings], False
        return list(_of_csv(head, text, source.name, times)), True


def _of_freqtrade(source: Source, times: TimeReader) -> list[Balance]:
    """Times of freqtrade are UTC without saying so; its balances are floats, taken by their shortest digits."""
    utc = TimeReader(times.zone or UTC, times.formats)
    with source.database() as path:
        connection = sqlite3.connect(path)
        try:
            rows = connection.execute(_WALLET).fetchall()
        except sqlite3.DatabaseError as error:
            raise Unreadable(f"{source.name} has no wallet_history that can be read: {error}") from error
        finally:
            connection.close()
    return [Balance(str(asset), _amount(amount, source.name), utc.read(at)) for asset, amount, at in rows]


def _of_json(text: str, name: str, times: TimeReader) -> tuple[list[Balance], bool]:
    try:
        found = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"{name} is not JSON: {error}") from error
    if isinstance(found, list):
        return [_of_record(each, name, times) for each in found], True
    if isinstance(found.get("result"), dict):
        return _of_answer(found["result"], name)
    if isinstance(found.get("total"), dict):
        said = found.get("timestamp") or found.get("datetime")
        at = _time(said, name, times) if said else None
        total = found["total"].items()
        return [Balance(asset, _amount(each, name), at) for asset, each in total if each is not None], True
    fields = found.items()
    return [_of_field(asset, each, name) for asset, each in fields if asset not in _CCXT and each is not None], True


def _of_answer(result: Mapping[str, Any], name: str) -> tuple[list[Balance], bool]:
    """A server's answer: the XRP Ledger's account_info and account_lines, of which neither has all; Kraken's Balance."""
    account = result.get("account_data")
    if isinstance(account, dict) and "Balance" in account:
        return [Balance(XRP, _in_xrp(account["Balance"], name))], False
    lines = result.get("lines")
    if isinstance(lines, list):
        return [_of_line(line, name) for line in lines], False
    return [Balance(asset_name(asset), _amount(each, name)) for asset, each in result.items()], True


def _in_xrp(given: object, name: str) -> Decimal:
    try:
        return drops(given)
    except Odd as odd:
        raise Unreadable(f"{name}: {odd}") from odd


def _of_line(line: Any, name: str) -> Balance:
    try:
        return Balance(f"{currency_name(line['currency'])}.{line['account']}", _amount(line["balance"], name))
    except (KeyError, TypeError, Odd) as error:
        raise Unreadable(f"{name}: a trust line without its account, currency and balance") from error


def _of_field(asset: str, value: Any, name: str) -> Balance:
    if not isinstance(value, dict):
        return Balance(asset, _amount(value, name))
    if value.get("total") is not None:
        return Balance(asset, _amount(value["total"], name))
    parts = [_amount(value[part], name) for part in ("free", "used") if value.get(part) is not None]
    if not parts:
        raise Unreadable(f"{name}: {asset} has no total")
    return Balance(asset, parts[0] if len(parts) == 1 else add(*parts))


def _of_record(record: Any, name: str, times: TimeReader) -> Balance:
    if not isinstance(record, dict):
        raise Unreadable(f"{name}: expected objects with asset and amount")
    fields = {str(field).lower(): value for field, value in record.items() if value is not None}
    asset, amount, at = (_first(fields, names) for names in (_ASSET_NAMES, _AMOUNT_NAMES, _TIME_NAMES))
    if asset is None or amount is None:
        raise Unreadable(f"{name}: a balance needs asset and amount, and has {', '.join(fields) or 'nothing'}")
    return Balance(str(asset), _amount(amount, name), None if at is None else _time(at, name, times))


def _of_csv(head: str, rest: IO[str], name: str, times: TimeReader) -> Iterator[Balance]:
    text = head + rest.read()
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    for row in csv.DictReader(text.splitlines(), delimiter=delimiter):
        fields = {
            (field or "").strip().lower(): value.strip() for field, value in row.items() if isinstance(value, str)
        }
        if any(fields.values()):
            yield _of_record({field: value for field, value in fields.items() if value}, name, times)


def _first(fields: Mapping[str, Any], names: Iterable[str]) -> Any:
    return next((fields[name] for name in names if name in fields), None)


def _amount(value: Any, name: str) -> Decimal:
    given = amount_text(value) if isinstance(value, Decimal) and value.is_finite() else value
    try:
        return parse_amount(repr(given) if isinstance(given, float) else str(given))
    except Refused as refused:
        raise Unreadable(f"{name}: {value!r} is not an amount: {refused.what}") from refused


def _time(value: Any, name: str, times: TimeReader) -> datetime:
    try:
        return times.read(value)
    except ValueError as error:
        raise Unreadable(f"{name}: {error}") from error
