"""`export hledger`: a journal for hledger, with types of accounts, prices, and a subaccount for each lot.

A lot is a subaccount named by the version that opened it, at its cost (`@@`). So every version of hledger reads it, with
or without lot tracking of its own, and `bal -B` is the cost of what is held. All accounts and commodities are declared:
`hledger check --strict` holds. Names that hledger would read otherwise are percent-encoded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Literal

from engine.exports.bookings import ASSETS, EQUITY, EXPENSES, GAINS, REVENUES, Account, Booking, Bookings, Line
from ledger.amounts import ZERO, amount_text
from ledger.stored import StoredEvent
from ledger.times import time_text

GainsType = Literal["G", "R"]
_PLAIN_SYMBOL = re.compile(r"[A-Za-z]+", re.ASCII)
_SAFE = "._-@#+/ "


def journal_lines(found: Bookings, gains_type: GainsType = "G") -> Iterator[str]:
    """The lines of the journal. `gains_type`: G, or R for a hledger that does not know the type G."""
    book = found.book
    yield f"; the book {encoded(book.name)} at version {found.version}, in {_symbol(book.numeraire)}; written by netbasis"
    yield ""
    yield from _declarations(found, gains_type)
    for entry in found.entries:
        yield ""
        yield from (
            _price(entry.stored, book.numeraire) if entry.stored.type == "mark" else _entry(entry, book.numeraire)
        )


def _declarations(found: Bookings, gains_type: GainsType) -> Iterator[str]:
    """The accounts, the upper ones with their types, and the commodities."""
    book = found.book
    types = {
        (ASSETS,): "A",
        (ASSETS, book.name, book.numeraire): "C",
        (EQUITY,): "E",
        (REVENUES,): "R",
        GAINS: gains_type,
        (EXPENSES,): "X",
    }
    lines = [line for entry in found.entries for line in entry.lines]
    for account in dict.fromkeys([*types, *sorted({_of(line) for line in lines})]):
        kind = types.get(account)
        yield f"account {_account(account)}" + (f"  ; type: {kind}" if kind else "")
    decimals = {book.numeraire: 2}
    for asset, amount in _amounts(found):
        decimals[asset] = max(decimals.get(asset, 0), len(amount_text(amount).partition(".")[2]))
    for asset, digits in sorted(decimals.items()):
        yield f"commodity 1.{'0' * digits} {_symbol(asset)}"


def _amounts(found: Bookings) -> Iterator[tuple[str, Decimal]]:
    """Every amount of an asset that the journal has; costs and prices are in the numeraire."""
    for entry in found.entries:
        if entry.stored.type == "mark" and entry.stored.asset is not None:
            yield entry.stored.asset, ZERO
        for line in entry.lines:
            yield line.asset, line.amount
            if line.cost is not None:
                yield found.book.numeraire, line.cost


def _price(mark: StoredEvent, numeraire: str) -> Iterator[str]:
    assert mark.asset is not None
    assert mark.price is not None
    yield f"P {mark.at.date()} {_symbol(mark.asset)} {_amount(mark.price, numeraire)}"


def _entry(entry: Booking, numeraire: str) -> Iterator[str]:
    stored = entry.stored
    tags = f"version:{stored.version}, at:{time_text(stored.at)}, key:{encoded(stored.key, safe=_SAFE)}"
    yield f"{stored.at.date()} * {stored.type}  ; {tags}"
    for line in entry.lines:
        yield f"    {_account(_of(line))}  {_posted(line, numeraire)}"


def _of(line: Line) -> Account:
    return line.account if line.lot is None else (*line.account, str(line.lot.version))


def _posted(line: Line, numeraire: str) -> str:
    cost = "" if line.cost is None else f" @@ {_amount(line.cost, numeraire)}"
    return f"{_amount(line.amount, line.asset)}{cost}"


def _amount(amount: Decimal, asset: str) -> str:
    return f"{amount_text(amount)} {_symbol(asset)}"


def _symbol(asset: str) -> str:
    """A commodity: letters as they are, anything else in quotes, without the characters that cannot stand in them."""
    if _PLAIN_SYMBOL.fullmatch(asset):
        return asset
    return f'"{encoded(asset, safe="._-@#+/:$€")}"'


def _account(account: Account) -> str:
    return ":".join(encoded(part) for part in account)


def encoded(text: str, safe: str = _SAFE) -> str:
    """A text in which letters, digits and `safe` stand for themselves, and anything else for its bytes in UTF-8: `%3A`.

    Blanks stand for themselves one at a time; two in a row would end the name of an account.
    """
    found = "".join(
        letter if letter.isalnum() or letter in safe else "".join(f"%{byte:02X}" for byte in letter.encode())
        for letter in text
    )
    return re.sub(r"^ | $|(?<= ) ", "%20", found)
