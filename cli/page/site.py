"""What one server shows, and what its process keeps: the last check, and the course of each book.

A check is run at the start and every hour, one at a time; no request starts one. The course of a book is read on by a thread
of its own, and by a request when little is missing, so that no request reads a long log.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, tzinfo

from engine.columns.manifest import has_segments
from engine.cost_basis import CostMethod
from engine.paper.strategy_config import Strategy
from engine.proof.check import LedgerReport, check_ledger
from engine.proof.request import CheckRequest
from engine.reports.history import History
from engine.reports.paging import COUNTED
from engine.reports.prometheus import LastCheck
from engine.views import NOW, Moment
from ledger import store
from ledger.book import Book, Head
from ledger.database.connections import Database
from ledger.errors import NetbasisError

CHECK_EVERY_S = 3_600.0
LOOK_EVERY_S, PAUSE_S = 2.0, 0.005
# How many events a request folds at most, and how many it holds in memory at most.
FOLDED = 200_000
HELD = 50_000
HEAVY_AT_ONCE, HEAVY_WAIT_S = 2, 10.0
TO_END_S, GIVE_WAY_S = 5.0, 1.0
READ_AT_ONCE = 1_000


class Busy(Exception):
    """Others are at work that takes long."""


class _Stopped(Exception):
    """The server ends."""


class TooLong(Exception):
    """The log is too long for what a request may do; `command` does it."""

    def __init__(self, events: int, most: int, command: str) -> None:
        super().__init__(events, most, command)
        self.events, self.most, self.command = events, most, command


@dataclass(frozen=True, slots=True)
class KeptCheck:
    """The last check.

    at, seconds:  when it ended, UTC; how long it took
    found:        what it found; None when the ledger could not be read
    failed:       why not; None when it could be
    """

    at: datetime
    seconds: float
    found: LedgerReport | None
    failed: NetbasisError | None = None


@dataclass(slots=True)
class Site:
    """What a server shows.

    database:   open for reading
    book:       the only book that is shown; None for all of the ledger
    clock:      the time, UTC
    zone:       of days and months; None for UTC
    method:     how cost basis is counted unless an address says otherwise
    strategy:   whose exposure is shown; None for none
    say:        where a fault is told to whoever runs the server
    """

    database: Database
    book: str | None
    clock: Callable[[], datetime]
    zone: tzinfo | None
    method: CostMethod
    strategy: Strategy | None
    say: Callable[[str], None]

    def books(self) -> list[str]:
        """The names of the books that are shown. Raises StorageError."""
        if self.book is not None:
            return [self.book]
        with self.database.reading() as connection:
            return store.book_names(connection)

    def is_sealed(self, name: str) -> bool:
        """Whether old events of a book stand in segments too, from which a past moment is soon read. Raises StorageError."""
        with self.database.reading() as connection:
            return has_segments(connection, name)

    def terms(self, name: str) -> tuple[Book, Head]:
        """A book's terms and head. Raises Refused `book_unknown`; StorageError."""
        with self.database.reading() as connection:
            return store.require_book(connection, name)


