"""`cluster rebuild`: the state of every book of a segment store, folded by Spark.

All sums of all books are one statement, all newest marks another. Spark divides the work by file and row group, so many
workers fold one long book as they fold thousands of short ones. A book whose sums could leave the width of a column is
folded on the driver, from the texts of its amounts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import chain
from typing import Any

from engine.columns.duck import EngineFailed
from engine.columns.folding import WIDTH
from engine.columns.segment_reading import read_segment
from engine.columns.stores import Store, open_store
from engine.proof.figure_texts import figure_text
from engine.reports.report import counted
from engine.upkeep.cluster.segment_store import StoredBook, books_of
from engine.upkeep.cluster.spark import Spark
from ledger.database.log_columns import LATER, SEGMENTS
from ledger.stored import StoredEvent
from projections.marks import Selection
from projections.newest_marks import initial_basis, marks_of, newest_marks
from projections.rows import rows_of
from projections.state import EMPTY, BookState, fold
from projections.sums import NotSummed, state_of_sums, sums

OnNote = Callable[[str], None]
COLUMNS = ("book", "version", "projection", "key", "column", "value")


def no_note(_note: str) -> None:
    """For who wants none."""


@dataclass(frozen=True, slots=True)
class FoldedStore:
    """What the books of a store add up to.

    books:   all of them
    states:  by book; a book that fails has none
    faults:  by book that fails, why
    """

    books: Sequence[StoredBook]
    states: Mapping[str, BookState]
    faults: Mapping[str, str]

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """A row for each figure, all of them texts: the table that is written."""
        for each in self.books:
            state = self.states.get(each.book.name)
            for (projection, key), figures in rows_of(state, each.book).items() if state is not None else ():
                for column, figure in figures.items():
                    yield each.book.name, each.version, projection, key, column, figure_text(figure)


def fold_store(spark: Spark, location: str, on_note: OnNote = no_note) -> FoldedStore:
    """Fold all books of a store. `on_note`: called before the driver folds what Spark could not. Raises StorageError."""
    store = open_store(location)
    books = books_of(store)
    sound, faults = sound_books(spark, location, books)
    narrow = [each for each in sound if not is_wide(each)]
    states: dict[str, BookState] = {}
    try:
        states |= _folded(spark, location, narrow)
    except (EngineFailed, NotSummed) as error:
        # Such as a sum that leaves its width, which the manifest denies. Which book it was, no engine says.
        on_note(left_to_driver("folded", len(narrow), error))
        narrow = []
    done = {each.book.name for each in narrow}
    states |= {each.book.name: _on_driver(store, each) for each in sound if each.book.name not in done}
    return FoldedStore(books, states, faults)


def left_to_driver(done: str, books: int, error: Exception) -> str:
    """What is said before the driver does by itself what Spark could not; `done`: what it does with the books."""
    return f"Spark failed ({error}), so {counted(books, 'book')} will be {done} on the driver, one after the other"


def sound_books(spark: Spark, location: str, books: Sequence[StoredBook]) -> tuple[list[StoredBook], dict[str, str]]:
    """The books whose files are all what was sealed; and by name of the others, why not. The workers hash the files."""
    faults = {each.book.name: each.fault for each in books if each.fault is not None}
    wanted = [each for each in books if each.fault is None]
    digests = spark.digests(location, list(chain.from_iterable(each.names for each in wanted)))
    for each in wanted:
        for segment, name in zip(each.segments, each.names, strict=True):
            why = _why_not(digests.get(name), segment.sha256)
            if why is not None:
                faults.setdefault(each.book.name, f"the segment {segment.versions} is not trusted: its file {why}")
    return [each for each in wanted if each.book.name not in faults], faults


def _why_not(digest: bytes | str | None, expected: bytes) -> str | None:
    if digest is None:
        return "is missing"
    if isinstance(digest, str):
        return f"cannot be read ({digest})"
    return None if bytes(digest) == expected else "is not what was sealed"


def is_wide(book: StoredBook) -> bool:
    """Whether a sum over a book could leave the width of a column, or one of its amounts did not fit."""
    bound = sum((segment.widest * segment.count for segment in book.segments), Decimal(0))
    return bound >= WIDTH or any(segment.unfit for segment in book.segments)


def _folded(spark: Spark, location: str, books: Sequence[StoredBook]) -> dict[str, BookState]:
    if not books:
        return {}
    spark.use(location, list(chain.from_iterable(each.names for each in books)))
    summed = _by_book(spark.rows(sums(SEGMENTS)))
    marks = _by_book(spark.rows(newest_marks(SEGMENTS, reversals=LATER)))
    initial = _by_book(spark.rows(initial_basis(SEGMENTS, LATER)))
    return {
        each.book.name: whole_state(*(found.get(each.book.name, []) for found in (summed, marks, initial)))
        for each in books
    }


def whole_state(summed: Sequence[Any], marks: Sequence[Any], initial: Sequence[Any]) -> BookState:
    """A book's state of the rows of the three statements."""
    state = state_of_sums(summed)
    basis = replace(state.basis, initial_basis_version=initial[0].version if initial else None)
    return replace(state, basis=basis, marks=marks_of(marks))


def _by_book(rows: Iterable[Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for row in rows:
        found.setdefault(row.book, []).append(row)
    return found


def _on_driver(store: Store, book: StoredBook) -> BookState:
    """A book's state by the pure folds; its log is read twice, for the marks that are taken back."""
    reversed_versions = {each.reverses for each in _events(store, book) if each.reverses is not None}
    return fold(_events(store, book), EMPTY, Selection(reversed_versions))


def _events(store: Store, book: StoredBook) -> Iterator[StoredEvent]:
    return chain.from_iterable(read_segment(store, name) for name in book.names)
