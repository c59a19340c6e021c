"""A long log, proved by worker processes: each goes over every so many-th range, and this process follows their answers.

    worker 0    2–2001             4002–6001
    worker 1            2002–4001             6002–…
    here     1  follows  follows    follows   follows  the rows behind the head

Here the ranges are joined: a run counts only where the one before it ends as it begins, and its sums alone are folded. Where
a worker ends early, or the versions have a gap, the rest of the log is read here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from engine.proof.workers import Lost, Worker, cores, working
from ledger.database.connections import Database
from ledger.integrity.fast_lane import VERSION_PLACE
from ledger.integrity.ranges import Item, ProvedRange, RangeTerms, proved_range
from ledger.integrity.raw_log import RawRow, raw_range
from ledger.integrity.raw_rows import any_text

# A log of fewer events is proved as fast in one process: to start another takes half a second.
EVENTS_FOR_WORKERS = 50_000
RANGE = 2_000
_FIRST = 2  # version 1 opens the book, and what it says the ranges depend on
_END_OF_RANGE = "end of range"


@dataclass(frozen=True, slots=True)
class Share:
    """The ranges of one worker.

    address:      of the database
    of:           what is the same for all ranges
    first, last:  the versions to divide into ranges
    size:         versions of a range
    number:       this worker's, counted from 0, of so many `workers`: it takes every range whose number is its own
    """

    address: str
    of: RangeTerms
    first: int
    last: int
    size: int
    number: int
    workers: int

    def answers(self) -> Iterator[Any]:
        """Of each range the answers of `proved_range`, and that it has come to the end. Raises StorageError."""
        with Database.open(self.address, "read") as database, database.reading() as connection, any_text(connection):
            for first in range(self.first + self.number * self.size, self.last + 1, self.workers * self.size):
                yield from proved_range(connection, self.of, first, min(first + self.size - 1, self.last))
                yield _END_OF_RANGE


def workers_for(events: object, wanted: int | None) -> int:
    """How many workers prove a log of so many events, 1 for none. `wanted`: see `CheckRequest.processes`."""
    if type(events) is not int or events < _FIRST:
        return 1
    if wanted is None:
        wanted = cores() if events >= EVENTS_FOR_WORKERS else 1
    ranges = -(-(events - _FIRST + 1) // RANGE)
    return min(wanted, ranges)


class RangesLane:
    """Goes over a book's log where workers prove its ranges.

    notes:      what the reader of the check has to know
    numeraire:  what the workers take the book's for
    """

    def __init__(self, address: str, connection: Connection, of: RangeTerms, head_version: int, workers: int) -> None:
        """`head_version`: as the book's row says; what stands behind it is read here."""
        self.notes: list[str] = []
        self.numeraire = of.numeraire
        self._connection = connection
        self._of = of
        self._last = head_version
        self._size = RANGE
        self._shares = [
            Share(address, of, _FIRST, head_version, self._size, number, workers) for number in range(workers)
        ]

    def items(self) -> Iterator[Item]:
        """The log in order: runs that were proved, and rows in between."""
        version: int | None = None
        try:
            with working(self._shares) as workers:
                yield from self._rows(None, _FIRST - 1)
                version = _FIRST
                for item in self._joined(workers):
                    if _first_of(item) != version:
                        raise Lost(f"it answered about another version than {version}")
                    yield item
                    version = _last_of(item) + 1
        except Lost as lost:
            self.notes.append(f"a worker process ended early ({lost}): from there on, one process has read the log")
        yield from self._rows(version, None)

    def rows_of(self, passed: ProvedRange) -> Iterator[Sequence[RawRow]]:
        """The rows of a run, where they are to be read after all."""
        return self._rows(passed.first, passed.taken.head.version)

    def _joined(self, workers: Sequence[Worker]) -> Iterator[Item]:
        """What the workers answer about one range after the other, up to the last one or to a gap. Raises Lost."""
        for number, _ in enumerate(range(_FIRST, self._last + 1, self._size)):
            worker = workers[number % len(workers)]
            while (answer := worker.answer()) != _END_OF_RANGE:
                if answer is None:
                    return
                yield from answer

    def _rows(self, first: int | None, last: int | None) -> Iterator[Sequence[RawRow]]:
        return raw_range(self._connection, self._of.terms.book, first, last)


def _first_of(item: Item) -> Any:
    return item.first if isinstance(item, ProvedRange) else item[0][VERSION_PLACE]


def _last_of(item: Item) -> int:
    last: int = item.taken.head.version if isinstance(item, ProvedRange) else item[-1][VERSION_PLACE]
    return last
