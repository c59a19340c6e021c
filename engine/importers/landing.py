"""Rows of an import, landing in a book one after the other: what is new is appended, what waits goes into the inbox.

    a fill, an adjustment, a mark   appended, unless its key is there; with other content it is quarantined
    a deposit, a withdrawal         decided (`engine.importers.deciding`), or else it waits in the inbox
    what comes after one that waits held back, unless the import goes on past it: counted, and what of it will have to wait,
                                    too, is listed; marks go in all the same, since they move nothing

A batch of rows lands in one transaction. What it changes is in a `Progress` of its own, which counts once the transaction is
committed, so that a batch can be repeated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import orjson

from engine import inbox
from engine.importers.deciding import Answer, Decider, How, Waits
from engine.importers.facts import decode_fact, event_from_stored, keys_of, require_alike, require_sound, type_of
from engine.importers.items import Movement, QuarantinedRow
from engine.importers.pricing import Known
from engine.importers.sides import sides_of
from engine.importers.simulation import Simulation
from engine.importers.spool import SpooledRow
from engine.inbox import Entry
from engine.transaction import Transaction
from ledger import store
from ledger.errors import KeyConflict, NetbasisError, Refused
from ledger.events import Adjustment, Event, Fill, Mark
from ledger.rules import complete, require_not_ahead
from ledger.stored import StoredEvent
from ledger.texts import normal_tx_hash

ROWS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Policy:
    """How an import treats what does not go straight in.

    how:       how movements are decided
    goes_on:   past a movement that waits
    is_strict: everything goes in, or nothing
    is_dry:    nothing is written
    """

    how: How = field(default_factory=How)
    goes_on: bool = False
    is_strict: bool = False
    is_dry: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """Rows that are held back.

    count:        how many
    first, last:  the first and the last of them
    """

    count: int
    first: SpooledRow
    last: SpooledRow


@dataclass(slots=True)
class Progress:
    """What an import has done so far.

    added:        by event type, how many events
    existed:      how many rows were in the book already
    dismissed:    how many rows a person has dismissed before
    same:         how many rows are movements that the book had under another key
    internal:     how many rows moved between two accounts of the book, and are no capital
    quarantined:  rows that do not fit the book
    waiting:      the entries of the inbox that the import has met, by key
    stopped_at:   the entry behind which rows are held back; None while none are
    held:         those rows; None for none
    known:        what it has learnt about prices and times
    simulation:   balances as they would be with what is held back; None while nothing is
    markers:      the open entries of held rows, by the key of their last row
    open:         the other movements that wait in the inbox, by key
    other_sides:  the other side of each movement that is paired within the book, by key; see `Spool.pairs`
    paired:       the keys of rows that were found to be internal in this import
    """

    known: Known
    added: Counter[str] = field(default_factory=Counter)
    existed: int = 0
    dismissed: int = 0
    same: int = 0
    internal: int = 0
    quarantined: list[QuarantinedRow] = field(default_factory=list)
    waiting: dict[str, Entry] = field(default_factory=dict)
    stopped_at: Entry | None = None
    held: Held | None = None
    simulation: Simulation | None = None
    markers: dict[str, Entry] = field(default_factory=dict)
    open: dict[str, Entry] = field(default_factory=dict)
    other_sides: Mapping[str, SpooledRow | Entry] = field(default_factory=dict)
    paired: set[str] = field(default_factory=set)

    def copy(self) -> Progress:
        """A copy to work on in a transaction."""
        return replace(
            self,
            known=self.known.copy(),
            added=Counter(self.added),
            quarantined=list(self.quarantined),
            waiting=dict(self.waiting),
            simulation=self.simulation.copy() if self.simulation else None,
            markers=dict(self.markers),
            open=dict(self.open),
            paired=set(self.paired),
        )


MARKER = "held:"
# The cause of an entry that was settled because it moved between two accounts of the book.
INTERNAL = "internal"


@dataclass(slots=True)
class _ParsedRow:
    """A row with its facts as stored, and their keys."""

    row: SpooledRow
    facts: list[dict[str, Any]]
    keys: list[str]

    @property
    def movements(self) -> list[int]:
        """The positions of its movements."""
        return [position for position, fact in enumerate(self.facts) if fact["type"] == "movement"]

    @property
    def is_mark(self) -> bool:
        """Whether it states prices, and moves nothing."""
        return all(fact["type"] == "mark" for fact in self.facts)


class Landing:
    """Lands rows in one transaction.

    progress:  what has been done, including what this transaction does
    """

    def __init__(self, transaction: Transaction, policy: Policy, progress: Progress, now: datetime) -> None:
        self.transaction = transaction
        self.policy = policy
        self.progress = progress
        self._now = now
        self._book = transaction.book
        self._decider = Decider(transaction, progress.known, policy.how, now)
        # Events that are about to be appended, each with its row; the keys of them.
        self._unappended: list[tuple[Event, SpooledRow]] = []
        self._keys: dict[str, Event] = {}
        self._there: dict[str, StoredEvent] = {}
        self._entries: dict[str, Entry] = {}

    def land(self, rows: Sequence[SpooledRow]) -> None:
        """Land rows in their order."""
        for start in range(0, len(rows), ROWS_AT_ONCE):
            parsed = [_parse(row) for row in rows[start : start + ROWS_AT_ONCE]]
            keys = [key for one in parsed for key in one.keys]
            self._there = store.find_keys(self.transaction.connection, self._book.name, keys)
            self._entries = inbox.find_keys(
                self.transaction.connection, self._book.name, [one.row.key for one in parsed if one.movements]
            )
            for one in parsed:
                self._land(one)
                self._settle_marker(one.row)
            self._append()

    def _land(self, parsed: _ParsedRow) -> None:
        if len(parsed.movements) > 1:
            self._quarantine(parsed.row, "a row of several movements cannot be taken apart")
        elif parsed.movements:
            self._land_movement(parsed, parsed.movements[0])
        else:
            events = self._new_events(parsed)
            if events is None:
                return
            if not events:
                self.progress.existed += 1
            elif not parsed.is_mark and self._is_behind(parsed.row):
                self._hold(parsed.row, events)
            else:
                self._take(events, parsed.row)

    # Facts that are no movements

    def _new_events(self, parsed: _ParsedRow, without: int | None = None) -> list[Event] | None:
        """The events of a row that the book does not have; None when the row was quarantined. `without`: a fact to skip."""
        new = []
        try:
            for position, (fact, key) in enumerate(zip(parsed.facts, parsed.keys, strict=True)):
                if position == without:
                    continue
                event = event_from_stored(fact, key, parsed.row.at)
                complete(event, self._book)
                if isinstance(event, Mark):
                    require_not_ahead(event.at, self._now)
                if not self._is_there(event, key):
                    new.append(event)
        except (Refused, KeyConflict) as error:
            self._quarantine(parsed.row, str(error))
            return None
        return new

    def _is_there(self, event: Event, key: str) -> bool:
        """Whether the book, or what is about to be appended, has the event. Raises KeyConflict."""
        stored = self._there.get(key)
        if stored is not None:
            require_alike(event, stored)
        return stored is not None or key in self._keys

    def _take(self, events: Sequence[Event], row: SpooledRow) -> None:
        for event in events:
            assert event.key is not None
            self._unappended.append((event, row))
            self._keys[event.key] = event

    def _append(self) -> None:
        """Append what was taken. Raises Refused, naming the row, when the log refuses it."""
        if not self._unappended:
            return
        taken, self._unappended, self._keys = self._unappended, [], {}
        refused: dict[int, NetbasisError] = {}

        def on_refused(error: NetbasisError) -> None:
            assert error.index is not None
            refused[error.index] = error

        for outcome in self.transaction.append_all((event for event, _ in taken), on_refused=on_refused):
            if not outcome.existed:
                self.progress.added[outcome.stored.type] += 1
                self.progress.known.learn(outcome.stored, self._book.numeraire, self._now)
        for index, error in refused.items():
            self._quarantine(taken[index][1], str(error))

    # Movements

    def _land_movement(self, parsed: _ParsedRow, position: int) -> None:
        movement = decode_fact(parsed.facts[position])
        assert isinstance(movement, Movement)
        row, key = parsed.row, parsed.keys[position]
        self._append()
        if self._is_settled(row, movement, key):
            return
        others = self._new_events(parsed, without=position)
        if others is None:
            return
        try:
            require_sound(movement)
        except Refused as error:
            self._quarantine(row, str(error))
            return
        if self._is_recorded(row, movement):
            self._take_others(row, self._unrecorded(others, movement))
            return
        if self._is_internal(row, movement):
            self._land_internal(row, others)
        elif self._is_behind(row):
            self._hold_movement(row, movement, others)
        else:
            self._decide(row, movement, key, others)

    def _is_settled(self, row: SpooledRow, movement: Movement, key: str) -> bool:
        """Whether the movement is in the book, or a person has settled it; counts it then."""
        entry, stored = self._entries.get(row.key), self._there.get(key)
        if stored is not None:
            own = stored.effects.own
            if (stored.type, stored.asset) != (type_of(movement), movement.asset) or (
                own is None or own.delta.copy_abs() != movement.amount
            ):
                self._quarantine(row, f"version {stored.version} of the book has its key, with other content")
            else:
                self.progress.existed += 1
                if entry is not None and entry.is_open:
                    self._resolve(entry, stored.version)
            return True
        if entry is None or entry.is_open:
            return False
        if entry.cause == INTERNAL or entry.sort == "same":
            return False  # what else the row has may not be in yet
        if entry.status == "dismissed":
            self.progress.dismissed += 1
        else:
            self.progress.existed += 1
        return True

    def _is_recorded(self, row: SpooledRow, movement: Movement) -> bool:
        """Whether the movement is in the book under another key; counts and remembers it then."""
        try:
            version = self._decider.same_movement(movement, row.kind, row.key)
        except Waits:
            return False  # of another amount: it waits, when it is its turn
        if version is None:
            return False
        self._decider.taken.add((row.kind, version))
        there = self._entries.get(row.key)
        if there is not None and (there.sort, there.version) == ("same", version):
            self.progress.existed += 1
            return True
        self.progress.same += 1
        entry = self._entry_of(row, movement, "same", "it is in the book under another key")
        settled = replace(entry, sort="same", status="resolved", version=version, settled_at=self._now)
        self._put(settled)
        self.progress.waiting.pop(row.key, None)
        self.progress.open.pop(row.key, None)
        return True

    def _is_internal(self, row: SpooledRow, movement: Movement) -> bool:
        """Whether the movement has its other side in the book, so that it is no capital; settles both then."""
        entry = self._entries.get(row.key)
        if entry is not None and entry.status == "answered":
            return False
        if row.key in self.progress.paired or (entry is not None and entry.cause == INTERNAL):
            return True
        other = self._other_side(row, movement)
        if other is None:
            return False
        for entry in (self._entry_of(row, movement, INTERNAL, ""), other):
            detail = _between(f"{other.file}, {other.place}") if entry.key == row.key else _between(row.origin)
            settled = replace(entry, cause=INTERNAL, detail=detail, status="resolved", settled_at=self._now)
            self._entries[entry.key] = self._put(settled)
            self.progress.waiting.pop(entry.key, None)
            self.progress.open.pop(entry.key, None)
            self.progress.paired.add(entry.key)
        return True

    def _other_side(self, row: SpooledRow, movement: Movement) -> Entry | None:
        """The entry of the other side, which waits or is in these files; None for none that is still open."""
        connection, name = self.transaction.connection, self._book.name
        paired = self.progress.other_sides.get(row.key)
        if isinstance(paired, SpooledRow):
            there = inbox.find_keys(connection, name, [paired.key]).get(paired.key)
            if there is not None:
                return there if there.status == "waiting" else None
            parsed = _parse(paired)
            position = parsed.movements[0]
            if len(parsed.movements) > 1 or store.find_keys(connection, name, [parsed.keys[position]]):
                return None
            other = decode_fact(parsed.facts[position])
            assert isinstance(other, Movement)
            return self._entry_of(paired, other, INTERNAL, "")
        sides = sides_of(connection, [name], type_of(movement), movement.tx_hash, movement.asset)
        waiting = (side.found for side in sides if isinstance(side.found, Entry) and side.amount == movement.amount)
        return next((entry for entry in waiting if entry.status == "waiting"), None)

    def _land_internal(self, row: SpooledRow, others: Sequence[Event]) -> None:
        if row.key in self.progress.paired:
            self.progress.internal += 1
        elif not others:
            self.progress.existed += 1
        self._take_others(row, others)

    def _take_others(self, row: SpooledRow, others: Sequence[Event]) -> None:
        """Take what else the row of a movement has, or hold it back."""
        if others and self._is_behind(row):
            self._hold(row, others)
        else:
            self._take(others, row)

    def _unrecorded(self, others: Sequence[Event], movement: Movement) -> list[Event]:
        """What else the row of a movement has that was recorded by hand, except what was recorded with it, such as a fee."""
        tx_hash = normal_tx_hash(movement.tx_hash or "")
        there = [
            (stored.asset, own.delta)
            for asset in {each.asset for each in others if isinstance(each, Adjustment)}
            for stored in self.transaction.find_movements("adjustment", tx_hash, asset)
            if (own := stored.effects.own) is not None
        ]
        return [each for each in others if not (isinstance(each, Adjustment) and (each.asset, each.amount) in there)]

    def _decide(self, row: SpooledRow, movement: Movement, key: str, others: list[Event]) -> None:
        entry = self._entries.get(row.key)
        answer = Answer.from_text(entry.answer) if entry else None
        self._decider.pending = len(self.progress.open)
        try:
            if answer is None:
                self._require_clear(row, movement)
            events = self._decider.decide(movement, key, row.at, answer)
        except Waits as waits:
            self._wait(row, movement, waits)
            return
        except Refused as error:
            self._quarantine(row, str(error))
            return
        self._take([*events, *others], row)
        self._append()
        stored = self.transaction.find_key(key) if entry is not None else None
        if entry is not None and stored is not None:
            self._resolve(entry, stored.version, actor=answer.actor if answer else None)

    def _require_clear(self, row: SpooledRow, movement: Movement) -> None:
        """Raises Waits when the book has a movement that is like this one but not surely the same."""
        self._decider.same_movement(movement, row.kind, row.key)
        self._decider.require_no_other_side(movement)
        self._decider.require_unlike_proposals(movement, row.at)

    def _wait(self, row: SpooledRow, movement: Movement, waits: Waits, *, is_reached: bool = True) -> None:
        entry = self._entry_of(row, movement, waits.cause, waits.detail, is_reached=is_reached)
        entry = self._put(entry)
        self.progress.waiting[row.key] = entry
        self.progress.open[row.key] = entry
        if not self.policy.goes_on and self.progress.stopped_at is None:
            self._stop_at(entry)
            assert self.progress.simulation is not None
            self.progress.simulation.move(movement)

    def _stop_at(self, entry: Entry) -> None:
        self.progress.stopped_at = entry
        self.progress.simulation = Simulation.of(self.transaction.state, self._book.numeraire)

    def _resolve(self, entry: Entry, version: int | None, actor: str | None = None) -> None:
        self._put(replace(entry, status="resolved", version=version, settled_at=self._now, actor=actor or entry.actor))
        self.progress.waiting.pop(entry.key, None)
        self.progress.open.pop(entry.key, None)

    def _entry_of(
        self, row: SpooledRow, movement: Movement, cause: str, detail: str, *, is_reached: bool = True
    ) -> Entry:
        there = self._entries.get(row.key)
        return Entry(
            id=there.id if there else 0,
            sort="movement",
            status=there.status if there and there.is_open and not is_reached else "waiting",
            kind=row.kind,
            key=row.key,
            type=type_of(movement),
            at=row.at,
            asset=movement.asset,
            amount=movement.amount,
            tx_hash=movement.tx_hash,
            cause=cause,
            detail=detail,
            file=row.origin.file,
            place=row.origin.place,
            facts=row.facts,
            answer=there.answer if there and not is_reached else None,
            is_reached=is_reached,
            row_count=0,
            created_at=there.created_at if there else self._now,
        )

    def _put(self, entry: Entry) -> Entry:
        if self.policy.is_dry:
            return entry
        return inbox.put(self.transaction.connection, self._book.name, entry)

    # What is held back

    def _is_behind(self, row: SpooledRow) -> bool:
        """Whether a row has to be held back behind a movement that waits."""
        if self.policy.goes_on:
            return False
        if self.progress.stopped_at is None:
            earlier = [entry for entry in self.progress.open.values() if entry.at < row.at and entry.key != row.key]
            if earlier:
                self._stop_at(min(earlier, key=lambda entry: (entry.at, entry.id)))
        return self.progress.stopped_at is not None

    def _hold(self, row: SpooledRow, events: Sequence[Event]) -> None:
        held = self.progress.held
        self.progress.held = Held(1 if held is None else held.count + 1, row if held is None else held.first, row)
        assert self.progress.simulation is not None
        for event in events:
            if isinstance(event, Fill | Adjustment):
                self.progress.simulation.add(event, row.at)

    def _hold_movement(self, row: SpooledRow, movement: Movement, others: Sequence[Event]) -> None:
        """Hold a movement back, and list it when it will have to wait."""
        self._hold(row, others)
        entry = self._entries.get(row.key)
        assert self.progress.simulation is not None
        try:
            if entry is None or entry.status != "answered":
                self._require_clear(row, movement)
                self._decider.require_decidable_later(movement, row.at, self.progress.simulation)
        except Waits as waits:
            self._wait(row, movement, waits, is_reached=False)
        self.progress.simulation.move(movement)

    def _settle_marker(self, row: SpooledRow) -> None:
        """A row that ended what was held back has come again: it is in the book, or held back anew."""
        marker = self.progress.markers.pop(row.key, None)
        if marker is not None:
            self._put(replace(marker, status="resolved", settled_at=self._now))

    def put_marker(self) -> Entry | None:
        """Put what is held back into the inbox, so that nothing is decided without it; None when nothing is."""
        held, stopped_at = self.progress.held, self.progress.stopped_at
        if held is None or stopped_at is None:
            return None
        rows = "1 row" if held.count == 1 else f"{held.count} rows"
        verb = "is" if held.count == 1 else "are"
        detail = f"{rows} from {held.first.origin} on {verb} held back behind entry {stopped_at.id}"
        marker = Entry(
            id=0,
            sort="held",
            status="waiting",
            kind=held.first.kind,
            key=f"{MARKER}{held.last.key}",
            type="rows",
            at=held.first.at,
            asset=None,
            amount=None,
            tx_hash=None,
            cause="held",
            detail=detail,
            file=held.first.origin.file,
            place=held.first.origin.place,
            facts=None,
            answer=None,
            is_reached=True,
            row_count=held.count,
            created_at=self._now,
        )
        return self._put(marker)

    def _quarantine(self, row: SpooledRow, reason: str) -> None:
        self.progress.quarantined.append(QuarantinedRow(row.origin, reason, row.facts.decode()[:200]))


def _between(other: object) -> str:
    return f"it moved between two accounts of this book; the other side is {other}"


def _parse(row: SpooledRow) -> _ParsedRow:
    facts = orjson.loads(row.facts)
    return _ParsedRow(row, facts, keys_of(row.key, row.at, facts))
