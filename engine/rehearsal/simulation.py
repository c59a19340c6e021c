"""A book's log going on in memory: recorded by the rules of the real one, and written nowhere.

    present = present_of(connection, "main")        # one pass over the log; the database is only read
    future = Simulation(present)
    step = future.record(Deposit(asset="RLUSD", amount=Decimal("50")))
    findings = future.observe(step)                 # what no longer holds

A simulation seals, chains and folds each event with the functions that the log uses, and reads it back from its bytes. The
invariants that watch it have watched the whole log before, so that sums over the log go on where it ends.
"""

from __future__ import annotations

import copy
from bisect import insort
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from sqlalchemy import Connection

from engine.policy.evidence import verify_evidence
from engine.proof.invariants import INVARIANTS, Invariant, Step
from ledger import store
from ledger.appender import require_reversible, seal
from ledger.book import Book, Head
from ledger.effects import Effects, effects_of
from ledger.events import REVERSIBLE, Event, Mark, Reversal, Withdrawal
from ledger.integrity.findings import Finding
from ledger.integrity.prover import CHAIN
from ledger.progress import OnProgress
from ledger.rules import complete, require_not_ahead
from ledger.stored import StoredEvent, decode_body, encode_body
from ledger.times import CLOCK_TOLERANCE
from projections.marks import Marks, Price, Selection, price_of
from projections.state import EMPTY, BookState, apply

RECENT_EVENTS = 50
TICK = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Present:
    """Where a log stands, for futures to go on from.

    `watchers`: invariants that have seen every event. `findings`: what they found on the way. `recent`: the newest events
    by version, which a future may reverse. `reversals`: by the version of each reversed one of them, that of its reversal.
    `marks`: by asset, the newest standing marks, as many as a future may reverse and one more.
    """

    book: Book
    head: Head
    state: BookState
    watchers: tuple[Invariant, ...]
    findings: tuple[Finding, ...]
    recent: Mapping[int, StoredEvent]
    reversals: Mapping[int, int]
    marks: Mapping[str, Sequence[Price]]


def present_of(
    connection: Connection,
    name: str,
    invariants: Mapping[str, type[Invariant]] = INVARIANTS,
    on_progress: OnProgress | None = None,
) -> Present:
    """The present of a book, from one pass over its log; `on_progress` gets the version reached.

    Raises Refused `book_unknown`; StorageError.
    """
    book, head = store.require_book(connection, name)
    watchers = tuple(invariant() for invariant in invariants.values())
    recent: deque[StoredEvent] = deque(maxlen=RECENT_EVENTS)
    findings: list[Finding] = []
    state = EMPTY
    standing = Selection(store.reversed_marks(connection, name))
    marks: dict[str, list[Price]] = {}
    for stored in store.read_events(connection, name):
        before, state = state, apply(state, stored, standing)
        if stored.type == "mark" and standing.counts(stored):
            _keep_newest(marks.setdefault(str(stored.asset), []), price_of(stored))
        findings += _observed(watchers, Step(book, stored, stored.event, before, state))
        recent.append(stored)
        if on_progress is not None and stored.version % store.ROWS_AT_ONCE == 0:
            on_progress(stored.version)
    by_version = {stored.version: stored for stored in recent}
    reversals = store.reversals(connection, name)
    return Present(
        book=book,
        head=head,
        state=state,
        watchers=watchers,
        findings=tuple(findings),
        recent=by_version,
        reversals={version: reversals[version] for version in by_version if version in reversals},
        marks=marks,
    )


def _keep_newest(marks: list[Price], mark: Price) -> None:
    """Put a mark in its place among the newest, oldest first; of the log no more than can matter are kept."""
    insort(marks, mark, key=_age_key)
    del marks[: -RECENT_EVENTS - 1]


def _age_key(mark: Price) -> tuple[datetime, int]:
    return mark.at, mark.version or 0


def _observed(watchers: tuple[Invariant, ...], step: Step) -> Iterator[Finding]:
    return (finding for watcher in watchers for finding in watcher.observe(step))


