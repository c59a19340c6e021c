"""Which segments of a book may stand in for its rows, and why another may not.

The rows stay the authority. A segment is entered in the manifest with the hashes at which its range begins and ends: where
the rows have other ones there, it is of another log. Its file is compared with the hash in the manifest before anything of
the segment is used. A segment that fails is not used, and its rows are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from sqlalchemy import Connection

from engine.columns.figures import decode_state
from engine.columns.manifest import Segment, segments_of
from engine.columns.segment_file import segment_name
from engine.columns.stores import Store
from ledger import store as log
from ledger.book import GENESIS_HASH, Book, Head
from ledger.errors import StorageError, StorageFault
from projections.state import BookState

HASHERS = 4


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why a segment is passed over. `is_finding`: it is wrong; otherwise it is only not there."""

    segment: Segment
    why: str
    is_finding: bool
    expected: str | None = None
    actual: str | None = None


class TrustedSegments:
    """The segments of a book within one reading transaction; what is asked once is kept.

    doubts:  why segments were passed over, as far as it was asked

    `locate`: the store at a manifest's location. `is_hashed`: the files were compared with their hashes by somebody else.
    """

    def __init__(
        self,
        connection: Connection,
        book: Book,
        head: Head,
        locate: Callable[[str | None], Store],
        *,
        is_hashed: bool = False,
    ) -> None:
        self.book = book
        self.doubts: list[Doubt] = []
        self._connection = connection
        self._head = head
        self._locate = locate
        self._stores: dict[str | None, Store] = {}
        self._verdicts: dict[int, bool] = {}
        self.entered = self._entered(segments_of(connection, book.name))
        if is_hashed:
            self._verdicts |= {segment.first_version: True for segment in self.entered}

    def store(self, segment: Segment) -> Store:
        """Where a segment stands. Raises StorageError."""
        if segment.location not in self._stores:
            self._stores[segment.location] = self._locate(segment.location)
        return self._stores[segment.location]

    def file(self, segment: Segment) -> str:
        """A segment's file within its store."""
        return segment_name(segment.book, segment.first_version, segment.last_version)

    def trusted(self, segments: Iterable[Segment]) -> list[Segment]:
        """Those whose files are what the manifest says; the files are hashed on several cores."""
        wanted = list(segments)
        unknown = [segment for segment in wanted if segment.first_version not in self._verdicts]
        placed = [(segment, store) for segment in unknown if (store := self._place(segment)) is not None]
        if placed:
            with ThreadPoolExecutor(HASHERS) as pool:
                digests = list(pool.map(lambda each: _digest(each[1], self.file(each[0])), placed))
            for (segment, _), digest in zip(placed, digests, strict=True):
                self._verdicts[segment.first_version] = True
                self._judge(segment, digest)
        return [segment for segment in wanted if self._verdicts[segment.first_version]]

    def state(self, segment: Segment) -> BookState | None:
        """The state after a trusted segment; None where it cannot be read, or is of another version."""
        state = decode_state(segment.state, self.book)
        if state is not None and state.version == segment.last_version:
            return state
        self.doubt(segment, "the state in its manifest cannot be read", is_finding=True)
        return None

    def sums(self, segment: Segment) -> BookState | None:
        """What a trusted segment's events add up to; None where it cannot be read."""
        sums = decode_state(segment.sums, self.book)
        if sums is not None and sums.version == segment.last_version:
            return sums
        self.doubt(segment, "the sums in its manifest cannot be read", is_finding=True)
        return None

    def _place(self, segment: Segment) -> Store | None:
        try:
            return self.store(segment)
        except StorageError as error:
            if error.fault is StorageFault.EXTRA_MISSING:
                raise
            self.doubt(segment, f"its place cannot be used ({error.what})", is_finding=False)
            return None

    def _judge(self, segment: Segment, digest: bytes | str | None) -> None:
        if digest is None:
            self.doubt(segment, "its file is missing", is_finding=False)
        elif isinstance(digest, str):
            self.doubt(segment, f"its file cannot be read ({digest})", is_finding=False)
        elif digest != segment.sha256:
            hashes = segment.sha256.hex(), digest.hex()
            self.doubt(segment, "its file is not what was sealed", True, *hashes)

    def doubt(self, segment: Segment, why: str, is_finding: bool, *facts: str) -> None:
        """Pass a segment over from now on. `is_finding`, `facts`: see `Doubt`."""
        self._verdicts[segment.first_version] = False
        self.doubts.append(Doubt(segment, why, is_finding, *facts))

    def _entered(self, found: Sequence[Segment]) -> list[Segment]:
        """The segments of this log, in order, none overlapping the one before."""
        entered, last = [], 0
        for segment in found:
            if not last < segment.first_version <= segment.last_version <= self._head.version:
                self.doubt(segment, "its range does not lie in the log behind the one before", is_finding=True)
                continue
            start, end = self.hash_at(segment.first_version - 1), self.hash_at(segment.last_version)
            if (segment.start_hash, segment.end_hash) != (start, end):
                hashes = (start + end).hex(), (segment.start_hash + segment.end_hash).hex()
                self.doubt(segment, "its hashes are not those of the rows", True, *hashes)
                continue
            entered.append(segment)
            last = segment.last_version
        return entered

    def hash_at(self, version: int) -> bytes:
        """The hash of the row at a version, that before the first for 0; b"" where there is no row. Raises StorageError."""
        if version == 0:
            return GENESIS_HASH
        stored = log.find_event(self._connection, self.book.name, version)
        return b"" if stored is None else stored.hash


def _digest(store: Store, name: str) -> bytes | str | None:
    try:
        return store.digest(name)
    except OSError as error:
        return str(error)
