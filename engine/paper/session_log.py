"""What a paper session logs while it runs: structured records, each with a name and fields.

A record's message is its name (`no_quotes`, `rows_recorded`, …), and its attribute `fields` is a mapping. The application
decides how they are printed (`cli.shared.logs`). The reason for having no quote is logged once per interval of tape time,
not once per row.
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
LOGGER.addHandler(logging.NullHandler())  # otherwise a library user's stderr would get the names alone


def log_record(level: int, name: str, **fields: object) -> None:
    """Log a record with a name and fields."""
    if LOGGER.isEnabledFor(level):
        LOGGER.log(level, name, extra={"fields": fields})


@dataclass(frozen=True, slots=True)
class IdleRow:
    """A row after which a side has no quote.

    market:    the row and the market after it
    intents:   the quotes, or the reasons for none
    balances:  after the row
    """

    market: Observation
    intents: Intents
    balances: Balances


class Silence:
    """Logs why there is no quote, and counts the rows by side and reason (`rows`)."""

    def __init__(self, interval: timedelta) -> None:
        self.rows: Counter[tuple[QuoteSide, Reason]] = Counter()
        self._interval = interval
        self._said_at: dict[tuple[Reason | None, Reason | None], datetime] = {}

    def take(self, idle: Iterable[IdleRow]) -> None:
        """Log and count rows, in order. No quote at all is logged as a warning, one missing side as information."""
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
