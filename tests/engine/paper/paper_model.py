"""A paper session as an obvious loop: fractions, no batches, everything computed anew for each row. The product must agree.

For tapes of trades, and for spreads and fees whose products have at most 18 decimals, so that nothing is rounded here.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from engine.paper.strategy_config import Strategy

Row = tuple[str, int, str, str, str]


class Model:
    """What a session should record: side or `mark`, row, base amount or price, quote amount, fee."""

    def __init__(self, plan: Strategy, *, rlusd: str, xrp: str) -> None:
        self.plan = plan
        self.rlusd, self.xrp = Fraction(rlusd), Fraction(xrp)
        self.seen: list[tuple[datetime, Fraction, Fraction]] = []
        self.bid: Fraction | None = None
        self.ask: Fraction | None = None
        self.marked_at: datetime | None = None
        self.made: list[Row] = []

    def run(self, tape: str) -> list[Row]:
        """Go through a tape of trades."""
        rows = [line.split(",") for line in tape.splitlines()[1:]]
        for row, (at_text, price_text, size_text) in enumerate(rows, 2):
            at, price, size = datetime.fromisoformat(at_text), Fraction(price_text), Fraction(size_text)
            if self.bid is not None and price < self.bid:
                self._fill("buy", row, self.bid, size)
            if self.ask is not None and price > self.ask:
                self._fill("sell", row, self.ask, size)
            self._mark(row, at, price, is_last=row == len(rows) + 1)
            self.seen.append((at, price, size))
            self._quote(price)
        return self.made

    def _fill(self, side: str, row: int, price: Fraction, size: Fraction) -> None:
        amount = min(self._amount(price), size * 10**6 // 1 / Fraction(10**6))
        worth = amount * price
        if worth:
            fee = worth * Fraction(self.plan.maker_fee_bps) / 10_000
            self.xrp += amount if side == "buy" else -amount
            self.rlusd += (-worth if side == "buy" else worth) - fee
            self.made.append((side, row, text_of(amount), text_of(worth), text_of(fee)))

    def _mark(self, row: int, at: datetime, price: Fraction, *, is_last: bool) -> None:
        if self.marked_at is None or at - self.marked_at >= self.plan.mark_interval or is_last:
            self.marked_at = at
            self.made.append(("mark", row, text_of(price), "", ""))

    def _quote(self, price: Fraction) -> None:
        half = Fraction(self.plan.half_spread_bps) / 10_000
        bid, ask = price * (1 - half), price * (1 + half)
        cost = self._amount(bid) * bid * (1 + Fraction(self.plan.maker_fee_bps) / 10_000)
        would_be = self.rlusd + Fraction(self.plan.base_size_rlusd)
        anchor = self._anchor()
        is_near = abs(price - anchor) / anchor * 10_000 <= Fraction(self.plan.anchor_max_divergence_bps)
        may_sell = self._amount(ask) <= self.xrp and would_be <= Fraction(self.plan.max_rlusd_exposure)
        self.bid = bid if is_near and cost <= self.rlusd else None
        self.ask = ask if is_near and may_sell else None

    def _amount(self, price: Fraction) -> Fraction:
        return Fraction(self.plan.base_size_rlusd) / price * 10**6 // 1 / Fraction(10**6)

    def _anchor(self) -> Fraction:
        now = self.seen[-1][0]
        self.seen = [each for each in self.seen if now - each[0] < self.plan.anchor_window]
        recent = [(price, size) for _, price, size in self.seen]
        if not any(size for _, size in recent):
            recent = [(price, Fraction(1)) for price, _ in recent]
        return Fraction(sum(price * size for price, size in recent), sum(size for _, size in recent))


def text_of(number: Fraction) -> str:
    """The exact decimal text of a fraction that has one of at most 18 decimals."""
    units = number * 10**18
    assert units.denominator == 1, "the model does not round"
    digits = f"{Decimal(int(units)).scaleb(-18):f}"
    return digits.rstrip("0").rstrip(".") or "0"
