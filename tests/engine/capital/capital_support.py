"""What the tests of capital share: the first user's book, writers that are killed, and a log that a forger rewrote."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

from engine.bookkeeper import Bookkeeper
from engine.upkeep.rebuild import rebuild
from ledger.book import GENESIS_HASH
from ledger.events import event_from
from ledger.stored import chain_hash
from projections.marks import Price
from projections.pnl import Pnl, pnl
from projections.state import BookState
from tests.ledger.database.store_support import tampering
from tests.script_server import run_program
from tests.support import BOOK, START, event

GIVE_UP_S = 60  # a child that hangs fails its test; no test depends on how long a child takes

# 39.27 XRP × 1.3314 + 85.00 RLUSD: the first user's basis and starting value.
FIRST_BASIS = "137.284078"

# The first user's deposits, from before the basis was kept.
FIRST_DEPOSITS: tuple[dict[str, Any], ...] = (
    {"type": "deposit", "key": "d:1", "asset": "XRP", "amount": "39.27", "price": "1.3314", "basis_unknown": True},
    {"type": "deposit", "key": "d:2", "asset": "RLUSD", "amount": "85.00", "basis_unknown": True},
)
FIRST_COMMIT: dict[str, Any] = {
    "type": "basis_commit",
    "key": "synthetic_initial_basis",
    "source_note": "synthetic_initial_basis",
    "basis_delta": FIRST_BASIS,
}


def open_desk(keeper: Bookkeeper, mark: str | None = "1.3998") -> None:
    """The first user's book, its basis committed, at version 4; and at version 5 a mark of XRP, if any.

    At 1.3998 there are 139.970146 of equity on a basis of 137.284078: 2.686068 of profit.
    """
    keeper.append_all(BOOK, [event_from(fields) for fields in (*FIRST_DEPOSITS, FIRST_COMMIT)])
    if mark is not None:
        keeper.append(BOOK, event("mark", asset="XRP", price=mark, price_source="desk", key="m:1"))


def price_of(price: str, source: str | None = "test") -> Price:
    """A price at START."""
    return Price(Decimal(price), source, START)


def pnl_now(keeper: Bookkeeper, prices: Mapping[str, Price] | None = None, book: str = BOOK) -> Pnl:
    """PnL of the book as it stands, at `prices` or else the newest marks."""
    return pnl_of(keeper.view(book).state, prices)


def pnl_of(state: BookState, prices: Mapping[str, Price] | None = None) -> Pnl:
    """PnL of a state in RLUSD, at `prices` or else the newest marks."""
    return pnl(state, state.marks if prices is None else prices, "RLUSD")


def run_child(program: str, *arguments: str | Path) -> int:
    """Run a Python program to its end in a process of its own; its exit code."""
    done = run_program(program, *arguments)
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done.returncode


KILLED = 9

_KILLED_WRITER = f"""
import os, sys
from engine.bookkeeper import Bookkeeper
from ledger.events import event_from

keeper = Bookkeeper.open(sys.argv[1], "write")
keeper.append("main", event_from({{"type": "deposit", "asset": "RLUSD", "amount": "7", "key": "committed"}}))
with keeper.transaction("main") as transaction:
    transaction.append(event_from({{"type": "deposit", "asset": "RLUSD", "amount": "9", "key": "lost"}}))
    os._exit({KILLED})
"""


def leave_a_wal(ledger: Path) -> None:
    """A writer that deposits 7 RLUSD and is killed while it deposits 9 more: what it committed is only in the WAL."""
    before = ledger.read_bytes()
    assert run_child(_KILLED_WRITER, ledger) == KILLED
    assert ledger.with_name(f"{ledger.name}-wal").stat().st_size > 0
    assert ledger.read_bytes() == before


def rewrite(path: Path, version: int, change: Callable[[dict[str, Any]], None], **columns: object) -> None:
    """Rewrite one event as a forger does who can count: its body, every later hash, the book's row, the projections.

    `change` edits the body's fields; `columns` are the copies beside the body that have to follow it.
    """
    with tampering(path) as connection:
        digest = GENESIS_HASH
        for place, body in connection.execute("SELECT version, body FROM events ORDER BY version").fetchall():
            written = body
            if place == version:
                fields = json.loads(body)
                change(fields)
                written = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
                assert written != body, "the forger changed nothing"
            digest = chain_hash(digest, written)
            connection.execute("UPDATE events SET body = ?, hash = ? WHERE version = ?", (written, digest, place))
        connection.execute("UPDATE books SET head_hash = ?", (digest,))
        for name, column in columns.items():
            connection.execute(f"UPDATE events SET {name} = ? WHERE version = ?", (column, version))
    with Bookkeeper.open(str(path)) as keeper:
        rebuild(keeper.database, BOOK)


def overwrite_page(ledger: Path, table: str) -> None:
    """Overwrite the page at the root of a table, as a disk does that lost a write."""
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as connection:
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    with ledger.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\x5a" * size)