class SiteCache:
    """What a server's process keeps about the books of its site. `start` begins; `stop` ends it."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._stopped = threading.Event()
        self._histories: dict[str, History] = {}
        self._lock = threading.Lock()
        self._heavy = threading.BoundedSemaphore(HEAVY_AT_ONCE)
        self._count = threading.Lock()
        self._requests = 0
        self._checking_since: datetime | None = None
        self.last_check: KeptCheck | None = None
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._check_on, self._read_on)]

    def start(self) -> None:
        """Begin to check, and to read the course of the books."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let everything end, as soon as what is being read is read."""
        self._stopped.set()

    def end(self) -> None:
        """Stop, and wait for the reads in progress, up to a limit."""
        self.stop()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(TO_END_S)

    @property
    def is_stopped(self) -> bool:
        """Whether it was told to end."""
        return self._stopped.is_set()

    @property
    def checking_since(self) -> datetime | None:
        """Since when a check runs; None when none does."""
        return self._checking_since

    def check(self) -> None:
        """Run a check and keep what it says."""
        self._checking_since = began = self._site.clock()
        clock = time.monotonic()
        found, failed = None, None
        try:
            request = CheckRequest(now=began, on_progress=self._go_on)
            found = check_ledger(self._site.database, self._site.book, request)
        except _Stopped:
            return
        except NetbasisError as error:
            failed = error
            self._site.say(f"the check could not be run: {error}")
        self.last_check = KeptCheck(self._site.clock(), time.monotonic() - clock, found, failed)
        self._checking_since = None

    @contextmanager
    def answering(self) -> Iterator[None]:
        """While a request is answered, background work pauses."""
        with self._count:
            self._requests += 1
        try:
            yield
        finally:
            with self._count:
                self._requests -= 1

    def _give_way(self) -> None:
        """Wait, up to a limit, until no request is being answered."""
        end = time.monotonic() + GIVE_WAY_S
        while self._requests and time.monotonic() < end and not self.is_stopped:
            self._stopped.wait(PAUSE_S)

    def _go_on(self, _version: int) -> None:
        self._give_way()
        if self.is_stopped:
            raise _Stopped

    def last_checks(self) -> Mapping[str, LastCheck]:
        """The last check by book, for Prometheus; none while there was none."""
        last = self.last_check
        if last is None or last.found is None:
            return {}
        of_ledger = len(last.found.findings)
        return {
            book.book: LastCheck(last.at, of_ledger + len(book.findings))
            for book in last.found.books
            if book.book is not None
        }

    def _check_on(self) -> None:
        while not self.is_stopped:
            self.check()
            self._stopped.wait(CHECK_EVERY_S)

    def _read_on(self) -> None:
        while not self.is_stopped:
            try:
                for name in self._site.books():
                    self._read_all(name)
            except NetbasisError as error:
                self._site.say(f"the course of the books could not be read: {error}")
            self._stopped.wait(LOOK_EVERY_S)

    def _read_all(self, name: str) -> None:
        while self._read_a_part(name):
            self._give_way()
            if self._stopped.wait(PAUSE_S):
                return

    def _read_a_part(self, name: str) -> bool:
        with self._lock:
            history = self._histories.get(name)
            if history is None or history.is_outdated:
                history = self._histories[name] = History(self._site.terms(name)[0])
            return history.take_in(self._site.database, READ_AT_ONCE)

    @contextmanager
    def history(self, name: str, moment: Moment = NOW) -> Iterator[History]:
        """The course of a book, as far as it was read; nobody changes it meanwhile. Raises as `engine.views.view_at`."""
        if not moment.is_now:
            yield self._history_at(name, moment)
            return
        _, head = self._site.terms(name)
        with self._lock:
            read = self._histories[name].version if name in self._histories else 0
        if head.version - read <= COUNTED:
            while self._read_a_part(name):
                pass
        with self._lock:
            yield self._histories.get(name) or History(self._site.terms(name)[0])

    def _history_at(self, name: str, moment: Moment) -> History:
        book, head = self._site.terms(name)
        require_short(moment.version_of(head), FOLDED, "netbasis pnl --as-of …")
        history = History(book, moment)
        with self.heavy():
            while history.take_in(self._site.database, FOLDED):
                pass
        return history

    @contextmanager
    def held(self, name: str, moment: Moment, command: str) -> Iterator[None]:
        """For work that holds a book in memory. Raises TooLong, naming the command that does it; Busy."""
        _, head = self._site.terms(name)
        require_short(moment.version_of(head), HELD, command)
        with self.heavy():
            yield

    @contextmanager
    def heavy(self) -> Iterator[None]:
        """For work that takes long: only some requests do it at once. Raises Busy."""
        if not self._heavy.acquire(timeout=HEAVY_WAIT_S):
            raise Busy
        try:
            yield
        finally:
            self._heavy.release()


def require_short(events: int, most: int, command: str) -> None:
    """Raises TooLong when there are more events than a request may read."""
    if events > most:
        raise TooLong(events, most, command)
