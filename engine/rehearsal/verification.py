"""`verify-injection`: prove, on a copy of the user's own database, that an injection does not look like profit."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from decimal import Decimal

from engine.aside import folder_aside
from engine.bookkeeper import Bookkeeper, View
from engine.capital import Movement, inject
from engine.policy.valuation import fresh_prices
from engine.upkeep.copying import copy_book
from ledger.amounts import ZERO, subtract
from ledger.book import Book
from projections.marks import Price
from projections.pnl import Pnl, pnl


@dataclass(frozen=True, slots=True)
class Delta:
    """The movement of a figure, in the numeraire.

    name:      the figure
    expected:  how it should move
    actual:    how it moved; None when it is unknown
    """

    name: str
    expected: Decimal
    actual: Decimal | None

    @property
    def holds(self) -> bool:
        """Whether it moved as expected."""
        return self.actual == self.expected


@dataclass(frozen=True, slots=True)
class Verification:
    """The outcome of an injection into a copy of the database."""

    book: Book
    deltas: list[Delta]

    @property
    def holds(self) -> bool:
        """Whether every figure moved as expected."""
        return all(delta.holds for delta in self.deltas)


def verify_injection(keeper: Bookkeeper, name: str, amount: str, prices: Mapping[str, Price]) -> Verification:
    """Inject an amount of the numeraire into a copy of the database, and compare figures before and after.

    `prices`: by asset; they take precedence over the newest marks. Every asset held needs a price or a mark of any age.
    Raises Refused `mark_missing`, `amount_must_be_positive`, …; StorageError.
    """
    with _copy(keeper, name) as copy:
        view = copy.view(name)
        known = fresh_prices(view.state, view.book, prices, at=copy.now(), max_mark_age=None)
        before = _figures(view, known)
        done = inject(copy, name, Movement(amount))
        after = _figures(copy.view(name), known)
    assert done.plan is not None
    x = done.plan.event.amount
    expected = {"NET DEPOSITS": x, "TOTAL VALUE": x, "TOTAL PNL": ZERO, "TRADING VALUE": ZERO}
    deltas = [Delta(label, expected[label], _difference(before[label], after[label])) for label in expected]
    return Verification(view.book, deltas)


def _figures(view: View, prices: Mapping[str, Price]) -> dict[str, Decimal | None]:
    figures: Pnl = pnl(view.state, prices, view.book.numeraire)
    return {
        "NET DEPOSITS": figures.net_deposits,
        "TOTAL VALUE": figures.total_value,
        "TOTAL PNL": figures.total_pnl,
        "TRADING VALUE": figures.trading_value,
    }


def _difference(before: Decimal | None, after: Decimal | None) -> Decimal | None:
    return None if before is None or after is None else subtract(after, before)


@contextmanager
def _copy(keeper: Bookkeeper, name: str) -> Iterator[Bookkeeper]:
    """A copy of a SQLite database, or of one book of a server, in a temporary folder that is removed at the end."""
    with folder_aside("verify") as folder:
        path = folder / "copy.db"
        if keeper.database.dialect == "sqlite":
            with closing(sqlite3.connect(path)) as copy:
                keeper.database.backup_to(copy)
        else:
            with Bookkeeper.open(str(path), "create") as copied:
                copy_book(keeper.database, copied.database, name)
        with Bookkeeper.open(str(path), "write") as copied:
            yield copied
