"""What a paper session says while it runs: structured records, each an event's name and its fields.

A record's message is the name (`no_quotes`, `lot_recorded`, …) and its attribute `fields` a mapping; how they are printed
is the application's (`cli.shared.logs`). Why there is no quote is said once per reason and interval of tape time, not once
a row.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from engine.paper.anchor import Observation
from engine.paper.quoting import Balances, Intents, Quote, QuoteSide, Reason

LOGGER = logging.getLogger("netbasis.paper")
LOGGER.addHandler(logging.NullHandler())  # without it a library user's stderr gets bare names


def log_record(level: int, name: str, **fields: object) -> None:
    """Log an event with its fields."""
    if LOGGER.isEnabledFor(level):
        LOGGER.log(level, name, extra={"fields": fields})


@dataclass(frozen=True, slots=True)
class IdleRow:
    """A row after which a side has no quote, and the balances then."""

    market: Observation
    intents: Intents
    balances: Balances


class Silence:
    """Says why there is no quote, and counts the rows by side and reason."""

    def __init__(self, interval: timedelta) -> None:
        self.rows: Counter[tuple[QuoteSide, Reason]] = Counter()
        self._interval = interval
        self._said_at: dict[tuple[Reason | None, Reason | None], datetime] = {}

    def take(self, idle: Iterable[IdleRow]) -> None:
        """Take the rows in order. No quote at all is a warning; one side without one is information."""
        for row in idle:
            bid, ask = _reason(row.intents.bid), _reason(row.intents.ask)
            if bid is not None:
                self.rows["bid", bid] += 1
            if ask is not None:
                self.rows["ask", ask] += 1
            tick, said_at = row.market.tick, self._said_at.get((bid, ask))
            if said_at is None or tick.at - said_at >= self._interval:
                self._said_at[bid, ask] = tick.at
                _say(row, bid, ask)


def _reason(side: Quote | Reason) -> Reason | None:
    return side if isinstance(side, Reason) else None


def _say(row: IdleRow, bid: Reason | None, ask: Reason | None) -> None:
    tick = row.market.tick
    state = {
        "at": tick.at,
        "row": tick.row,
        "mid": tick.mid,
        "anchor": row.market.anchor,
        "base_balance": row.balances.base,
        "quote_balance": row.balances.quote,
    }
    if bid is not None and ask is not None:
        log_record(logging.WARNING, "no_quotes", bid=bid, ask=ask, **state)
    elif bid is not None:
        log_record(logging.INFO, "no_bid", reason=bid, **state)
    else:
        log_record(logging.INFO, "no_ask", reason=ask, **state)
