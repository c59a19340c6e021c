"""Which events an export has: a filter chooses events, and a reversal goes with the event that it reverses.

A file that has a reversal without its event cannot be read back, and one that has an event without the reversal that took
it back would make it count. So the reversal of an event that was left out is left out, too, and counted; the reversal of
one that was chosen is there, unless it lies outside the period itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from engine.views import NOW, Moment
from ledger.stored import StoredEvent


@dataclass(frozen=True, slots=True)
class Choice:
    """Which events are exported. None means no limit.

    type:        the event's type
    asset:       an asset that it moves, or is about
    session:     its session id
    strategy:    its strategy
    start, end:  `start` ≤ `at` < `end`, UTC
    moment:      what had happened, and what was known, by then
    """

    type: str | None = None
    asset: str | None = None
    session: str | None = None
    strategy: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    moment: Moment = NOW

    @property
    def is_whole(self) -> bool:
        """Whether every event is chosen."""
        return self == Choice()

    def is_in_time(self, stored: StoredEvent) -> bool:
        """Whether an event lies in the period, and counts at the moment."""
        as_of, known_at = self.moment.as_of, self.moment.known_at
        return (
            (self.start is None or stored.at >= self.start)
            and (self.end is None or stored.at < self.end)
            and (as_of is None or (stored.version <= as_of if isinstance(as_of, int) else stored.at <= as_of))
            and (known_at is None or stored.recorded_at <= known_at)
        )

    def takes(self, stored: StoredEvent) -> bool:
        """Whether an event that is no reversal is chosen. The opening always is: it has the terms."""
        if stored.type == "opened":
            return True
        about = {stored.asset, *(posting.asset for posting in stored.effects.postings)}
        return (
            self.is_in_time(stored)
            and self.type in (None, stored.type)
            and (self.asset is None or self.asset in about)
            and self.session in (None, stored.session_id)
            and self.strategy in (None, stored.strategy)
        )


@dataclass(slots=True)
class LeftOut:
    """What an export does not have, counted while it is written.

    events:       events that were not chosen
    reversals:    reversals that went with their event, which was not chosen
    corrections:  events that no longer name the event that they correct, since that or its reversal was not chosen
    evidence:     withdrawals without the evidence that would not fit any more, since events before them were not chosen
    transfers:    sides of transfers that are plain deposits and withdrawals: the other side is in another book
    """

    events: int = 0
    reversals: int = 0
    corrections: int = 0
    evidence: int = 0
    transfers: int = 0


@dataclass(slots=True)
class ChosenEvents:
    """The chosen events, in order, as a stream that is read once; memory grows with the reversals, not with the log.

    left:     what has been left out so far
    has_gap:  whether an event that moves something was left out so far
    """

    choice: Choice
    reversals: dict[int, int]
    left: LeftOut = field(default_factory=LeftOut)
    has_gap: bool = False
    _reversed: dict[int, StoredEvent] = field(default_factory=dict)
    _taken_back: set[int] = field(default_factory=set)

    def of(self, log: Iterator[StoredEvent]) -> Iterator[StoredEvent]:
        """The events of the log that are chosen. `reversals`: the reversing version of each reversed one."""
        for stored in log:
            if self._is_chosen(stored):
                yield stored
            else:
                self.left.events += 1
                self.has_gap = self.has_gap or _moves(stored)

    def _is_chosen(self, stored: StoredEvent) -> bool:
        if stored.reverses is None:
            is_chosen = self.choice.takes(stored)
            if is_chosen and stored.version in self.reversals:
                self._reversed[stored.version] = stored
            return is_chosen
        if not self.choice.is_in_time(stored):
            return False
        if stored.reverses not in self._reversed:
            self.left.reversals += 1
            return False
        self._taken_back.add(stored.reverses)
        return True

    def reversed_event(self, version: int) -> StoredEvent:
        """The event that a chosen reversal reverses."""
        return self._reversed[version]

    def corrected_event(self, version: int) -> StoredEvent | None:
        """The event that a chosen event corrects; None when that or its reversal is not there."""
        return self._reversed[version] if version in self._taken_back else None


def _moves(stored: StoredEvent) -> bool:
    return any(stored.effects.postings) or bool(stored.effects.basis_delta)
