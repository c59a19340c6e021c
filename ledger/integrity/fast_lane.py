"""The fast lane of `check`: sound rows of the common types are proved from their raw texts, many at once.

Up to a thousand rows are turned into columns, and each column is compared as a whole with what the bodies give: hashes,
envelope, copies and effects. No event is built and no row becomes an object, which is what takes the prover its time.

    body  …"base_amount":"10"…"side":"buy"…       asset_delta  10      a buy: the same text
          …"base_amount":"4.5"…"side":"sell"…                  -4.5    a sale: with its sign

The lane words no finding. Rows that are not sound, not of the common types or only unusual it does not take, and the prover
goes over them. So it may be too strict and never too lax: of what it takes, neither the prover nor `LogRules` nor the notes
of `check` would say anything. Its rules are theirs, written down once more; a test feeds both the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from itertools import pairwise
from typing import Any

from ledger.amounts import amount_text
from ledger.book import Head
from ledger.errors import Refused
from ledger.event_types import EventType
from ledger.integrity.fast_forms import FORMS, Texts
from ledger.integrity.raw_log import COLUMNS, PLACE_OF, RawRow
from ledger.integrity.tally import Column, Columns, Tally
from ledger.rules import capital_value
from ledger.texts import normal_tx_hash
from ledger.times import parse_time, time_text

KINDS = frozenset(FORMS)
TYPE_PLACE, HASH_PLACE, VERSION_PLACE = PLACE_OF["type"], PLACE_OF["hash"], PLACE_OF["version"]
_WHOLE_NUMBERS = ("version", "unknown_fees", "unknown_bases")
# Each column is the body's field of the same name, where the body has one.
_COPIES = ("event_id", "key", "at", "recorded_at", "session_id", "reason", "strategy")
_NO_COLUMNS: Mapping[str, Any] = {
    "reverses": None,
    "quote_asset": None,
    "quote_delta": None,
    "fee_asset": None,
    "fee_delta": None,
    "price": None,
    "net_deposits_delta": "0",
    "basis_delta": "0",
    "starting_value_delta": "0",
    "unknown_fees": 0,
    "unknown_bases": 0,
}


@dataclass(frozen=True, slots=True)
class Terms:
    """What is the same for all rows of a book.

    `known`: the forms that the ledger lists, None: all are taken. `until`: what is dated later has a note and is not
    taken. `reversed_marks`: the versions of the marks that no longer stand.
    """

    book: str
    known: Collection[EventType] | None
    until: datetime
    reversed_marks: Collection[int]


@dataclass(frozen=True, slots=True)
class ProvedRows:
    """Rows that were proved: what they add up to, and the last of them."""

    tally: Tally
    head: Head


class FastLane:
    """Proves rows of one book, given where the proof has come to."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._until = time_text(terms.until)

    def take(self, rows: Sequence[RawRow], head: Head, numeraire: str) -> ProvedRows | None:
        """What the rows add up to; None unless all of them are sound, common and follow upon a head.

        `head`: the last row that was proved; its time is the latest so far.
        """
        try:
            return self._take([_as_texts(row) for row in rows] if _is_of_server(rows[0]) else rows, head, numeraire)
        except (Refused, ArithmeticError, TypeError, ValueError):
            return None

    def _take(self, rows: Sequence[RawRow], head: Head, numeraire: str) -> ProvedRows | None:
        columns = _columns(rows)
        if not self._follow(columns, head):
            return None
        kinds = set(columns["type"])
        divided = dict.fromkeys(kinds, columns)
        if len(kinds) > 1:
            divided = {kind: _columns([row for row in rows if row[TYPE_PLACE] == kind]) for kind in kinds}
        found = {kind: self._read(kind, of_kind, numeraire) for kind, of_kind in divided.items()}
        tally = Tally(columns["version"][-1])
        posting = [row for row in rows if row[TYPE_PLACE] != "mark"]
        if posting:
            tally.name_assets(columns if len(posting) == len(rows) else _columns(posting))
        for kind, texts in found.items():
            if texts is None:
                return None
            self._add(tally, kind, divided[kind], texts)
        return ProvedRows(tally, Head(tally.version, columns["hash"][-1], parse_time(columns["recorded_at"][-1])))

    def _follow(self, columns: Columns, head: Head) -> bool:
        """Whether the rows are the next ones of the chain, recorded one after the other, and none is ahead of the clock."""
        versions, hashes, recorded = columns["version"], columns["hash"], columns["recorded_at"]
        first = head.version + 1
        if any(set(map(type, columns[name])) != {int} for name in _WHOLE_NUMBERS):
            return False
        if first == 1 or versions != tuple(range(first, first + len(versions))):
            return False
        if set(map(type, columns["body"])) != {bytes} or set(columns["book"]) != {self._terms.book}:
            return False
        previous = (head.hash, *hashes[:-1])
        bodies = columns["body"]
        if [sha256(before + body).digest() for before, body in zip(previous, bodies, strict=True)] != list(hashes):
            return False
        in_order = time_text(head.recorded_at) <= recorded[0] and all(
            left <= right for left, right in pairwise(recorded)
        )
        return in_order and max(columns["at"]) <= self._until

    def _read(self, kind: str, columns: Columns, numeraire: str) -> Texts | None:
        """The texts of the bodies, where the columns of rows of one type are what these give; else None."""
        texts = FORMS[kind].read(columns["body"])
        if texts is None or not self._is_listed(kind, texts["type_version"]):
            return None
        size = len(columns["type"])
        expected: dict[str, Column] = {name: (value,) * size for name, value in _NO_COLUMNS.items()}
        expected |= {name: texts.get(name, (None,) * size) for name in _COPIES}
        expected |= {"effect_of": columns["type"], "tx_hash": _normal_hashes(texts)}
        expected |= _EFFECTS[kind](texts, numeraire)
        envelope = set(texts["book"]) == {self._terms.book} and texts["version"] == tuple(map(str, columns["version"]))
        return texts if envelope and all(columns[name] == given for name, given in expected.items()) else None

    def _is_listed(self, kind: str, versions: Column) -> bool:
        known = self._terms.known
        return known is None or all((kind, int(version)) in known for version in set(versions))

    def _add(self, tally: Tally, kind: str, columns: Columns, texts: Texts) -> None:
        match kind:
            case "fill":
                tally.add_fills(columns)
            case "deposit":
                tally.add_deposits(columns)
            case "adjustment":
                tally.add_adjustments(columns)
            case _:
                tally.add_marks(columns, texts["price_source"], self._terms.reversed_marks)


