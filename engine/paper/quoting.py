"""The quoting decision, a pure function: market, balances and strategy in; a bid and an ask out, or why there is none.

A quote is `half_spread_bps` away from the mid price. Its size is given in the numeraire: the base amount is size ÷ price,
rounded down to 6 decimals, and the quote amount is the value of that. A worked example, mid 1.33, 10 bps, size 15: bid
1.32867 for 11.28948 (quote 14.9999933916), ask 1.33133 for 11.266928. A quote is filled when the tape trades beyond its
price, not at it, and for no more than was traded.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, Context, Decimal
from enum import StrEnum
from functools import cached_property
from typing import Literal

from engine.paper import exposure
from engine.paper.anchor import Observation
from engine.paper.strategy_config import Strategy
from engine.paper.tape import Tick
from ledger.amounts import add, subtract, value

BASE_DECIMALS = 6
_DOWN = Context(prec=150, rounding=ROUND_DOWN)
_SMALLEST = Decimal(1).scaleb(-BASE_DECIMALS)
_BPS = Decimal("0.0001")

QuoteSide = Literal["bid", "ask"]


class Reason(StrEnum):
    """Why a side has no quote."""

    ANCHOR_DIVERGENCE = "anchor_divergence"
    EXPOSURE_LIMIT = "exposure_limit"
    QUOTE_BALANCE = "quote_balance"
    BASE_BALANCE = "base_balance"
    SIZE_TOO_SMALL = "size_too_small"


@dataclass(frozen=True, slots=True)
class Balances:
    """What there is to trade with.

    base:   of the base asset
    quote:  of the quote asset, which is the numeraire
    """

    base: Decimal
    quote: Decimal


@dataclass(frozen=True, slots=True)
class Quote:
    """An intent to trade.

    side:          a bid buys base, an ask sells it
    price:         of one unit of base, in the numeraire
    base_amount:   how much base
    quote_amount:  what it costs, in the numeraire, without the fee
    """

    side: QuoteSide
    price: Decimal
    base_amount: Decimal
    quote_amount: Decimal


@dataclass(frozen=True, slots=True)
class TradedLots:
    """What a filled quote exchanged.

    side:          of the quote
    base_amount:   how much base
    quote_amount:  what it cost, in the numeraire, without the fee
    fee:           in the numeraire; negative for a rebate
    """

    side: QuoteSide
    base_amount: Decimal
    quote_amount: Decimal
    fee: Decimal


@dataclass(frozen=True, slots=True)
class Intents:
    """Both sides; each is a quote, or the reason for having none."""

    bid: Quote | Reason
    ask: Quote | Reason

    @property
    def quotes(self) -> list[Quote]:
        """The quotes that stand."""
        return [side for side in (self.bid, self.ask) if isinstance(side, Quote)]

    @property
    def is_complete(self) -> bool:
        """Whether both sides have a quote."""
        return isinstance(self.bid, Quote) and isinstance(self.ask, Quote)


@dataclass(frozen=True)
class Quoter:
    """Decides by a strategy and an exposure gate. It keeps no state between decisions."""

    strategy: Strategy
    gate: exposure.Gate = exposure.quote_may_stand

    @cached_property
    def _half_spread(self) -> Decimal:
        return _DOWN.multiply(self.strategy.half_spread_bps, _BPS)

    @cached_property
    def _fee_rate(self) -> Decimal:
        return _DOWN.multiply(self.strategy.maker_fee_bps, _BPS)

    @cached_property
    def _max_divergence(self) -> Decimal:
        return _DOWN.multiply(self.strategy.anchor_max_divergence_bps, _BPS)

    def intents(self, market: Observation, balances: Balances) -> Intents:
        """The quotes that may stand after a row of the tape."""
        mid, anchor = market.tick.mid, market.anchor
        if subtract(mid, anchor).copy_abs() > _DOWN.multiply(anchor, self._max_divergence):
            return Intents(Reason.ANCHOR_DIVERGENCE, Reason.ANCHOR_DIVERGENCE)
        return Intents(self._bid(mid, balances), self._ask(mid, balances))

    def _bid(self, mid: Decimal, balances: Balances) -> Quote | Reason:
        quote = self._quote("bid", value(mid, subtract(Decimal(1), self._half_spread)))
        if quote is None:
            return Reason.SIZE_TOO_SMALL
        cost = add(quote.quote_amount, self._fee(quote.quote_amount))
        return quote if cost <= balances.quote else Reason.QUOTE_BALANCE

    def _ask(self, mid: Decimal, balances: Balances) -> Quote | Reason:
        strategy = self.strategy
        if not self.gate(balances.quote, strategy.base_size_rlusd, strategy.max_rlusd_exposure):
            return Reason.EXPOSURE_LIMIT
        quote = self._quote("ask", value(mid, add(Decimal(1), self._half_spread)))
        if quote is None:
            return Reason.SIZE_TOO_SMALL
        return quote if quote.base_amount <= balances.base else Reason.BASE_BALANCE

    def _quote(self, side: QuoteSide, price: Decimal) -> Quote | None:
        """A quote of the configured size; None when the size is too small at this price."""
        if price.is_zero():
            return None
        base = _down_to_smallest(_DOWN.divide(self.strategy.base_size_rlusd, price))
        worth = value(base, price)
        return None if worth.is_zero() else Quote(side, price, base, worth)

    def trade(self, quote: Quote, tick: Tick) -> TradedLots | None:
        """What a quote exchanges at a row of the tape; None when the row does not trade through its price."""
        is_through = tick.sold_at < quote.price if quote.side == "bid" else tick.bought_at > quote.price
        if not is_through:
            return None
        base, worth = quote.base_amount, quote.quote_amount
        if tick.size is not None and tick.size < base:
            base = _down_to_smallest(tick.size)
            worth = value(base, quote.price)
        return None if worth.is_zero() else TradedLots(quote.side, base, worth, self._fee(worth))

    def _fee(self, quote_amount: Decimal) -> Decimal:
        return value(quote_amount, self._fee_rate)


def settle(balances: Balances, traded: TradedLots) -> Balances:
    """The balances after a trade."""
    if traded.side == "bid":
        return Balances(
            add(balances.base, traded.base_amount),
            subtract(balances.quote, add(traded.quote_amount, traded.fee)),
        )
    return Balances(
        subtract(balances.base, traded.base_amount), add(balances.quote, subtract(traded.quote_amount, traded.fee))
    )


def _down_to_smallest(amount: Decimal) -> Decimal:
    return _DOWN.quantize(amount, _SMALLEST)
