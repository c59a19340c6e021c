"""Transactions and their metadata, out of the envelopes that servers, libraries and explorers put them in.

`account_tx` and `tx` of API v1 and v2, a subscription's stream, a ledger with its transactions, and lists or pages of all of
these.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from engine.importers.times import TimeReader
from engine.importers.venues.reading import Odd

RIPPLE_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_LARGEST_RIPPLE_TIME = 2**32
_HASH = re.compile(r"[0-9A-Fa-f]{64}", re.ASCII)
_TIMES = TimeReader(UTC)
_LISTS = ("transactions", "txs")


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction of the ledger.

    fields:      its own fields, such as Account and Fee
    meta:        its metadata
    hash:        its hash, in upper case; None where the file has none
    at:          when its ledger was closed, UTC
    order:       ledger index, index in the ledger; () where the file does not say
    is_final:    whether the file says that it is validated, or does not say that it is not
    """

    fields: Mapping[str, Any]
    meta: Mapping[str, Any]
    hash: str | None
    at: datetime
    order: tuple[int, ...]
    is_final: bool


def entries_in(
    value: Any, place: str, around: Mapping[str, Any] | None = None
) -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
    """The entries of a JSON value: the place of each, the entry, and the ledger or page that it stands in."""
    around = around or {}
    if isinstance(value, list):
        for number, each in enumerate(value, 1):
            yield from entries_in(each, f"{place} item {number}", around)
        return
    if isinstance(value, dict):
        for name in ("result", "ledger", "response"):
            if isinstance(value.get(name), dict) and not _is_transaction(value):
                yield from entries_in(value[name], place, {**around, **_own(value)})
                return
        listed = next((value[name] for name in _LISTS if isinstance(value.get(name), list)), None)
        if listed is not None and not _is_transaction(value):
            inner = {**around, **_own(value)} if "close_time" in value or "close_time_iso" in value else around
            for number, each in enumerate(listed, 1):
                yield f"{place} transaction {number}", each, inner
            return
    yield place, value, around


def _is_transaction(value: Mapping[str, Any]) -> bool:
    return "TransactionType" in value or "meta" in value or "metaData" in value


def _own(value: Mapping[str, Any]) -> dict[str, Any]:
    names = ("validated", "ledger_index", "close_time", "close_time_iso")
    return {name: value[name] for name in names if name in value}


def transaction_in(entry: Any, around: Mapping[str, Any]) -> Transaction:
    """The transaction of an entry. `around`: what the ledger or page says about all of its entries. Raises Odd."""
    if not isinstance(entry, dict):
        raise Odd("not a transaction")
    fields = next(
        (entry[name] for name in ("tx_json", "tx", "transaction") if isinstance(entry.get(name), dict)), entry
    )
    if not isinstance(fields.get("TransactionType"), str):
        blob = any(isinstance(entry.get(name), str) for name in ("tx_blob", "tx"))
        raise Odd("a binary transaction: ask for it with binary=false" if blob else "not a transaction")
    meta = next((found for name in ("meta", "metaData") for part in (entry, fields) if (found := part.get(name))), None)
    if not isinstance(meta, dict):
        raise Odd("a transaction without its metadata" if meta is None else "binary metadata: ask with binary=false")
    index, place = _first(entry, fields, around, names=("ledger_index", "inLedger")), meta.get("TransactionIndex")
    order = (index, place) if index is not None and type(place) is int else ()
    is_final = entry.get("validated", fields.get("validated", around.get("validated"))) is not False
    return Transaction(fields, meta, _hash(entry, fields), _time(entry, fields, around), order, is_final)


def _first(*parts: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    for part in parts:
        for name in names:
            found = part.get(name)
            if isinstance(found, str) and found.isascii() and found.isdecimal() and len(found) < 16:
                return int(found)
            if type(found) is int:
                return found
    return None


def _hash(entry: Mapping[str, Any], fields: Mapping[str, Any]) -> str | None:
    for part in (entry, fields):
        found = part.get("hash")
        if isinstance(found, str) and _HASH.fullmatch(found):
            return found.upper()
    return None


def _time(entry: Mapping[str, Any], fields: Mapping[str, Any], around: Mapping[str, Any]) -> datetime:
    for part in (entry, fields, around):
        for name in ("close_time_iso", "date", "close_time"):
            found = part.get(name)
            if type(found) is int and found >= 0:
                if found < _LARGEST_RIPPLE_TIME:
                    return RIPPLE_EPOCH + timedelta(seconds=found)
                return _read(found)
            if isinstance(found, str) and found[:1].isdigit():
                return _read(found)
    raise Odd("no time: the entry has neither date nor close_time_iso")


def _read(given: object) -> datetime:
    try:
        return _TIMES.read(given)
    except (ValueError, ArithmeticError) as error:
        raise Odd(str(error)) from None
