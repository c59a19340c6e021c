"""Any CSV file, by a mapping (`engine.importers.csv_mapping`)."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Context, Decimal
from itertools import chain, islice
from pathlib import Path
from typing import Any

from engine.importers.csv_mapping import CsvMapping, Rule, parse_mapping, split_pair, zone_named
from engine.importers.csv_rows import csv_rows, of_other_width
from engine.importers.items import (
    SHOWN_CHARACTERS,
    Contract,
    Fact,
    Item,
    Kind,
    Movement,
    Origin,
    PassedOver,
    QuarantinedRow,
    Row,
    Sample,
    Settings,
    Source,
    Unreadable,
)
from engine.importers.times import TimeReader
from ledger.amounts import DIGITS_AFTER_POINT, ZERO, add, negate, subtract, value
from ledger.errors import Refused, shown
from ledger.events import Adjustment, Fill

NAME = "csv"
DELIMITERS = ",;\t|"
_NUMBER = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]{1,3})?", re.ASCII)
_NOTHING = frozenset({"-", "--", "n/a", "N/A", "null", "None"})
_SIDES = {
    "buy": "buy",
    "b": "buy",
    "bid": "buy",
    "bought": "buy",
    "sell": "sell",
    "s": "sell",
    "ask": "sell",
    "sold": "sell",
}
_WIDE = Context(prec=200)

Record = Mapping[str, str]


def _read(sources: Sequence[Source], settings: Settings) -> Iterator[Item]:
    if settings.mapping is None:
        raise Unreadable(
            "a CSV file needs a mapping, --mapping FILE; propose one with: netbasis import csv --learn FILE"
        )
    mapping = read_mapping(settings.mapping)
    for source in sources:
        with source.text() as text:
            reading = _Reading(mapping, settings, source.name)
            for found in records(iter(text), source.name, mapping):
                if isinstance(found, QuarantinedRow):
                    yield found
                else:
                    yield from reading.items(*found)


def read_mapping(path: str) -> CsvMapping:
    """The mapping in a file. Raises Unreadable; Refused `mapping_malformed`."""
    try:
        document = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise Unreadable(f"the mapping {path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return parse_mapping(document, path)


def records(lines: Iterator[str], name: str, mapping: CsvMapping) -> Iterator[tuple[Origin, Record] | QuarantinedRow]:
    """The rows of a file by column, each with its place. Raises Unreadable when a column of the mapping is missing."""
    for _ in islice(lines, mapping.skip_lines):
        pass
    reader, header = opened(lines, mapping.delimiter)
    missing = sorted(mapping.columns() - set(header))
    if missing:
        there = ", ".join(shown(column) for column in header)
        raise Unreadable(f"{name} has no column {', '.join(shown(column) for column in missing)}; it has {there}")
    for found in csv_rows(reader, name, mapping.skip_lines):
        if isinstance(found, QuarantinedRow):
            yield found
            continue
        place, cells = found
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) < len(header) or any(cell.strip() for cell in cells[len(header) :]):
            yield of_other_width(place, cells, header)
        else:
            yield place, dict(zip(header, cells, strict=False))


def opened(lines: Iterator[str], delimiter: str | None) -> tuple[Any, list[str]]:
    """The csv reader behind the header, and the names of the columns: the second of equal ones is `NAME#2`."""
    first = next((line for line in lines if line.strip()), "")
    found = delimiter or max(DELIMITERS, key=first.count)
    reader = csv.reader(chain([first], lines), delimiter=found)
    names = [name.strip() for name in next(reader, [])]
    header = []
    for position, name in enumerate(names):
        before = names[:position].count(name)
        header.append(f"{name}#{before + 1}" if before else name)
    return reader, header


class _Reading:
    """Reads the rows of one file."""

    def __init__(self, mapping: CsvMapping, settings: Settings, name: str) -> None:
        self._mapping = mapping
        self._settings = settings
        self._name = name
        self._times = TimeReader(mapping.zone or settings.zone, mapping.formats)

    def items(self, origin: Origin, row: Record) -> list[Item]:
        """What a row becomes."""
        try:
            return self._items(origin, row)
        except ArithmeticError:
            reason = "its numbers do not fit"
        except (ValueError, Refused) as error:
            reason = error.what if isinstance(error, Refused) else str(error)
        return [QuarantinedRow(origin, reason, ",".join(row.values())[:SHOWN_CHARACTERS])]

    def _items(self, origin: Origin, row: Record) -> list[Item]:
        for column, texts in self._mapping.take.items():
            if row[column].strip().lower() not in texts:
                return [PassedOver(origin, f"{column}: {row[column].strip()}")]
        rule = next((rule for rule in self._mapping.rules if rule.fits(row)), None)
        if rule is None:
            raise ValueError("no rule of the mapping fits this row")
        if rule.event == "skip":
            return [PassedOver(origin, rule.reason)]
        zone = None if self._mapping.zone_column is None else zone_named(row[self._mapping.zone_column].strip())
        at = self._times.read(" ".join(row[column].strip() for column in self._mapping.times), zone)
        facts = tuple(self._facts(rule, row))
        found: list[Item] = [Row(origin, at, self._id(row), facts)] if facts else []
        if rule.event == "contract":
            found.insert(0, Contract(origin, self._required(rule, row, "symbol")))
        return found

    def _id(self, row: Record) -> str | None:
        """The venue's id of a row; None where its columns are empty."""
        parts = [row[column].strip() for column in self._mapping.ids]
        if not any(parts):
            return None
        return ":".join([*([self._settings.source] if self._settings.source else []), *parts])

    def _facts(self, rule: Rule, row: Record) -> list[Fact]:
        if rule.event == "fill":
            return self._fill(rule, row)
        if rule.event == "adjustment":
            return self._adjustment(rule, row)
        if rule.event == "contract":
            return self._contract(rule, row)
        return self._movement(rule, row)

    # Fields

    def _text(self, rule: Rule, row: Record, name: str) -> str | None:
        cell = rule.fields.get(name)
        found = None if cell is None else cell.of(row)
        return None if found in _NOTHING else found

    def _required(self, rule: Rule, row: Record, name: str) -> str:
        found = self._text(rule, row, name)
        if found is None:
            raise ValueError(f"{name} is empty")
        return found

    def _asset(self, rule: Rule, row: Record, name: str) -> str:
        return self._settings.named(self._required(rule, row, name))

    def _number(self, rule: Rule, row: Record, name: str) -> Decimal | None:
        text = self._text(rule, row, name)
        return None if text is None else number(text, self._mapping.decimal, self._mapping.thousands)

    def _amount(self, rule: Rule, row: Record, name: str) -> Decimal:
        found = self._number(rule, row, name)
        if found is None:
            raise ValueError(f"{name} is empty")
        return found

    def _fee(self, rule: Rule, row: Record) -> tuple[str, Decimal] | None:
        """The fee's asset and amount, negative for a rebate; None where it is not reported."""
        amount = self._number(rule, row, "fee_amount")
        if amount is None:
            return None
        asset = self._text(rule, row, "fee_asset")
        if asset is None:
            if amount.is_zero():
                return "", ZERO
            raise ValueError("a fee needs its asset")
        amount = negate(amount) if "fee_negative" in rule.flags else amount
        return self._settings.named(asset), amount

    # Facts

    def _fill(self, rule: Rule, row: Record) -> list[Fact]:
        given: dict[str, Any] = self._exchanged(rule, row) if "bought_asset" in rule.fields else self._pair(rule, row)
        fee = self._fee(rule, row)
        if fee is not None:
            asset, amount = fee
            given |= {"fee_asset": asset or given["quote_asset"], "fee_amount": amount}
            if "fee_included" in rule.flags and given["fee_asset"] == given["quote_asset"]:
                paid = given["quote_amount"]
                given["quote_amount"] = subtract(paid, amount) if given["side"] == "buy" else add(paid, amount)
            _require_plausible_fee(given)
        texts = {name: self._text(rule, row, name) for name in ("order_id", "liquidity", "strategy", "tx_hash")}
        texts["source_note"] = self._text(rule, row, "note")
        return [Fill.model_validate({**given, **{name: text for name, text in texts.items() if text is not None}})]

    def _pair(self, rule: Rule, row: Record) -> dict[str, Any]:
        side = self._required(rule, row, "side").lower()
        if side not in _SIDES:
            raise ValueError(f"the side {shown(side)} is neither buy nor sell")
        if "pair" in rule.fields:
            base, quote = (self._settings.named(asset) for asset in split_pair(self._required(rule, row, "pair")))
        else:
            base, quote = self._asset(rule, row, "base_asset"), self._asset(rule, row, "quote_asset")
        amount = self._amount(rule, row, "base_amount").copy_abs()
        paid = self._number(rule, row, "quote_amount")
        if paid is None:
            exact = _WIDE.multiply(amount, self._amount(rule, row, "price"))
            paid = exact if int(exact.as_tuple().exponent) >= -DIGITS_AFTER_POINT else value(exact, Decimal(1))
        return {
            "side": _SIDES[side],
            "base_asset": base,
            "base_amount": amount,
            "quote_asset": quote,
            "quote_amount": paid.copy_abs(),
        }

    def _exchanged(self, rule: Rule, row: Record) -> dict[str, Any]:
        """A fill told as what came in and what went out; the numeraire is the quote asset, else what went out is."""
        bought = self._asset(rule, row, "bought_asset"), self._amount(rule, row, "bought_amount").copy_abs()
        sold = self._asset(rule, row, "sold_asset"), self._amount(rule, row, "sold_amount").copy_abs()
        is_sale = bought[0] == self._settings.numeraire
        base, quote = (sold, bought) if is_sale else (bought, sold)
        return {
            "side": "sell" if is_sale else "buy",
            "base_asset": base[0],
            "base_amount": base[1],
            "quote_asset": quote[0],
            "quote_amount": quote[1],
        }

    def _adjustment(self, rule: Rule, row: Record) -> list[Fact]:
        amount = self._amount(rule, row, "amount")
        given: dict[str, Any] = {
            "asset": self._asset(rule, row, "asset"),
            "amount": negate(amount) if "negate" in rule.flags else amount,
            "reason": self._required(rule, row, "reason"),
        }
        note = self._text(rule, row, "note")
        if note is not None:
            given["source_note"] = note
        return [Adjustment.model_validate(given), *self._fee_adjustments(rule, row, given["asset"])]

    def _contract(self, rule: Rule, row: Record) -> list[Fact]:
        """What a position cost and earned; the position itself is no event."""
        symbol = self._required(rule, row, "symbol")
        facts: list[Fact] = []
        for reason in ("realised", "funding"):
            amount = self._number(rule, row, reason)
            if amount:
                given = {
                    "asset": self._asset(rule, row, "asset"),
                    "amount": amount,
                    "reason": reason,
                    "source_note": symbol,
                }
                facts.append(Adjustment.model_validate(given))
        fee = self._fee(rule, row)
        if fee is not None and fee[1]:
            given = {"asset": fee[0], "amount": negate(fee[1]), "reason": "fee", "source_note": symbol}
            facts.append(Adjustment.model_validate(given))
        return facts

    def _movement(self, rule: Rule, row: Record) -> list[Fact]:
        asset, amount = self._asset(rule, row, "asset"), self._amount(rule, row, "amount")
        direction = {"deposit": "in", "withdrawal": "out"}.get(rule.event) or ("in" if amount > 0 else "out")
        amount = amount.copy_abs()
        fees = self._fee_adjustments(rule, row, asset)
        if "fee_included" in rule.flags:
            for fee in fees:
                assert isinstance(fee, Adjustment)
                if fee.asset == asset:
                    amount = add(amount, fee.amount if direction == "out" else negate(fee.amount))
        if amount <= 0:
            raise ValueError("the amount is not more than 0")
        movement = Movement(
            "in" if direction == "in" else "out",
            asset,
            amount,
            tx_hash=self._text(rule, row, "tx_hash"),
            reference=self._text(rule, row, "reference"),
            source_note=self._text(rule, row, "note"),
        )
        return [movement, *fees]

    def _fee_adjustments(self, rule: Rule, row: Record, asset: str) -> list[Fact]:
        fee = self._fee(rule, row)
        if fee is None or fee[1].is_zero():
            return []
        given: dict[str, Any] = {"asset": fee[0] or asset, "amount": negate(fee[1]), "reason": "fee"}
        return [Adjustment.model_validate(given)]


