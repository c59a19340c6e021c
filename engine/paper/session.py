"""A paper session: the quoting loop over a recorded tape, with its fills and marks recorded in a paper book.

A row of the tape first fills the quotes made after the previous row. Then it moves mid price and anchor, from which the next
quotes are made. Rows are processed some hundred at a time: their events are computed from the ledger's balances, and
appended in one transaction that expects the version at which the balances were read. If somebody else wrote in between (a
deposit), the balances are read again and the rows are processed again, so nothing is decided on outdated balances.

A session that was stopped, even by SIGKILL, resumes when it is started again with the same tape and session id. A
transaction has all events of its rows, so the highest key of the session (`engine.paper.events`) says which row is done.
The balances come from the ledger, and the anchor is recomputed from the tape. The last row of a tape is always recorded as
a mark, so a finished session is recognised.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from engine.bookkeeper import Bookkeeper
from engine.paper.anchor import Observation, observations
from engine.paper.events import Scribe, default_session
from engine.paper.quoting import Balances, Quoter, QuoteSide, Reason, settle
from engine.paper.session_log import IdleRow, Silence, log_record
from engine.paper.strategy_config import Strategy
from engine.paper.tape import Tape, read_tape
from engine.projection_store import load_rows, stored_state
from ledger import store
from ledger.book import Book
from ledger.errors import Refusal, Refused, VersionPassed, shown
from ledger.events import Event
from ledger.integrity.file_damage import require_sound_file
from ledger.texts import parse_text

ROWS_AT_ONCE = 250
SESSION_CHARACTERS = 100
_PROGRESS_STEPS = 10


@dataclass(frozen=True, slots=True)
class PaperRun:
    """What a run of a session did. A row is identified by its line in the tape.

    book, session, tape:  what it ran on
    resumed_after:        the last row of earlier runs; 0 without one
    row:                  the last row done
    fills, marks:         how many this run recorded
    idle_rows:            by side and reason, how many rows of this run had no quote
    balances:             the book's at the end
    version:              the book's at the end
    """

    book: Book
    session: str
    tape: Tape
    resumed_after: int
    row: int
    fills: int
    marks: int
    idle_rows: Mapping[tuple[QuoteSide, Reason], int]
    balances: Balances
    version: int

    @property
    def is_finished(self) -> bool:
        """Whether the tape is done to its end."""
        return self.row == self.tape.last_row


@dataclass(frozen=True, slots=True)
class _Standing:
    """What the ledger says about a session.

    row:       the last row for which it has an event; 0 for none
    balances:  the book's
    version:   the book's
    """

    row: int
    balances: Balances
    version: int


@dataclass(frozen=True, slots=True)
class _Lot:
    """The outcome of some rows of the tape.

    events:    to be appended
    row:       the last of the rows that has an event; 0 for none
    balances:  after the rows
    idle:      the rows after which a side has no quote
    """

    events: list[Event]
    row: int
    balances: Balances
    idle: list[IdleRow]


def run_session(
    keeper: Bookkeeper,
    name: str,
    tape: Path,
    strategy: Strategy,
    session: str | None = None,
    *,
    should_stop: Callable[[], bool] = lambda: False,
) -> PaperRun:
    """Run a tape in a paper book, or resume it.

    `session`: its id; None for the tape's default. `should_stop`: called before each lot of rows. Nothing is written before
    the database file is checked for damage and every row of the tape was read once. Raises Refused `book_is_live`,
    `tape_malformed`, …; VersionPassed when another process runs the same session; StorageError, among them
    `database_damaged`; OSError for a tape that cannot be read.
    """
    if session is not None:
        parse_text(session, characters=SESSION_CHARACTERS)
    with keeper.database.reading() as connection:
        require_sound_file(connection)
        book, _ = store.require_book(connection, name)
    if book.mode != "paper":
        raise Refused(
            Refusal.BOOK_IS_LIVE,
            "a paper session does not write to a live book",
            expected="a paper book",
            actual=book.name,
            advice="open one with `netbasis --book NAME init --mode paper`, and name it with --book",
        )
    read = read_tape(tape)
    return _Session(keeper, book, read, strategy, session or default_session(read)).run(should_stop)


class _Session:
    """A running session: its position on the tape, and the ledger's state that it decides on."""

    def __init__(self, keeper: Bookkeeper, book: Book, tape: Tape, strategy: Strategy, session: str) -> None:
        self._keeper = keeper
        self._book = book
        self._tape = tape
        self._scribe = Scribe(book, session, tape)
        self._quoter = Quoter(strategy)
        self._silence = Silence(strategy.log_interval)
        self._standing = self._read_standing()
        self._row = self._standing.row

    def run(self, should_stop: Callable[[], bool]) -> PaperRun:
        """Process the tape from where an earlier run ended."""
        resumed_after = self._row
        self._log("session_started", rows=self._tape.rows, resumed_after=resumed_after)
        observed = self._observed()
        newest = _up_to(observed, resumed_after)
        fills = marks = 0
        while not should_stop() and (rows := list(islice(observed, ROWS_AT_ONCE))):
            lot = self._take(newest, rows)
            newest, self._row = rows[-1], rows[-1].tick.row
            fills += sum(event.kind == "fill" for event in lot.events)
            marks += sum(event.kind == "mark" for event in lot.events)
            self._silence.take(lot.idle)
            self._report(rows, fills)
        self._log("session_ended", row=self._row, fills=fills, marks=marks)
        return PaperRun(
            book=self._book,
            session=self._scribe.session,
            tape=self._tape,
            resumed_after=resumed_after,
            row=self._row,
            fills=fills,
            marks=marks,
            idle_rows=dict(self._silence.rows),
            balances=self._standing.balances,
            version=self._standing.version,
        )

    def _observed(self) -> Iterator[Observation]:
        strategy = self._quoter.strategy
        return observations(
            self._tape.ticks(),
            window=strategy.anchor_window,
            mark_interval=strategy.mark_interval,
            last_row=self._tape.last_row,
        )

    def _take(self, newest: Observation | None, rows: list[Observation]) -> _Lot:
        """Process some rows and record their events. `newest`: the row before them; None for none."""
        while True:
            lot = self._trade(newest, rows)
            try:
                version = self._record(lot.events)
            except VersionPassed:
                self._catch_up()
            else:
                self._standing = _Standing(lot.row or self._standing.row, lot.balances, version)
                return lot

    def _trade(self, newest: Observation | None, rows: list[Observation]) -> _Lot:
        quoter, balances = self._quoter, self._standing.balances
        made: list[Event] = []
        row = 0
        idle: list[IdleRow] = []
        quotes = quoter.intents(newest, balances).quotes if newest is not None else ()
        for market in rows:
            for quote in quotes:
                traded = quoter.trade(quote, market.tick)
                if traded is not None:
                    balances = settle(balances, traded)
                    made.append(self._scribe.fill(market.tick, traded))
                    row = market.tick.row
            if market.is_mark:
                made.append(self._scribe.mark(market.tick))
                row = market.tick.row
            intents = quoter.intents(market, balances)
            quotes = intents.quotes
            if not intents.is_complete:
                idle.append(IdleRow(market, intents, balances))
        return _Lot(made, row, balances, idle)

    def _record(self, made: list[Event]) -> int:
        """Append the events in one transaction; returns the book's version afterwards. Raises VersionPassed."""
        expected = self._standing.version
        if not made:
            with self._keeper.database.reading() as connection:
                _, head = store.require_book(connection, self._book.name)
            if head.version != expected:
                raise VersionPassed(self._book.name, expected, head.version)
            return expected
        appended = self._keeper.append_all(self._book.name, made, expected_version=expected)
        if appended.existed:  # another process has recorded these rows since this run read the ledger
            raise VersionPassed(self._book.name, expected, appended.head.version)
        return appended.head.version

    def _catch_up(self) -> None:
        """Somebody else wrote: read the ledger again. Raises VersionPassed when that was the same session."""
        before, self._standing = self._standing, self._read_standing()
        # With an unchanged version, events of these rows existed unnoticed, and a retry would find them again.
        if self._standing.row != before.row or self._standing.version == before.version:
            passed = VersionPassed(self._book.name, before.version, self._standing.version)
            passed.advice = f"another process runs the session {shown(self._scribe.session)}: run it only once"
            raise passed

    def _read_standing(self) -> _Standing:
        with self._keeper.database.reading() as connection:
            book, head = store.require_book(connection, self._book.name)
            inventory = stored_state(load_rows(connection, book.name), book, head).inventory
            balances = Balances(inventory.balance(book.base_asset), inventory.balance(book.numeraire))
            return _Standing(self._scribe.row_done(connection), balances, head.version)

    def _report(self, rows: list[Observation], fills: int) -> None:
        first, last = rows[0].tick.row, rows[-1].tick.row
        log_record(logging.DEBUG, "rows_recorded", row=last, at=rows[-1].tick.at, version=self._standing.version)
        step = max(self._tape.last_row // _PROGRESS_STEPS, 1)
        if first // step != last // step:
            self._log("progress", row=last, of=self._tape.last_row, at=rows[-1].tick.at, fills=fills)

    def _log(self, name: str, **fields: object) -> None:
        balances = {"base_balance": self._standing.balances.base, "quote_balance": self._standing.balances.quote}
        log_record(logging.INFO, name, session=self._scribe.session, **fields, **balances)


def _up_to(observed: Iterator[Observation], row: int) -> Observation | None:
    """Skip the rows that are done, feeding the anchor; returns the last of them, None when none is done."""
    if row == 0:
        return None
    return next(market for market in observed if market.tick.row >= row)
