"""One import: files of one or several kinds are read, put in the order of time, and landed in a book.

    read        every file's rows are put aside (`engine.importers.spool`), so that memory stays flat and a file that cannot
                be read as its kind stops the import before anything is written
    land        batch by batch in one transaction each (`engine.importers.landing`); all of it in one with `is_strict`
    report      what was added, was there, was quarantined, waits, or is held back

A dry run lands the rows in a rehearsal, which only reads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

from sqlalchemy import Connection

from engine import inbox
from engine.bookkeeper import Bookkeeper
from engine.importers.items import Kind, QuarantinedRow, Settings, Unreadable
from engine.importers.kinds import kind_named, kind_of
from engine.importers.landing import MARKER, Landing, Policy, Progress
from engine.importers.pricing import Known
from engine.importers.sources import FileSource, StandardInput, sample_of
from engine.importers.spool import Spool, SpooledRow, Tally, spooled
from engine.inbox import Entry, Waiting
from engine.retrying import always, retry
from ledger import store
from ledger.book import Book, Head
from ledger.errors import Refusal, Refused
from ledger.progress import OnProgress

ROWS_IN_A_BATCH = 5000

AnySource = FileSource | StandardInput


@dataclass(frozen=True, slots=True)
class Files:
    """Files of one kind."""

    kind: Kind
    sources: Sequence[AnySource]


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did, or in a dry run would do.

    book:         its terms
    head:         the end of its log afterwards
    kinds:        the kinds that were read
    rows:         how many different rows the files have
    added:        by event type, how many events are new
    existed:      how many rows were in the book already
    same:         how many rows are movements that the book had under another key
    internal:     how many rows moved between two accounts of the book, and are no capital
    repeated:     how many rows stand in the files more than once
    dismissed:    how many rows a person has dismissed before
    passed_over:  by reason, how many rows move nothing
    contracts:    by symbol, how many rows of positions, which are no fills
    quarantined:  rows that did not go in, at most the first 10,000
    quarantine:   how many there were
    waiting:      the movements of these files that wait in the inbox
    stopped_at:   the entry behind which rows are held back; None while none are
    held:         how many rows are held back
    inbox:        how much waits in the whole inbox afterwards
    is_written:   False for a dry run, and for a strict import that did not take everything
    is_refused:   True for the latter
    """

    book: Book
    head: Head
    kinds: Sequence[str]
    rows: int
    added: Counter[str]
    existed: int
    same: int
    internal: int
    repeated: int
    dismissed: int
    passed_over: Counter[str]
    contracts: Counter[str]
    quarantined: Sequence[QuarantinedRow]
    quarantine: int
    waiting: Sequence[Entry]
    stopped_at: Entry | None
    held: int
    inbox: Waiting
    is_written: bool
    is_refused: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether everything that moves something is in the book."""
        return not (self.quarantine or self.waiting or self.held)


def files_of(kind: str | None, sources: Sequence[AnySource]) -> list[Files]:
    """The files by kind. `kind`: None to recognise each file's.

    A file that is named twice is read once. Raises Refused `kind_unknown`, `file_unreadable`.
    """
    unique = {source.name: source for source in sources}
    if kind is not None:
        return [Files(kind_named(kind), list(unique.values()))]
    found: dict[str, tuple[Kind, list[AnySource]]] = {}
    with refusing_unreadable():
        for source in unique.values():
            recognised = kind_of(sample_of(source))
            found.setdefault(recognised.name, (recognised, []))[1].append(source)
    return [Files(recognised, of_kind) for recognised, of_kind in found.values()]


@contextmanager
def refusing_unreadable() -> Iterator[None]:
    """Within it, a file that cannot be read as its kind raises Refused `file_unreadable`."""
    try:
        yield
    except Unreadable as error:
        raise Refused(Refusal.FILE_UNREADABLE, str(error), advice="nothing was written") from error


class _NotAll(Exception):
    """A strict import did not take everything; what it did is rolled back."""


def import_files(
    keeper: Bookkeeper,
    name: str,
    files: Sequence[Files],
    settings: Settings,
    policy: Policy,
    *,
    on_progress: OnProgress | None = None,
    on_read: OnProgress | None = None,
) -> ImportReport:
    """Import files into a book. `on_read`, `on_progress`: called with the number of rows read and landed.

    Raises Refused `file_unreadable` before anything is written, `book_unknown`; StorageError. Batches that were committed
    before an error stay, and importing again goes on.
    """
    tally = Tally()
    with spooled(tally) as spool:
        with refusing_unreadable():
            for each in files:
                spool.add(each.kind.name, each.kind.read(each.sources, settings), on_read)
        spool.settle()
        return _Import(keeper, name, files, spool, policy, on_progress).run()


class _Import:
    def __init__(
        self,
        keeper: Bookkeeper,
        name: str,
        files: Sequence[Files],
        spool: Spool,
        policy: Policy,
        on_progress: OnProgress | None,
    ) -> None:
        self._keeper = keeper
        self._name = name
        self._kinds = [each.kind.name for each in files]
        self._spool = spool
        self._policy = policy
        self._on_progress = on_progress
        self._now = keeper.now()
        self._rows = len(spool)

    def run(self) -> ImportReport:
        """Land everything, and report."""
        with self._keeper.database.reading() as connection:
            store.require_book(connection, self._name)
            progress = beginning(connection, self._name, self._keeper)
        waiting = [entry for entry in progress.open.values() if entry.status == "waiting"]
        progress.other_sides = self._spool.pairs(waiting)
        # What will be paired holds nothing back.
        for key in progress.other_sides:
            progress.open.pop(key, None)
        if self._policy.is_dry:
            return self._report(self._dry(progress), is_written=False)
        if self._policy.is_strict:
            return self._strict(progress)
        done = 0
        rows = self._spool.rows()
        while batch := list(islice(rows, ROWS_IN_A_BATCH)):
            is_last = done + len(batch) >= self._rows
            progress = retry(partial(self._land, progress, batch, is_last=is_last), safe_to_repeat=always)
            done += len(batch)
            self._tell(done)
        return self._report(progress, is_written=True)

    def _tell(self, done: int) -> None:
        if self._on_progress is not None:
            self._on_progress(done)

    def _land(self, before: Progress, batch: Sequence[SpooledRow], *, is_last: bool) -> Progress:
        progress = before.copy()
        with self._keeper.transaction(self._name) as transaction:
            landing = Landing(transaction, self._policy, progress, self._now)
            landing.land(batch)
            if is_last:
                landing.put_marker()
        return progress

    def _dry(self, progress: Progress) -> Progress:
        with self._keeper.rehearsal(self._name) as transaction:
            landing = Landing(transaction, self._policy, progress, self._now)
            for done, batch in enumerate(self._batches(), 1):
                landing.land(batch)
                self._tell(done * ROWS_IN_A_BATCH)
        return progress

    def _strict(self, before: Progress) -> ImportReport:
        """All in one transaction; nothing when something would be quarantined, wait or be held back."""
        progress = before.copy()
        try:
            if self._spool.tally.count:
                raise _NotAll
            with self._keeper.transaction(self._name) as transaction:
                landing = Landing(transaction, self._policy, progress, self._now)
                for done, batch in enumerate(self._batches(), 1):
                    landing.land(batch)
                    self._tell(done * ROWS_IN_A_BATCH)
                if progress.quarantined or progress.waiting or progress.held:
                    raise _NotAll
        except _NotAll:
            progress.added.clear()
            return replace(self._report(progress, is_written=False), is_refused=True)
        return self._report(progress, is_written=True)

    def _batches(self) -> Iterator[list[SpooledRow]]:
        rows = self._spool.rows()
        while batch := list(islice(rows, ROWS_IN_A_BATCH)):
            yield batch

    def _report(self, progress: Progress, *, is_written: bool) -> ImportReport:
        return report_of(
            self._keeper, self._name, self._kinds, self._rows, self._spool.tally, progress, is_written=is_written
        )


def beginning(connection: Connection, name: str, keeper: Bookkeeper) -> Progress:
    """The progress of an import that begins. `connection`: one that reads."""
    entries = inbox.entries(connection, name, sorts=("movement", "held"))
    return Progress(
        known=Known.of_book(connection, name, keeper.now()),
        markers={entry.key.removeprefix(MARKER): entry for entry in entries if entry.sort == "held"},
        open={entry.key: entry for entry in entries if entry.sort == "movement"},
    )


def report_of(
    keeper: Bookkeeper,
    name: str,
    kinds: Sequence[str],
    rows: int,
    tally: Tally,
    progress: Progress,
    *,
    is_written: bool,
) -> ImportReport:
    """The report of an import."""
    with keeper.database.reading() as connection:
        book, head = store.require_book(connection, name)
        waiting = inbox.waiting(connection, name)
    return ImportReport(
        book=book,
        head=head,
        kinds=kinds,
        rows=rows,
        added=progress.added,
        existed=progress.existed,
        same=progress.same,
        internal=progress.internal,
        repeated=tally.repeated,
        dismissed=progress.dismissed,
        passed_over=tally.passed_over,
        contracts=tally.contracts,
        quarantined=[*tally.quarantined, *progress.quarantined],
        quarantine=tally.count + len(progress.quarantined),
        waiting=sorted(progress.waiting.values(), key=lambda entry: (entry.at, entry.id)),
        stopped_at=progress.stopped_at,
        held=progress.held.count if progress.held else 0,
        inbox=waiting,
        is_written=is_written,
    )
