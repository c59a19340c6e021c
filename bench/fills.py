"""Fills as a market maker of XRP against RLUSD records them: seeded, with the digits that the ledger of the venue has.

XRP comes in drops (6 decimals), RLUSD with up to 16 significant digits. All of it is made of whole numbers and decimals.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from random import Random

FIRST_AT = datetime(2026, 1, 5, 9, tzinfo=UTC)
MICRO = Decimal("0.000001")
FILLS_PER_SESSION = 400
_TOKEN = Context(prec=16)
_MOST_BETWEEN = 400_000_000  # microseconds from one fill to the next
# However many there are, all lie before today: a check has a note for each event that is dated ahead of the clock.
_ALL_TOGETHER = timedelta(days=300) // timedelta(microseconds=1)


def fills(count: int, seed: int) -> Iterator[dict[str, str]]:
    """`count` fills as the fields of their events; the price walks around 1.33, a fill is worth some 15 RLUSD."""
    random = Random(seed)  # noqa: S311 - repeatable, not secret
    at, price_micros = FIRST_AT, 1_330_000
    most_between = min(_MOST_BETWEEN, 2 * _ALL_TOGETHER // max(count, 1))
    for index in range(count):
        at += timedelta(microseconds=random.randrange(1_000, most_between))
        price_micros += random.randrange(-400, 401) + (1_330_000 - price_micros) // 500
        base = random.randrange(1_000_000, 22_000_000) * MICRO
        tx_hash = f"{random.getrandbits(256):064X}"
        yield {
            "type": "fill",
            "at": at.isoformat(timespec="microseconds"),
            "key": f"xrpl:{tx_hash}",
            "side": random.choice(("buy", "sell")),
            "base_asset": "XRP",
            "base_amount": str(base),
            "quote_asset": "RLUSD",
            "quote_amount": str(_TOKEN.divide(base * price_micros * MICRO, 1 + random.randrange(999) * MICRO)),
            "fee_asset": "XRP",
            "fee_amount": f"0.0000{random.randrange(10, 16)}",
            "order_id": str(90_000_000 + index),
            "liquidity": "maker",
            "tx_hash": tx_hash,
            "session_id": f"live-{index // FILLS_PER_SESSION:05}",
        }
