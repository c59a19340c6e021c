"""What of a book is sealed, for a check: the proof of its segments, and the lane that reads them in place of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection

from engine.columns.believed import TrustedSegments
from engine.columns.duck import duckdb_session, require_extra
from engine.columns.stores import Store
from engine.proof.columns_lane import ColumnsLane, DuckSource
from engine.proof.passed import Source
from engine.proof.segments import SegmentProof
from ledger.book import Book, Head
from ledger.integrity.fast_lane import Terms

SourceOf = Callable[[Terms], AbstractContextManager[Source]]


@dataclass(frozen=True)
class SealedPart:
    """The sealed part of a book.

    proof:        of the segments
    lane:         reads segments in place of rows; None where every row is read
    open_source:  the engine that the lane asks, given the terms of the pass
    """

    proof: SegmentProof
    lane: ColumnsLane | None
    open_source: SourceOf


def sealed_part(
    connection: Connection, book: Book, head: Head, locate: Callable[[str | None], Store], *, in_columns: bool
) -> SealedPart:
    """The sealed part of a book with segments, read by DuckDB. Raises StorageError `extra_missing` with `in_columns`."""
    found = TrustedSegments(connection, book, head, locate)
    if in_columns:
        require_extra()

    @contextmanager
    def open_source(terms: Terms) -> Iterator[Source]:
        with duckdb_session() as duck:
            yield DuckSource(duck, found, terms.known, terms.until, terms.reversed_marks)

    return SealedPart(
        SegmentProof(connection, found, reads_rows=not in_columns),
        ColumnsLane(connection, found) if in_columns else None,
        open_source,
    )
