"""The events of a paper session, whose keys also say how far the session has come on its tape.

An event's key is `<session>:<16 digits of the tape's SHA-256>:<row>:<buy, sell or mark>`. The row is padded, so keys sort
in the order of rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, func, select

from engine.paper.quoting import TradedLots
from engine.paper.tape import Tape, Tick
from ledger.book import Book
from ledger.database.tables import events
from ledger.events import Fill, Mark

MARK_SOURCE = "tape"
_HASH_DIGITS = 16
_ROW_DIGITS = 12


def default_session(tape: Tape) -> str:
    """The default id of a session: the same for the same tape, so that a session can be resumed."""
    return f"paper-{tape.sha256[:_HASH_DIGITS]}"


@dataclass(frozen=True, slots=True)
class Scribe:
    """Makes the events of a session, and finds the last row that has one.

    book:     the book's terms
    session:  the session's id
    tape:     the tape
    """

    book: Book
    session: str
    tape: Tape

    def row_done(self, connection: Connection) -> int:
        """The last row for which the session has an event; 0 for none."""
        greatest = select(func.max(events.c.key)).where(
            events.c.book == self.book.name,
            events.c.session_id == self.session,
            events.c.key >= self._key(0, ""),
            events.c.key <= self._key(10**_ROW_DIGITS - 1, "~"),
        )
        key = connection.scalar(greatest)
        return 0 if key is None else int(key.removeprefix(self._prefix)[:_ROW_DIGITS])

    def fill(self, tick: Tick, traded: TradedLots) -> Fill:
        """The fill of a quote at a row of the tape."""
        side: Literal["buy", "sell"] = "buy" if traded.side == "bid" else "sell"
        return Fill(
            at=tick.at,
            key=self._key(tick.row, side),
            session_id=self.session,
            side=side,
            base_asset=self.book.base_asset,
            base_amount=traded.base_amount,
            quote_asset=self.book.numeraire,
            quote_amount=traded.quote_amount,
            fee_asset=self.book.numeraire,
            fee_amount=traded.fee,
            liquidity="maker",
        )

    def mark(self, tick: Tick) -> Mark:
        """The mid price of a row of the tape, as a mark."""
        return Mark(
            at=tick.at,
            key=self._key(tick.row, "mark"),
            session_id=self.session,
            asset=self.book.base_asset,
            price=tick.mid,
            price_source=MARK_SOURCE,
        )

    @property
    def _prefix(self) -> str:
        return f"{self.session}:{self.tape.sha256[:_HASH_DIGITS]}:"

    def _key(self, row: int, what: str) -> str:
        return f"{self._prefix}{row:0{_ROW_DIGITS}}:{what}"
