"""The books of a segment store, as their `_manifest.json` tells them; nothing of it is believed before it is proved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from decimal import Decimal, DecimalException
from typing import Any

import orjson

from engine.columns.manifest import Segment
from engine.columns.sealing import MANIFEST
from engine.columns.segment_file import book_of, segment_name
from engine.columns.stores import Store, location_shown, open_store, told
from ledger.book import TERMS, Book
from ledger.errors import StorageError, StorageFault
from ledger.times import parse_time

_END_OF_RESULT = "_SUCCESS"  # Spark's, beside a table that it has written
_TIMES = ("least_at", "greatest_at", "recorded_until", "sealed_at")
_HASHES = ("sha256", "start_hash", "end_hash")
_NUMBERS = ("first_version", "last_version", "size", "unfit")


@dataclass(frozen=True, slots=True)
class StoredBook:
    """A book of a store.

    book:      its terms
    segments:  in order, from the first version on
    fault:     why its manifest cannot be read; None where it can
    """

    book: Book
    segments: tuple[Segment, ...]
    fault: str | None = None

    @property
    def version(self) -> int:
        """The last version that is sealed; 0 for none."""
        return self.segments[-1].last_version if self.segments else 0

    @property
    def names(self) -> list[str]:
        """The files of its segments, within the store."""
        return [segment_name(each.book, each.first_version, each.last_version) for each in self.segments]


def books_of(store: Store) -> list[StoredBook]:
    """All books of a store, sorted by their folders. Raises StorageError `segments_unreachable`, also where it has none."""
    with told(store):
        books = [_book(store, folder) for folder in store.folders() if folder.startswith("book=")]
    if not books:
        raise StorageError(
            StorageFault.SEGMENTS_UNREACHABLE,
            "there are no segments",
            expected="a folder of folders book=NAME",
            actual=location_shown(store.location),
            advice="give --segments where `netbasis seal` has put them",
        )
    return books


def require_replaceable(location: str) -> None:
    """Raises StorageError `segments_unreachable` where a result would replace something else than an earlier one."""
    store = open_store(location)
    with told(store):
        names = [name.rpartition("/")[2] for name in store.names(".")]
        is_free = _END_OF_RESULT in names or not (names or store.folders())
    if not is_free:
        raise StorageError(
            StorageFault.SEGMENTS_UNREACHABLE,
            "the result would replace files that are no earlier result",
            actual=location_shown(store.location),
            advice="give an empty folder with --result",
        )


def _book(store: Store, folder: str) -> StoredBook:
    name = book_of(folder)
    nothing = Book(name, *([""] * len(TERMS)))
    content = store.read(f"{folder}/{MANIFEST}")
    if content is None:
        return StoredBook(nothing, (), "its manifest is missing")
    try:
        document = orjson.loads(content)
        book = Book(name, *(str(document["terms"][term]) for term in TERMS))
        segments = tuple(_segments(document, name))
    except (ValueError, KeyError, TypeError, DecimalException) as error:
        return StoredBook(nothing, (), f"its manifest cannot be read: {error}")
    return StoredBook(book, segments)


def _segments(document: Any, name: str) -> Iterator[Segment]:
    """The segments. Raises ValueError where they do not follow one upon the other from version 1."""
    version = 1
    for each in document["segments"]:
        segment = Segment(**{field.name: _value(field.name, each[field.name]) for field in fields(Segment)})
        if segment.book != name or segment.first_version != version or segment.last_version < version:
            raise ValueError(f"the segments do not follow one upon the other at version {version}")
        version = segment.last_version + 1
        yield segment
    if version == 1:
        raise ValueError("it names no segment")


def _value(name: str, value: Any) -> Any:
    if name in _TIMES:
        return parse_time(value)
    if name in _HASHES:
        return bytes.fromhex(value)
    if name in _NUMBERS and type(value) is not int:
        raise TypeError(name)
    return Decimal(value) if name == "widest" else value
