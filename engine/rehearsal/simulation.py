"""A continuation of a book's log in memory: recorded by the real rules, but written nowhere.

    present = present_of(connection, "main")        # one pass over the log; the database is only read
    future = Simulation(present)
    step = future.record(Deposit(asset="RLUSD", amount=Decimal("50")))
    findings = future.observe(step)                 # what no longer holds

A simulation seals, chains and folds each event with the functions of the real log, and reads it back from its bytes. Its
invariants have observed the whole log before, so their sums continue where the log ends.
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
    """The end of a log, for futures to continue from.

    book, head, state:  the book at its head
    watchers:           invariants that have observed every event
    findings:           what they found
    recent:             the newest events by version, which a future may reverse
    reversals:          by the version of a reversed recent event, the version that reverses it
    marks:              by asset, the newest standing marks: one more than a future may reverse
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
    """The present of a book, from one pass over its log. `on_progress`: called with the version reached.

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
    """Insert a mark among the newest, oldest first, and keep only as many as can matter."""
    insort(marks, mark, key=_age_key)
    del marks[: -RECENT_EVENTS - 1]


def _age_key(mark: Price) -> tuple[datetime, int]:
    return mark.at, mark.version or 0


def _observed(watchers: tuple[Invariant, ...], step: Step) -> Iterator[Finding]:
    return (finding for watcher in watchers for finding in watcher.observe(step))


class Simulation:
    """A log in memory that continues from a present.

    book, head:  its terms, and its end
    state:       what the log adds up to
    before:      what it added up to before its newest event
    events:      by version, the events that can be looked up: the log's recent ones and its own
    recorded:    its own events as given, each with its key
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
        """Record one event; without a key, it gets one that is new at this version.

        Raises Refused as an append does; nothing has changed then.
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
        """What does not hold after a step. Every step must be observed once, in order."""
        return [*_read_back(step.stored), *_observed(self._watchers, step)]

    def now(self) -> datetime:
        """When the next event is recorded."""
        return self.head.recorded_at + TICK

    def next_key(self) -> str:
        """The default key of the next event, which differs at each version."""
        return f"property-test:{self.head.version + 1}"

    def standing(self) -> list[StoredEvent]:
        """The events that can be looked up and may be reversed, newest first."""
        found = [event for event in self.events.values() if event.type in REVERSIBLE]
        return [event for event in reversed(found) if event.version not in self._reversals]

    def is_invented(self, event: StoredEvent) -> bool:
        """Whether an event is the simulation's own, not the log's."""
        return event.version > self._present.head.version

    def starting_value(self) -> Decimal:
        """The starting value now, in the numeraire."""
        return self.state.engine_state.starting_value

    def effects_at(self, version: int) -> Effects:
        """The effects of an event that can be looked up."""
        return self.events[version].effects

    def marks_now(self, state: BookState) -> Marks:
        """The newest standing marks of a state, none ahead of the clock: those that a decision uses."""
        until = self.now() + CLOCK_TOLERANCE
        found: dict[str, Price] = {}
        for asset, newest in state.marks.items():
            earlier = (mark for mark in self._marks.get(asset, ()) if mark.at <= until)
            standing = (mark for mark in earlier if mark.version not in self._reversals)
            mark = newest if newest.at <= until else max(standing, key=_age_key, default=None)
            found |= {} if mark is None else {asset: mark}
        return found

    def counts(self, mark: StoredEvent) -> bool:
        """True: a mark counts until an event reverses it."""
        return True

    def newest(self, asset: str, *, without: int) -> Price | None:
        """The newest standing mark of an asset, other than the one at version `without`; None for none."""
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
    """A finding when decoding and encoding an event's body does not give the same bytes."""
    read = decode_body(stored.body)
    again = encode_body(
        read.event, book=read.book, version=read.version, event_id=read.event_id, recorded_at=read.recorded_at
    )
    if again != stored.body:
        detail = "the event read from the bytes differs from the one that was written"
        yield Finding(CHAIN, stored.version, detail, stored.body.decode(), again.decode())
