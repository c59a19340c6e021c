"""Make examples/tape.csv: market trades of XRP in RLUSD that nobody made, always the same ones.

    python examples/make_tape.py > examples/tape.csv

A price that wanders and comes back, with one sudden fall. Prices and sizes are whole numbers of their smallest units until
they are written, so no binary float comes near them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random

SEED = 20260105
ROWS = 600
START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
PRICE_TICKS = 13_300  # of 0.0001 RLUSD
FALL_AT_ROW, FALL_TICKS = 380, 60
DROPS = 1_000_000  # of an XRP


def rows(seed: int = SEED, count: int = ROWS) -> Iterator[str]:
    """The lines of the tape, its header first."""
    random = Random(seed)  # noqa: S311 - repeatable, not secret
    at, ticks = START, PRICE_TICKS
    yield "at,price,size"
    for row in range(count):
        at += timedelta(seconds=random.randrange(10, 51))
        ticks += random.randrange(-7, 8) + (PRICE_TICKS - ticks) // 60
        if row == FALL_AT_ROW:
            ticks -= FALL_TICKS
        price = ticks + random.choice((-2, 2))  # a seller's trade or a buyer's
        drops = random.randrange(1, 40) * random.randrange(1, 4 * DROPS)
        yield f"{at:%Y-%m-%dT%H:%M:%SZ},{_decimal(price, 4)},{_decimal(drops, 6)}"


def _decimal(units: int, decimals: int) -> str:
    whole, rest = divmod(units, 10**decimals)
    return f"{whole}.{rest:0{decimals}}"


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in rows())