class Simulation:
    """A log that goes on from a present. What it records, it keeps in memory.

    `state`: what the log adds up to; `before`: what it did before its newest event. `events`: those that can be found, by
    version: the recent ones of the log, and its own. `recorded`: its own as they were given, each with its key.
    """

    def __init__(self, present: Present) -> None:
        self._present = present
        self.book = present.book
        self.head = present.head
        self.state = self.before = present.state
        self.events = dict(present.recent)
        self.recorded: list[Event] = []
        self._reversals = dict(present.reversals)
        self._marks = {asset: list(marks) for asset, marks in present.marks.items()}
        self._watchers = copy.deepcopy(present.watchers)

    def record(self, given: Event) -> Step:
        """Record one event; an event without a key gets one that no log at this version has.

        Raises Refused, as an append does; then nothing has changed.
        """
        if isinstance(given, Mark | Reversal):
            require_not_ahead(given.at, self.now())
        event = complete(given, self.book)
        target = self._reversible(event.reverses) if isinstance(event, Reversal) else None
        if isinstance(event, Withdrawal):
            verify_evidence(event, self.state, self.book)
        recorded_at = self.now()
        filled_in = {"at": event.at or (target.at if target else recorded_at), "key": event.key or self.next_key()}
        stored = self._seal(event.model_copy(update=filled_in), target, recorded_at)
        step = Step(self.book, stored, stored.event, self.state, apply(self.state, stored, self))
        self._move(step)
        self.recorded.append(given.model_copy(update={"key": stored.key}))
        return step

    def observe(self, step: Step) -> list[Finding]:
        """What does not hold after a step. Every step is to be observed once, in order."""
        return [*_read_back(step.stored), *_observed(self._watchers, step)]

    def now(self) -> datetime:
        """When the next event is recorded."""
        return self.head.recorded_at + TICK

    def next_key(self) -> str:
        """The key that the next event gets by default: none that was made at an earlier version is like it."""
        return f"property-test:{self.head.version + 1}"

    def standing(self) -> list[StoredEvent]:
        """The events that can be found and may be reversed, the newest first."""
        found = [event for event in self.events.values() if event.type in REVERSIBLE]
        return [event for event in reversed(found) if event.version not in self._reversals]

    def is_invented(self, event: StoredEvent) -> bool:
        """Whether an event is the simulation's own, and not the log's."""
        return event.version > self._present.head.version

    def starting_value(self) -> Decimal:
        """The starting value now, in the numeraire."""
        return self.state.engine_state.starting_value

    def effects_at(self, version: int) -> Effects:
        """The effects of an event that can be found."""
        return self.events[version].effects

    def marks_now(self, state: BookState) -> Marks:
        """The newest standing marks of a state that are not ahead of the clock, as a decision uses them."""
        until = self.now() + CLOCK_TOLERANCE
        found: dict[str, Price] = {}
        for asset, newest in state.marks.items():
            earlier = (mark for mark in self._marks.get(asset, ()) if mark.at <= until)
            standing = (mark for mark in earlier if mark.version not in self._reversals)
            mark = newest if newest.at <= until else max(standing, key=_age_key, default=None)
            found |= {} if mark is None else {asset: mark}
        return found

    def counts(self, mark: StoredEvent) -> bool:
        """A mark counts until it is reversed."""
        return True

    def newest(self, asset: str, *, without: int) -> Price | None:
        """The newest mark of an asset that stands when the one at version `without` no longer does."""
        standing = (
            mark
            for mark in self._marks.get(asset, ())
            if mark.version != without and mark.version not in self._reversals
        )
        return max(standing, key=_age_key, default=None)

    def _reversible(self, version: int) -> StoredEvent:
        reversal = self._reversals.get(version)
        return require_reversible(version, self.events.get(version), reversal, self.head.version)

    def _seal(self, event: Event, target: StoredEvent | None, recorded_at: datetime) -> StoredEvent:
        return seal(
            event,
            effects_of(event, self.book, self),
            book=self.book,
            head=self.head,
            event_id=str(UUID(int=self.head.version + 1)),
            recorded_at=recorded_at,
            reversed_event=target,
        )

    def _move(self, step: Step) -> None:
        stored = step.stored
        self.before, self.state = step.before, step.after
        self.head = Head(stored.version, stored.hash, stored.recorded_at)
        self.events[stored.version] = stored
        if stored.type == "mark":
            self._marks.setdefault(str(stored.asset), []).append(price_of(stored))
        if stored.reverses is not None:
            self._reversals[stored.reverses] = stored.version


def _read_back(stored: StoredEvent) -> Iterator[Finding]:
    """A finding when the bytes of an event do not give the event that they were made from."""
    read = decode_body(stored.body)
    again = encode_body(
        read.event, book=read.book, version=read.version, event_id=read.event_id, recorded_at=read.recorded_at
    )
    if again != stored.body:
        detail = "the event that is read from the bytes is not the one that was written"
        yield Finding(CHAIN, stored.version, detail, stored.body.decode(), again.decode())
