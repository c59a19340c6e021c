"""The notes of `check`: what is unusual, but allowed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from datetime import datetime

from ledger.amounts import amount_text
from ledger.events import MOVES_BALANCE, Event, Withdrawal
from ledger.stored import StoredEvent
from ledger.times import CLOCK_TOLERANCE, time_text
from projections.state import BookState


class Notes:
    """Watches the log go by and keeps what is worth a note; memory grows with what it notes, not with the log.

    `now`: what the clock says. `reversed_marks`: the versions of the marks that no longer stand. `limit`: what is
    dated later is ahead of the clock.
    """

    def __init__(self, now: datetime, reversed_marks: Collection[int]) -> None:
        self.limit = now + CLOCK_TOLERANCE
        self._reversed_marks = reversed_marks
        self._ahead: Counter[str] = Counter()
        self._first_ahead: dict[str, int] = {}
        self._of_events: list[str] = []

    def observe(self, stored: StoredEvent, event: Event | None) -> None:
        """Look at one event; `event` is None when its bytes cannot be read."""
        if stored.at > self.limit:
            self._observe_ahead(stored)
        evidence = event.evidence if isinstance(event, Withdrawal) else None
        if evidence is None or evidence.late is not None:
            return
        for mark in evidence.marks:
            if mark.at - stored.at > CLOCK_TOLERANCE:
                self._of_events.append(
                    f"the withdrawal at version {stored.version} of {time_text(stored.at)} was decided with a mark of "
                    f"{mark.asset} of {time_text(mark.at)}, which is later"
                )

    def _observe_ahead(self, stored: StoredEvent) -> None:
        if stored.type == "mark" and stored.version not in self._reversed_marks:
            self._of_events.append(
                f"the mark of {stored.asset} at version {stored.version} is dated {time_text(stored.at)}, ahead of the "
                "clock: until then it is passed over; `netbasis reverse` takes it back"
            )
        elif stored.type in MOVES_BALANCE:
            self._ahead[stored.type] += 1
            self._first_ahead.setdefault(stored.type, stored.version)

    def lines(self, state: BookState) -> Iterator[str]:
        """What was noted, and what is unusual about the state that the log adds up to."""
        yield from self._of_events
        for kind, count in self._ahead.items():
            first = self._first_ahead[kind]
            if count == 1:
                yield f"the {kind} at version {first} is dated ahead of the clock"
            else:
                yield f"{count} events of type {kind} are dated ahead of the clock, the first at version {first}"
        for asset, holding in state.inventory.items():
            if holding.total < 0:
                yield f"the balance of {asset} is negative: {amount_text(holding.total)}"
        if state.basis.net_basis < 0:
            yield f"net basis is negative: {amount_text(state.basis.net_basis)}"
        if not state.basis.is_known:
            yield f"{state.basis.unknown_bases} deposits have an unknown basis and no synthetic initial basis stands"
