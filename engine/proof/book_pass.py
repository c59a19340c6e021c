"""One pass of a check over a book's log: its rows, or the segments that stand in for them, and what they add up to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from engine.bookkeeper import utc_now
from engine.proof.end_of_log import check_cost_basis, compare_projections
from engine.proof.heads import KeptHeads
from engine.proof.invariants import INVARIANTS, Step
from engine.proof.notes import Notes
from engine.proof.ranges_lane import RangesLane, workers_for
from engine.proof.request import (
    COST_BASIS,
    COST_BASIS_EVENTS,
    NAMES,
    PROJECTIONS_MATCH,
    SEGMENTS,
    CheckRequest,
)
from engine.proof.transfers import TRANSFERS, Transfers
from engine.proof.whole_ledger import WholeLedger
from ledger import store
from ledger.errors import StorageError
from ledger.event_types import EventType
from ledger.events import Event
from ledger.integrity.fast_lane import HASH_PLACE, VERSION_PLACE, FastLane, ProvedRows, Terms
from ledger.integrity.findings import Finding
from ledger.integrity.log_rules import LOG_RULES, LogRules
from ledger.integrity.prover import CHAIN, UNREADABLE, ProvedRow, Prover
from ledger.integrity.ranges import Item, ProvedRange, RangeTerms, by_lane, cut
from ledger.integrity.raw_log import RawRow
from ledger.integrity.raw_rows import shown_raw
from ledger.stored import StoredEvent
from projections import fast_fold
from projections.marks import Selection
from projections.state import EMPTY, apply

if TYPE_CHECKING:
    from engine.proof.columns_lane import ColumnsLane
    from engine.proof.sealed import SealedPart


class Pass:
    """One pass over a book's log; `state` is what the proved events add up to so far.

    `sealed`: what of the book is sealed; None for nothing. `address`: of the database, for workers to open; None where none
    helps. `whole`: what was proved of the ledger besides; None: nothing.
    """

    def __init__(
        self,
        connection: Connection,
        name: str,
        wanted: CheckRequest,
        known: frozenset[EventType] | None,
        sealed: SealedPart | None = None,
        address: str | None = None,
        whole: WholeLedger | None = None,
    ) -> None:
        self.prover = Prover(connection, name)
        self.state = EMPTY
        self._is_sound = True
        self._connection = connection
        self._wanted = wanted
        expected = [wanted.expected_head] if wanted.expected_head is not None else []
        self._heads = KeptHeads([*expected, *(head for head in wanted.kept_heads if head.book in (None, name))])
        reversed_marks = store.reversed_marks(connection, name)
        self._standing = Selection(reversed_marks)
        self._now = wanted.now or utc_now()
        self.notes = Notes(self._now, reversed_marks)
        self._rules = LogRules(connection, self.prover, known) if LOG_RULES in wanted.only else None
        self._transfers = Transfers(connection) if TRANSFERS in wanted.only else None
        self._invariants = [INVARIANTS[name]() for name in INVARIANTS if name in wanted.only]
        self._terms = terms = Terms(name, known, self.notes.limit, reversed_marks)
        # None: what is left is gone over row by row.
        self._lane = FastLane(terms) if wanted.is_fast else None
        self._sealed = sealed
        self._is_named = len(wanted.only) < len(NAMES)
        self._unproved: list[str] = []
        self._segments = None if sealed is None else sealed.proof
        # None: every row is read.
        self._columns = None if sealed is None else sealed.lane
        # None: no other process helps.
        self._ranges = self._divided(address)
        self._whole = whole

    def _divided(self, address: str | None) -> RangesLane | None:
        """The lane that follows workers; None where this process reads the log alone."""
        events = self.prover.stored_head_version
        workers = workers_for(events, self._wanted.processes)
        if address is None or workers < 2 or self._lane is None or self._columns is not None:
            return None
        ends = frozenset[int]() if self._segments is None else self._segments.ends
        of = RangeTerms(self._terms, self.prover.book.numeraire, ends, self._heads.awaited())
        return RangesLane(address, self._connection, of, events, workers)

    def lines(self) -> list[str]:
        """The notes, once all findings were told."""
        of_transfers = () if self._transfers is None else self._transfers.notes
        of_segments = () if self._segments is None else self._segments.notes
        unread = () if self._columns is None else self._columns.notes()
        of_workers = () if self._ranges is None else self._ranges.notes
        # Many a book has no marks; only who named the invariant wants to know that it is not proved.
        unproved = self._unproved if self._is_named else ()
        return [*self.notes.lines(self.state), *of_transfers, *of_segments, *unread, *of_workers, *unproved]

    def findings(self) -> Iterator[Finding]:
        """All that does not hold."""
        if self._columns is not None:
            yield from self._go_over_segments(self._columns)
        elif self._ranges is not None:
            yield from self._go_over(self._ranges.items(), self._ranges.rows_of)
        else:
            for rows in self.prover.rows():
                yield from self._read(rows)
        yield from self._step(self.prover.prove_end())
        if self._rules is not None:
            yield from self._rules.at_end(counts_ids=self._columns is None and not self._has_unique_ids())
        if self._segments is not None and SEGMENTS in self._wanted.only:
            yield from self._segments.files()
        if self._transfers is not None:
            yield from self._transfers.findings()
        yield from self._heads.findings(self.prover.head)
        if COST_BASIS in self._wanted.only and self._may_be_folded_by_lots():
            yield from check_cost_basis(self._connection, self.prover.book, self.state, self._now, self._unproved)
        if PROJECTIONS_MATCH in self._wanted.only:
            yield from compare_projections(self._connection, self.prover.book, self.state)

    def _has_unique_ids(self) -> bool:
        return self._whole is not None and self._whole.has_unique_ids(self.prover.book.name)

    def _may_be_folded_by_lots(self) -> bool:
        """Only for a log without findings: what is wrong with it would be reported twice."""
        return self._is_sound and (self._is_named or self.prover.head.version <= COST_BASIS_EVENTS)

    def _read(self, rows: Sequence[RawRow]) -> Iterator[Finding]:
        """Go over rows, and hold at the ends of segments what their manifest says."""
        ends = frozenset[int]() if self._segments is None else self._segments.ends
        for part in cut(rows, ends):
            for is_common, alike in by_lane(part):
                yield from self._pass(alike, is_common)
            yield from self._reach()

    def _reach(self) -> Iterator[Finding]:
        if self._segments is not None and SEGMENTS in self._wanted.only and self._is_sound:
            yield from self._segments.reached(self.prover.head.version, self.state)

    def _go_over_segments(self, columns: ColumnsLane) -> Iterator[Finding]:
        """Go over the log where its sealed rows are proved in their segments."""
        assert self._sealed is not None
        with self._sealed.open_source(self._terms) as source:
            yield from self._go_over(columns.items(source), columns.rows_of)
            self._heads.settle(lambda head: columns.stands(source, head.hash, head.version))

    def _go_over(
        self, items: Iterator[Item], rows_of: Callable[[ProvedRange], Iterator[Sequence[RawRow]]]
    ) -> Iterator[Finding]:
        """Go over a log that is proved somewhere else; `rows_of`: the rows of what is not believed."""
        for item in items:
            if not isinstance(item, ProvedRange):
                yield from self._read(item)
            elif self._is_next(item) and self._fold(item.taken):
                for version, hashed in item.links:
                    self._heads.observe(version, hashed)
                self._show_all(item.first, item.taken.head.version)
                yield from self._reach()
            else:
                for rows in rows_of(item):
                    yield from self._read(rows)

    def _is_next(self, passed: ProvedRange) -> bool:
        if self._ranges is not None and (self._lane is None or self._ranges.numeraire != self.prover.book.numeraire):
            return False
        return self.prover.is_next(passed.first, passed.start_hash, passed.recorded_at)

    def _pass(self, rows: Sequence[RawRow], is_common: bool) -> Iterator[Finding]:
        """Go over rows: all at once where the fast lane takes them, else in halves, down to the one that it does not."""
        if is_common and self._lane is not None:
            if self._overtake(rows, self._lane):
                return
            if len(rows) > 1:
                yield from self._pass(rows[: len(rows) // 2], is_common)
                yield from self._pass(rows[len(rows) // 2 :], is_common)
                return
        for row in rows:
            yield from self._step(self.prover.prove(row))

    def _overtake(self, rows: Sequence[RawRow], lane: FastLane) -> bool:
        """Fold rows that the fast lane takes, where all invariants hold over them; False, and nothing is done, where not."""
        taken = self.prover.overtake(lane, rows)
        if taken is None or not self._fold(taken):
            return False
        if self._heads.is_waiting():
            for row in rows:
                self._heads.observe(row[VERSION_PLACE], row[HASH_PLACE])
        self._show_all(rows[0][VERSION_PLACE], rows[-1][VERSION_PLACE])
        return True

    def _fold(self, taken: ProvedRows) -> bool:
        """Fold rows by their sums, where all invariants hold over them; False, and nothing is done, where not."""
        state = fast_fold.after(self.state, taken.tally)
        if not all(invariant.holds_over(taken.tally, state) for invariant in self._invariants):
            return False
        for invariant in self._invariants:
            invariant.pass_over(taken.tally)
        self.prover.pass_over(taken)
        self.state = state
        return True

    def _step(self, proved: ProvedRow) -> Iterator[Finding]:
        yield from self._judge(proved)
        self._heads.observe(self.prover.head.version, self.prover.head.hash)
        if proved.stored is not None:
            self._show_all(proved.version, proved.version)

    def _show_all(self, first: int, last: int) -> None:
        """Tell how far it has come, now and then."""
        if self._wanted.on_progress is not None:
            for version in range(first + -first % store.ROWS_AT_ONCE, last + 1, store.ROWS_AT_ONCE):
                self._wanted.on_progress(version)

    def _judge(self, proved: ProvedRow) -> Iterator[Finding]:
        """The findings of a row. A forged row may raise any error; it becomes a finding at its version."""
        if CHAIN in self._wanted.only:
            yield from proved.findings
        self._is_sound = self._is_sound and not proved.findings
        for finding in self._follow(proved):
            self._is_sound = False
            # What a row leaves unequal may stay so for all that come after it, and each of them is to tell.
            self._lane = None
            yield finding

    def _follow(self, proved: ProvedRow) -> Iterator[Finding]:
        try:
            if self._rules is not None:
                yield from self._rules.observe(proved)
            if proved.stored is not None:
                yield from self._watch(proved.stored, proved.event)
        except UNREADABLE as error:
            yield Finding(CHAIN, proved.version, f"the event cannot be followed: {shown_raw(error)}")

    def _watch(self, stored: StoredEvent, event: Event | None) -> Iterator[Finding]:
        """Fold one event, and hold the invariants against what it did."""
        before = self.state
        self.notes.observe(stored, event)
        if self._transfers is not None:
            self._transfers.observe(stored, event)
        try:
            self.state = apply(before, stored, self._standing)
        except StorageError:
            return  # a mark whose bytes cannot be read: found by the prover
        step = Step(self.prover.book, stored, event, before, self.state)
        for invariant in self._invariants:
            yield from invariant.observe(step)
