"""`export beancount`: a journal for beancount, with prices, and what is held at its cost, lot by lot.

A posting names its lot whole: `{cost of one unit, date, "version that opened it"}`. The accounts of assets are opened with
the booking method NONE, since which lot is closed has been decided; so beancount also takes short lots, and a fee that is
paid from what the same event brought. Without lots told apart, postings have what they cost as a price (`@@`).

beancount takes commodities of up to 24 capitals, digits and a few signs, and accounts of letters, digits and hyphens. Names
become that, a number after those that would meet, and the names as they are stand in the metadata.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import date
from decimal import Context, Decimal

from engine.exports.bookings import ASSETS, EQUITY, EXPENSES, REVENUES, Account, Booking, Bookings, Line
from ledger.amounts import amount_text
from ledger.stored import StoredEvent
from ledger.times import time_text
from projections.lots import Origin

_ROOTS = {ASSETS: "Assets", EQUITY: "Equity", REVENUES: "Income", EXPENSES: "Expenses"}
# Nothing is posted here: a zero of nine decimals says that a booking of very fine amounts need not balance more closely.
ROUNDING = (EQUITY, "rounding")
_SYMBOL_CHARACTERS = 24
_NOT_IN_A_SYMBOL = re.compile(r"[^A-Z0-9._'-]")
_NOT_IN_AN_ACCOUNT = re.compile(r"[^A-Za-z0-9-]")
# beancount computes to 28 digits, and so a lot's cost of one unit has as many.
_UNIT = Context(prec=28)
# It takes what does not balance for a mistake when it is more than half of the last digit that a booking shows.
_TOLERANCE = "0.000000001"
_DECIMALS_IT_KEEPS = 15


def journal_lines(found: Bookings) -> Iterator[str]:
    """The lines of the journal."""
    return _Journal(found).lines()


class _Journal:
    """Gives names, the same one to the same thing."""

    def __init__(self, found: Bookings) -> None:
        self._found = found
        self._symbols: dict[str, str] = {}
        self._parts: dict[tuple[str, str], str] = {}
        self._lots: dict[tuple[str, str], str] = {}

    def lines(self) -> Iterator[str]:
        book = self._found.book
        lines = [line for entry in self._found.entries for line in entry.lines]
        first = min((entry.stored.at.date() for entry in self._found.entries), default=date(1970, 1, 1))
        assets = sorted({book.numeraire, *(line.asset for line in lines)} | self._marked())
        yield f'option "title" {_quoted(f"{book.name} at version {self._found.version}")}'
        yield f'option "operating_currency" "{self._symbol(book.numeraire)}"'
        yield f'option "inferred_tolerance_default" "*:{_TOLERANCE}"'
        yield ""
        for asset in assets:
            yield f"{first} commodity {self._symbol(asset)}"
            yield f"  asset: {_quoted(asset)}"
        rounding = {ROUNDING} if any(map(self._is_very_fine, self._found.entries)) else set()
        for account in sorted({line.account for line in lines} | rounding):
            booking = ' "NONE"' if account[0] == ASSETS else ""
            yield f"{first} open {self._account(account)}{booking}"
        for entry in self._found.entries:
            yield ""
            yield from self._price(entry.stored) if entry.stored.type == "mark" else self._entry(entry)

    def _marked(self) -> set[str]:
        return {entry.stored.asset for entry in self._found.entries if entry.stored.asset is not None}

    def _price(self, mark: StoredEvent) -> Iterator[str]:
        assert mark.asset is not None
        assert mark.price is not None
        yield f"{mark.at.date()} price {self._symbol(mark.asset)} {self._amount(mark.price, self._found.book.numeraire)}"

    def _entry(self, entry: Booking) -> Iterator[str]:
        stored = entry.stored
        yield f"{stored.at.date()} * {_quoted(stored.type)}"
        yield f"  version: {stored.version}"
        yield f"  at: {_quoted(time_text(stored.at))}"
        yield f"  key: {_quoted(stored.key)}"
        for line in entry.lines:
            yield f"  {self._account(line.account)}  {self._posted(line)}"
        if self._is_very_fine(entry):
            yield f"  {self._account(ROUNDING)}  {_TOLERANCE.replace('1', '0')} {self._symbol(self._found.book.numeraire)}"

    def _is_very_fine(self, entry: Booking) -> bool:
        """Whether all fractions of the numeraire have so many digits that beancount would take rounding for a mistake."""
        amounts = (line.amount for line in entry.lines if line.asset == self._found.book.numeraire)
        fractions = filter(None, map(_decimals, amounts))
        return min(fractions, default=0) > _DECIMALS_IT_KEEPS

    def _posted(self, line: Line) -> str:
        amount = self._amount(line.amount, line.asset)
        if line.cost is None:
            return amount
        if line.lot is None:
            return f"{amount} @@ {self._amount(line.cost, self._found.book.numeraire)}"
        return f"{amount} {{{self._lot(line.lot, line.asset, line.amount, line.cost)}}}"

    def _lot(self, opened: Origin, asset: str, amount: Decimal, cost: Decimal) -> str:
        """A lot as beancount tells it from others. The line that opens it comes first, and settles the cost of one unit."""
        label = f"{opened.version}-fee" if opened.cause == "fee" else str(opened.version)
        if (asset, label) not in self._lots:
            unit = self._amount(_UNIT.divide(cost, amount.copy_abs()), self._found.book.numeraire)
            self._lots[asset, label] = f"{unit}, {opened.at.date()}, {_quoted(label)}"
        return self._lots[asset, label]

    def _amount(self, amount: Decimal, asset: str) -> str:
        return f"{amount_text(amount)} {self._symbol(asset)}"

    def _symbol(self, asset: str) -> str:
        """The commodity of an asset."""
        if asset not in self._symbols:
            plain = _NOT_IN_A_SYMBOL.sub("-", asset.upper())
            plain = plain if plain[:1].isalpha() else f"X{plain}"
            self._symbols[asset] = _unlike(plain, set(self._symbols.values()), _SYMBOL_CHARACTERS)
        return self._symbols[asset]

    def _account(self, account: Account) -> str:
        root, *parts = account
        return ":".join([_ROOTS[root], *(self._part(root if place else "", part) for place, part in enumerate(parts))])

    def _part(self, where: str, text: str) -> str:
        """A part of an account's name, unlike those of other texts."""
        if (where, text) not in self._parts:
            plain = _NOT_IN_AN_ACCOUNT.sub("-", text)
            plain = plain[:1].upper() + plain[1:] if plain[:1].isalnum() else f"X{plain}"
            self._parts[where, text] = _unlike(plain, set(self._parts.values()), None)
        return self._parts[where, text]


def _decimals(amount: Decimal) -> int:
    return len(amount_text(amount).partition(".")[2])


def _unlike(plain: str, taken: set[str], most: int | None) -> str:
    """The name itself, or with a number behind it, so that it is not among those taken, and ends in a letter or digit."""
    for number in range(len(taken) + 2):
        end = f"-{number + 1}" if number else ""
        start = plain[: None if most is None else most - len(end)].rstrip("._'-") or "X"
        if f"{start}{end}" not in taken:
            return f"{start}{end}"
    raise AssertionError("more names than there are")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