def _require_plausible_fee(given: Mapping[str, Any]) -> None:
    """Raises ValueError for a fee as large as what was traded: it is of another unit, or of another column."""
    for asset, amount in (("base_asset", "base_amount"), ("quote_asset", "quote_amount")):
        if given["fee_asset"] == given[asset] and given["fee_amount"].copy_abs() >= given[amount]:
            raise ValueError(f"a fee of {given['fee_amount']} {given['fee_asset']} is as much as was traded")


def number(text: str, decimal: str = ".", thousands: str = "") -> Decimal:
    """A number as a file writes it. Raises ValueError."""
    plain = text.strip()
    if thousands:
        plain = _ungrouped(plain, decimal, thousands)
    if decimal != ".":
        if "." in plain:
            raise ValueError(f"{shown(text)} has a point, and the decimal sign is {decimal}")
        plain = plain.replace(decimal, ".")
    if not _NUMBER.fullmatch(plain):
        raise ValueError(f"{shown(text)} is not a number")
    return Decimal(plain)


def _ungrouped(text: str, decimal: str, thousands: str) -> str:
    """A number without the signs between its thousands. Raises ValueError where they do not stand between thousands."""
    if thousands == " ":
        text = text.replace("\u00a0", " ").replace("\u202f", " ")
    whole, point, rest = text.partition(decimal)
    first, *groups = whole.split(thousands)
    is_grouped = all(len(group) == 3 for group in groups) and len(first.lstrip("+-")) <= 3
    if groups and (not is_grouped or thousands in rest):
        raise ValueError(f"{shown(text)} is not a number with {shown(thousands)} between its thousands")
    return "".join([first, *groups]) + point + rest


def _recognises(sample: Sample) -> bool:
    return False  # any text could be one: it has to be named, with its mapping


KIND = Kind(
    name=NAME,
    help="any other CSV file, by a mapping (--mapping FILE); --learn proposes one",
    recognises=_recognises,
    read=_read,
)
