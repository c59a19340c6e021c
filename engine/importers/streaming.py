"""A stream of one kind: rows land as they arrive, in batches of one transaction each, and never stop at one that waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

from engine.bookkeeper import Bookkeeper
from engine.importers.facts import content_of, encode_facts
from engine.importers.importing import ImportReport, beginning, refusing_unreadable, report_of
from engine.importers.items import Item, Kind, Row, Settings
from engine.importers.landing import Landing, Policy, Progress
from engine.importers.sources import StandardInput
from engine.importers.spool import SpooledRow, Tally, half_a_pair, row_key
from engine.retrying import always, retry
from ledger import store

OnBatch = Callable[[ImportReport], None]


def import_stream(
    keeper: Bookkeeper,
    name: str,
    kind: Kind,
    source: StandardInput,
    settings: Settings,
    policy: Policy,
    *,
    batch: int,
    on_batch: OnBatch,
) -> ImportReport:
    """Import a stream until it ends; `on_batch` is told of each committed batch, and the last report is returned.

    A batch is full after `batch` items, or when nothing has arrived for a second. `policy` must go on past what waits.
    Raises Refused `book_unknown`, `file_unreadable`; StorageError. Committed batches stay.
    """
    return _Stream(keeper, name, kind, policy, batch, on_batch).run(source, settings)


class _Stream:
    def __init__(
        self, keeper: Bookkeeper, name: str, kind: Kind, policy: Policy, batch: int, on_batch: OnBatch
    ) -> None:
        self._keeper = keeper
        self._name = name
        self._kind = kind
        self._policy = policy
        self._batch = batch
        self._on_batch = on_batch
        self._tally = Tally()
        self._occurrences: Counter[str] = Counter()
        # The rows that have arrived, each with the venue's order; and how many items, those that are no rows included.
        self._arrived: list[tuple[tuple[int, ...], SpooledRow]] = []
        self._items = 0
        self._rows = 0
        with keeper.database.reading() as connection:
            store.require_book(connection, name)
            self._progress = beginning(connection, name, keeper)

    def run(self, source: StandardInput, settings: Settings) -> ImportReport:
        """Read to the end of the stream."""
        source.on_quiet = self._land
        with refusing_unreadable():
            for item in self._kind.read([source], settings):
                self._take(item)
                if self._items >= self._batch:
                    self._land()
        self._land()
        return self._report()

    def _take(self, item: Item) -> None:
        """Keep a row until its batch lands; count what is no row."""
        self._items += 1
        if not isinstance(item, Row):
            self._tally.add(item)
            return
        try:
            self._arrived.append((item.order, self._spooled(item)))
        except (UnicodeEncodeError, TypeError) as error:
            self._tally.quarantine(half_a_pair(item, error))

    def _spooled(self, row: Row) -> SpooledRow:
        facts = encode_facts(row.facts)
        content, number = content_of(row, facts), 0
        if row.id is None:
            self._occurrences[content] += 1
            number = self._occurrences[content]
        else:
            row.id.encode()
        key = row_key(self._kind.name, row.id, content, number)
        return SpooledRow(key, self._kind.name, row.at, facts, row.origin)

    def _land(self) -> None:
        """Land what has arrived, in one transaction."""
        if not self._items:
            return
        rows = [row for _, row in sorted(self._arrived, key=lambda each: (each[1].at, each[0]))]
        self._arrived, self._items = [], 0
        self._progress = retry(partial(self._land_batch, rows), safe_to_repeat=always)
        self._rows += len(rows)
        self._on_batch(self._report())

    def _land_batch(self, rows: list[SpooledRow]) -> Progress:
        progress = self._progress.copy()
        with self._keeper.transaction(self._name) as transaction:
            Landing(transaction, self._policy, progress, self._keeper.now()).land(rows)
        return progress

    def _report(self) -> ImportReport:
        kinds = [self._kind.name]
        return report_of(self._keeper, self._name, kinds, self._rows, self._tally, self._progress, is_written=True)
