"""What several test modules share: a clock and ids that tests own, and a real ledger in a temporary folder."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TypeVar

from engine.bookkeeper import Bookkeeper
from ledger import store
from ledger.events import Event, Opened, event_from
from ledger.stored import StoredEvent

ROOT = Path(__file__).parents[1]
START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
BOOK = "main"
T = TypeVar("T")

# The fewest fields that make an event of each type legal in the book that `open_keeper` opens; version 2 is reversed.
SMALLEST: dict[str, dict[str, object]] = {
    "opened": {"mode": "live"},
    "fill": {"side": "buy", "base_asset": "XRP", "base_amount": "10", "quote_asset": "RLUSD", "quote_amount": "13.30"},
    "deposit": {"asset": "RLUSD", "amount": "50"},
    "withdrawal": {"asset": "RLUSD", "amount": "20", "basis_delta": "-12.5"},
    "basis_commit": {"basis_delta": "137.284078"},
    "mark": {"asset": "XRP", "price": "1.3314"},
    "adjustment": {"asset": "XRP", "amount": "-0.000012", "reason": "network_fee"},
    "baseline": {"starting_value": "137.284078"},
    "reversal": {"reverses": 2},
}


class TickingClock:
    """A clock that moves on by `step` each time it is read. The first reading is `now`."""

    def __init__(self, now: datetime = START, step: timedelta = timedelta(seconds=1)) -> None:
        self.now = now
        self.step = step

    def __call__(self) -> datetime:
        now = self.now
        self.now += self.step
        return now


class SequentialIds:
    """Event ids in the form of a UUID: …000000000001, …000000000002 and so on; `after` others where a ledger has some."""

    def __init__(self, after: int = 0) -> None:
        self.count = after

    def __call__(self) -> str:
        self.count += 1
        return f"00000000-0000-4000-8000-{self.count:012d}"


def ledger_file(folder: Path, name: str = "ledger.db") -> Path:
    """The path of a new, migrated ledger without a book. Migrated once per process, then copied: it is much quicker."""
    path = folder / name
    path.write_bytes(_migrated())
    return path


@cache
def _migrated() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "migrated.db"
        Bookkeeper.open(str(path), "create").close()
        return path.read_bytes()


def open_keeper(
    folder: Path, *, name: str = "ledger.db", location: str | None = None, book: str | None = BOOK, **terms: object
) -> Bookkeeper:
    """A Bookkeeper on a new ledger, with ticking clock and sequential ids; to be closed by the caller.

    The ledger is a file in `folder`, or made at `location`. With a `book`, it is open at version 1: numeraire RLUSD, base
    asset XRP, mode live, or what `terms` say.
    """
    if location is None and book == BOOK and not terms:
        content, now, ids = _opened()
        (folder / name).write_bytes(content)
        return Bookkeeper.open(str(folder / name), clock=TickingClock(now), new_id=SequentialIds(ids))
    place = location or str(ledger_file(folder, name))
    keeper = Bookkeeper.open(place, "create" if location else "write", clock=TickingClock(), new_id=SequentialIds())
    if book is not None:
        keeper.open_book(book, Opened.model_validate({"mode": "live", **terms}))
    return keeper


@cache
def _opened() -> tuple[bytes, datetime, int]:
    """A ledger whose book is open, and where its clock and ids go on; to be copied, as it is with the migrated one."""
    clock, new_id = TickingClock(), SequentialIds()
    with tempfile.TemporaryDirectory() as folder:
        path = ledger_file(Path(folder))
        with Bookkeeper.open(str(path), clock=clock, new_id=new_id) as keeper:
            keeper.open_book(BOOK, Opened(mode="live"))
        return path.read_bytes(), clock.now, new_id.count


def it_is(keeper: Bookkeeper, now: datetime) -> None:
    """Set the clock of a Bookkeeper that `open_keeper` opened."""
    clock = keeper._clock
    assert isinstance(clock, TickingClock)
    clock.now = now


def event(kind: str, **fields: object) -> Event:
    """The event that JSON fields would give: `event("deposit", asset="RLUSD", amount="50")`."""
    return event_from({"type": kind, **fields})


def log_of(keeper: Bookkeeper, book: str = BOOK, *, after: int = 0) -> list[StoredEvent]:
    """The book's stored events, read back from the database."""
    with keeper.database.reading() as connection:
        return list(store.read_events(connection, book, after=after))


# Where columns, types and values are crossed, what is left out in one place is tried in another: what is wrong is so in most
# of them. NETBASIS_EVERYTHING=1 leaves nothing out.
EVERYTHING = "NETBASIS_EVERYTHING" in os.environ


def a_share_of(values: Collection[T], number: int, parts: int = 7) -> Sequence[T]:
    """Every seventh of some values, beginning at another one for each number."""
    return list(values) if EVERYTHING else list(values)[number % parts :: parts]


def is_stopped(pid: int) -> bool:
    """Whether a process stands still, as after SIGSTOP."""
    shown = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.strip().startswith("T")
