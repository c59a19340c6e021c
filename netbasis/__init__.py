"""The front door: what a bot needs, under one name.

    from netbasis import Bookkeeper, Fill

    with Bookkeeper.open("live.db") as keeper:
        keeper.append("main", Fill(side="buy", base_asset="XRP", base_amount="10", quote_asset="RLUSD", …, key="venue:1"))

Everything here is defined elsewhere; nothing inside netbasis imports it.
"""

from importlib.metadata import version

from engine.bookkeeper import AppendReport, Bookkeeper, View
from engine.capital import Movement, backfill_basis, inject, reverse, withdraw
from engine.proof.check import check
from engine.transaction import Transaction
from engine.upkeep.rebuild import rebuild
from engine.views import Moment, view_at
from ledger.appender import Outcome
from ledger.book import Book, Head
from ledger.errors import Conflict, NetbasisError, Refused, StorageError
from ledger.events import (
    Adjustment,
    Baseline,
    BasisCommit,
    Deposit,
    Event,
    Fill,
    Mark,
    Opened,
    Reversal,
    Withdrawal,
)
from ledger.stored import StoredEvent
from projections.pnl import Pnl, pnl
from projections.state import BookState

__version__ = version("netbasis")

__all__ = [
    "Adjustment",
    "AppendReport",
    "Baseline",
    "BasisCommit",
    "Book",
    "BookState",
    "Bookkeeper",
    "Conflict",
    "Deposit",
    "Event",
    "Fill",
    "Head",
    "Mark",
    "Moment",
    "Movement",
    "NetbasisError",
    "Opened",
    "Outcome",
    "Pnl",
    "Refused",
    "Reversal",
    "StorageError",
    "StoredEvent",
    "Transaction",
    "View",
    "Withdrawal",
    "backfill_basis",
    "check",
    "inject",
    "pnl",
    "rebuild",
    "reverse",
    "view_at",
    "withdraw",
]
