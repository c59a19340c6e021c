"""Ranges of a log, proved each by itself: a row stores its predecessor's hash, so no range waits for the one before it.

What is proved here is believed only where the range before it ends as this one begins. So a range is read by whoever has
time, such as another process, and told as runs that the fast lane has proved, with what they add up to, and as the rows in
between, which somebody else proves one by one.

    versions 2–1001   a run
    1002              its row: a withdrawal
    1003–2001         a run
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection

from ledger.book import Head
from ledger.errors import Refused
from ledger.integrity.fast_lane import HASH_PLACE, KINDS, TYPE_PLACE, VERSION_PLACE, FastLane, ProvedRows, Terms
from ledger.integrity.raw_log import PLACE_OF, RawRow, raw_range
from ledger.times import parse_time, time_text

_RECORDED_PLACE = PLACE_OF["recorded_at"]
_type_of = itemgetter(TYPE_PLACE)


@dataclass(frozen=True, slots=True)
class ProvedRange:
    """Rows that were proved somewhere else, and so are not read.

    first:        the first of them; the last is `taken.head`'s
    taken:        what they add up to
    start_hash:   of the event before the first
    recorded_at:  of the first; None where nobody has to compare it with those before
    links:        version and hash of those whose hash is waited for
    """

    first: int
    taken: ProvedRows
    start_hash: bytes
    recorded_at: datetime | None = None
    links: Sequence[tuple[int, bytes]] = ()


Item = ProvedRange | Sequence[RawRow]


@dataclass(frozen=True, slots=True)
class RangeTerms:
    """What is the same for all ranges of a book.

    terms:      of the fast lane
    numeraire:  of the book
    ends:       versions behind which a run has to end
    awaited:    the hashes that are waited for
    """

    terms: Terms
    numeraire: str
    ends: Collection[int]
    awaited: Collection[bytes]


def proved_range(connection: Connection, of: RangeTerms, first: int, last: int) -> Iterator[list[Item] | None]:
    """The rows from one version to another, both included, many at once; each time runs and rows, in order.

    At last None where the versions of the range are not all there or not whole numbers: whoever asked goes on by himself.
    """
    head = None
    for rows in raw_range(connection, of.terms.book, first - 1, first - 1):
        head = _head_of(rows[-1])
    proof = _RangeProof(of, head)
    expected = first
    for rows in raw_range(connection, of.terms.book, first, last):
        versions = [row[VERSION_PLACE] for row in rows]
        if versions != list(range(expected, expected + len(rows))) or set(map(type, versions)) != {int}:
            break
        yield [item for part in cut(rows, of.ends) for item in proof.items(part)]
        expected += len(rows)
    if expected != last + 1:
        yield None


def cut(rows: Sequence[RawRow], ends: Collection[int]) -> Iterator[Sequence[RawRow]]:
    """Rows, cut behind each of some versions."""
    start = 0
    for place, row in enumerate(rows if ends else (), 1):
        if row[VERSION_PLACE] in ends:
            yield rows[start:place]
            start = place
    if start < len(rows):
        yield rows[start:]


def by_lane(rows: Sequence[RawRow]) -> Iterator[tuple[bool, list[RawRow]]]:
    """Rows, divided into those of the common types, which the fast lane may take, and the others."""
    if KINDS.issuperset(map(_type_of, rows)):  # as a rule
        yield True, list(rows)
        return
    for is_common, alike in groupby(rows, key=_is_common):
        yield is_common, list(alike)


def _is_common(row: RawRow) -> bool:
    return row[TYPE_PLACE] in KINDS


class _RangeProof:
    """Goes over rows behind a head; None for one that cannot be read: then the next row is left to somebody else."""

    def __init__(self, of: RangeTerms, head: Head | None) -> None:
        self._of = of
        self._head = head
        self._lane = FastLane(of.terms)

    def items(self, rows: Sequence[RawRow]) -> Iterator[Item]:
        for is_common, alike in by_lane(rows):
            yield from self._go_over(alike, is_common)

    def _go_over(self, rows: Sequence[RawRow], is_common: bool) -> Iterator[Item]:
        """All rows as one run where the lane takes them, else in halves, down to the one that it does not."""
        head = self._head
        taken = None
        if is_common and head is not None:
            taken = self._lane.take(rows, head, self._of.numeraire)
        if taken is not None and head is not None:
            self._head = taken.head
            yield ProvedRange(rows[0][VERSION_PLACE], taken, head.hash, _time_of(rows[0]), self._links(rows))
        elif is_common and len(rows) > 1:
            yield from self._go_over(rows[: len(rows) // 2], is_common)
            yield from self._go_over(rows[len(rows) // 2 :], is_common)
        else:
            self._head = _head_of(rows[-1])
            yield rows

    def _links(self, rows: Sequence[RawRow]) -> Sequence[tuple[int, bytes]]:
        awaited = self._of.awaited
        return [(row[VERSION_PLACE], row[HASH_PLACE]) for row in rows if row[HASH_PLACE] in awaited] if awaited else ()


def _head_of(row: RawRow) -> Head | None:
    recorded_at, hashed = _time_of(row), row[HASH_PLACE]
    if recorded_at is None or type(row[VERSION_PLACE]) is not int or not isinstance(hashed, bytes):
        return None
    return Head(row[VERSION_PLACE], hashed, recorded_at)


def _time_of(row: RawRow) -> datetime | None:
    """When a row was recorded; None where that cannot be read."""
    value: Any = row[_RECORDED_PLACE]
    if isinstance(value, datetime):
        return value
    try:
        found = parse_time(value)
    except Refused:
        return None
    return found if time_text(found) == value else None
