"""The manifest: which ranges of a book's log stand in segments, and what is known of each of them.

A row is written when its file is complete and on the disk, so a segment without a row is nothing. The rows of the log stay
the authority: a manifest is believed only as far as it was proved, and `check` proves all of it again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    ForeignKey,
    LargeBinary,
    MetaData,
    Table,
    bindparam,
    insert,
    select,
)

from ledger.amounts import amount_text
from ledger.database.columns import EXACT_TEXT, UtcTime, exact_sum
from ledger.database.tables import books
from ledger.errors import StorageError
from ledger.mapper import require_sound
from ledger.times import time_text

metadata = MetaData()
segments = Table(
    "segments",
    metadata,
    Column("book", EXACT_TEXT, ForeignKey(books.c.book), primary_key=True),
    Column("first_version", BigInteger, primary_key=True, autoincrement=False),
    Column("last_version", BigInteger, nullable=False),
    Column("location", EXACT_TEXT),
    Column("least_at", UtcTime, nullable=False),
    Column("greatest_at", UtcTime, nullable=False),
    Column("recorded_until", UtcTime, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", LargeBinary, nullable=False),
    Column("start_hash", LargeBinary, nullable=False),
    Column("end_hash", LargeBinary, nullable=False),
    Column("widest", exact_sum(), nullable=False),
    Column("unfit", BigInteger, nullable=False),
    Column("sums", EXACT_TEXT, nullable=False),
    Column("state", EXACT_TEXT, nullable=False),
    Column("sealed_at", UtcTime, nullable=False),
    sqlite_with_rowid=False,
)


_ANY = select(segments.c.first_version).where(segments.c.book == bindparam("of_book")).limit(1)


@dataclass(frozen=True, slots=True)
class Segment:
    """A range of a book's log that stands in a file.

    first_version, last_version:  its events
    location:                     the folder or URL that the files stand in; None for the one beside the ledger's file
    least_at, greatest_at:        of its events, UTC
    recorded_until:               the greatest `recorded_at` of its events, UTC
    size:                         of the file, in bytes
    sha256:                       of the file
    start_hash:                   of the event before the first; of the chain's beginning for version 1
    end_hash:                     of the last event
    widest:                       the greatest |amount| of any column, without its digits beyond 18
    unfit:                        how many amounts did not fit into the decimal columns
    sums:                         what its own events add up to, without marks (`engine.columns.figures`)
    state:                        the book's state after its last event
    sealed_at:                    when it was written, UTC
    """

    book: str
    first_version: int
    last_version: int
    location: str | None
    least_at: datetime
    greatest_at: datetime
    recorded_until: datetime
    size: int
    sha256: bytes
    start_hash: bytes
    end_hash: bytes
    widest: Decimal
    unfit: int
    sums: str
    state: str
    sealed_at: datetime

    @property
    def count(self) -> int:
        """How many events it holds."""
        return self.last_version - self.first_version + 1

    @property
    def versions(self) -> str:
        """Its range, as a text for people: `1–1000`."""
        return f"{self.first_version}–{self.last_version}"

    def as_document(self) -> dict[str, Any]:
        """Its fields for JSON: times, amounts and hashes as texts; of a URL no password, since others read the document."""
        # Only `seal` and `check` come here, and every command imports this module.
        from engine.columns.stores import location_shown

        document = {field.name: _plain(getattr(self, field.name)) for field in fields(self)}
        return document | {"rows": self.count, "location": self.location and location_shown(self.location)}


def _plain(value: Any) -> Any:
    match value:
        case bytes():
            return value.hex()
        case datetime():
            return time_text(value)
        case Decimal():
            return amount_text(value)
        case _:
            return value


def segments_of(connection: Connection, book: str) -> list[Segment]:
    """The segments of a book, in order. Raises StorageError `event_unreadable` for a row that was damaged."""
    return list(_read(connection, book))


def has_segments(connection: Connection, book: str) -> bool:
    """Whether the manifest names a segment of a book."""
    return connection.execute(_ANY, {"of_book": book}).first() is not None


def _read(connection: Connection, book: str) -> Iterator[Segment]:
    query = select(segments).where(segments.c.book == book).order_by(segments.c.first_version)
    for row in connection.execute(query):
        try:
            require_sound(row, segments)
        except StorageError as error:
            error.what = f"the manifest's row of the segment {row.first_version}–{row.last_version} cannot be read"
            raise
        yield Segment(*row)


def add_segment(connection: Connection, segment: Segment) -> None:
    """Write a segment's row, in a transaction of the caller, who holds the book's lock."""
    row = {field.name: getattr(segment, field.name) for field in fields(segment)}
    connection.execute(insert(segments).values(row))