def _columns(rows: Sequence[RawRow]) -> Columns:
    return dict(zip(COLUMNS, zip(*rows, strict=True), strict=True))


def _normal_hashes(texts: Texts) -> Column:
    """The hashes in the form in which the column keeps them: those in upper case are in it."""
    others = texts["other_hash"]
    if others.count(None) == len(others):
        return texts["tx_hash"]
    pairs = zip(texts["tx_hash"], others, strict=True)
    return tuple(normal if other is None else normal_tx_hash(other) or None for normal, other in pairs)


def _negated(amounts: Column) -> Column:
    return tuple(_opposite(amount) for amount in amounts)


def _opposite(amount: str | None) -> str | None:
    """The canonical text of an amount with the other sign."""
    if amount is None or amount == "0":
        return amount
    return amount[1:] if amount[0] == "-" else f"-{amount}"


def _fills(texts: Texts, numeraire: str) -> dict[str, Column]:
    """A fee that was not reported is unknown, whether or not its asset was named."""
    sides, base, quote, fees = texts["side"], texts["base_amount"], texts["quote_amount"], texts["fee_amount"]
    fee_assets = texts["fee_asset"]
    if None in fees:
        pairs = zip(fee_assets, fees, strict=True)
        fee_assets = tuple(None if fee is None else asset for asset, fee in pairs)
    if fee_assets.count(None) != fees.count(None):
        raise ValueError("a fee without its asset")
    return {
        "asset": texts["base_asset"],
        "asset_delta": tuple([a if side == "buy" else f"-{a}" for a, side in zip(base, sides, strict=True)]),
        "quote_asset": texts["quote_asset"],
        "quote_delta": tuple([f"-{a}" if side == "buy" else a for a, side in zip(quote, sides, strict=True)]),
        "fee_asset": fee_assets,
        "fee_delta": _negated(fees),
        "unknown_fees": tuple([1 if fee is None else 0 for fee in fees]),
    }


def _deposits(texts: Texts, numeraire: str) -> dict[str, Column]:
    """Raises Refused for a price that is missing, or that the numeraire has."""
    rows = zip(texts["asset"], texts["amount"], texts["price"], strict=True)
    worths = tuple(_worth(str(asset), str(amount), price, numeraire) for asset, amount, price in rows)
    return {
        "asset": texts["asset"],
        "asset_delta": texts["amount"],
        "price": texts["price"],
        "net_deposits_delta": worths,
        "basis_delta": tuple("0" if delta is None else delta for delta in texts["basis_delta"]),
        "starting_value_delta": worths,
        "unknown_bases": tuple(int(flag == "true") for flag in texts["basis_unknown"]),
    }


def _worth(asset: str, amount: str, price: str | None, numeraire: str) -> str:
    return amount_text(capital_value(asset, Decimal(amount), None if price is None else Decimal(price), numeraire))


def _marks(texts: Texts, numeraire: str) -> dict[str, Column]:
    return {"asset": texts["asset"], "asset_delta": (None,) * len(texts["asset"]), "price": texts["price"]}


def _adjustments(texts: Texts, numeraire: str) -> dict[str, Column]:
    return {"asset": texts["asset"], "asset_delta": texts["amount"]}


# By type, the columns of its effects as its bodies give them.
_EFFECTS: Mapping[str, Callable[[Texts, str], dict[str, Column]]] = {
    "fill": _fills,
    "deposit": _deposits,
    "mark": _marks,
    "adjustment": _adjustments,
}


def _is_of_server(row: RawRow) -> bool:
    """PostgreSQL keeps times and amounts as such; SQLite keeps their texts."""
    return isinstance(row[PLACE_OF["at"]], datetime)


def _as_texts(row: RawRow) -> RawRow:
    return tuple(map(_as_text, row))


def _as_text(value: Any) -> Any:
    """Raises ValueError for what is not an amount or a time of the program's."""
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError("not a finite amount")
        return amount_text(value)
    return time_text(value.astimezone(UTC)) if isinstance(value, datetime) else value
