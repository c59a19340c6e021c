"""Cost basis: open lots, what was realised when lots were closed, and what fees and other income came to.

A pure fold, computed when it is asked for: a method of choosing lots never changes the log. Events come in the order of
`at`, then version, without reversed events and their reversals (`standing_order`): a fill that is recorded late must not
give a wrong FIFO or a negative holding period. For every set of events, in the numeraire and to the digit:

    total PnL = realised + unrealised − fees + other income − Σ deltas of baselines

Deposits open lots and withdrawals close them at their own prices, the same that move the starting value. A fee or another
adjustment takes lots at their cost, without a gain. That is the desk's view. In the accountant's (`fees_in_cost`) a fee in
the numeraire raises what a purchase cost and lowers what a sale brought, and a fee in kind is a disposal at its worth.

A cost that is unknown is None, and so is all that hangs on it; it never becomes 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from itertools import groupby

from ledger.amounts import ZERO, add, negate, share, subtract, total, value
from ledger.effects import Posting
from ledger.stored import StoredEvent
from projections.cost_figures import CostBasis, Receipt, minus, negated
from projections.fees import FEE_REASONS
from projections.lots import Cause, Disposal, Lot, Method, OpenLots, Origin, Unpriced, per_unit
from projections.rates import Rates

# Reasons of adjustments that belong together by their group: what comes in takes over the cost of what went out.
EXCHANGES = frozenset({"liquidity", "conversion"})
# What was there before, or is put right: no income, although it is a part of other income in the identity.
NO_INCOME = frozenset({"opening", "reconciliation", *EXCHANGES})


# Called for each lot, or part of one, that an event opens (True) or closes (False), with what did it.
OnLotMoved = Callable[[Lot, bool, Origin], None]


def _nobody(lot: Lot, is_opened: bool, by: Origin) -> None:
    """Nobody wants to know how lots move."""


class CostBasisFold:
    """Folds events one after the other; `result` is what they add up to so far.

    numeraire:      the asset that value is counted in; it has no lots
    method:         which lots are closed first (`projections.lots.METHODS`)
    fees_in_cost:   the accountant's view of fees instead of the desk's
    rates:          of a currency, to have costs, proceeds and income in it as well
    on_moved:       told of each lot that is opened or closed
    """

    def __init__(
        self,
        numeraire: str,
        method: Method,
        *,
        fees_in_cost: bool = False,
        rates: Rates | None = None,
        on_moved: OnLotMoved = _nobody,
    ) -> None:
        self._on_moved = on_moved
        self._numeraire = numeraire
        self._method = method
        self._fees_in_cost = fees_in_cost
        self._rates = rates
        self._lots: dict[str, OpenLots] = {}
        self._prices: dict[str, Decimal] = {}
        # By group, the cost of what went out and has not come in again; None: unknown.
        self._exchanges: dict[str, Decimal | None] = {}
        # Why that cost is unknown, by group; and why the cost of what went out last is.
        self._unpriced: dict[str, Unpriced] = {}
        self._last_unpriced: Unpriced | None = None
        self.result = CostBasis(self._lots)

    def run(self, events: Iterable[StoredEvent]) -> CostBasis:
        """Fold events in the order of `standing_order`; what they add up to."""
        for _, alike in groupby(events, key=lambda stored: stored.at):
            moment = list(alike)
            groups = [group_of(stored) for stored in moment]
            for place, (stored, group) in enumerate(zip(moment, groups, strict=True)):
                if group is None:
                    self._fold(stored)
                elif group not in groups[place + 1 :]:
                    self._exchange(group, [each for each, of in zip(moment, groups, strict=True) if of == group])
        return self.result

    def _fold(self, stored: StoredEvent) -> None:
        match stored.type:
            case "mark" if stored.asset is not None and stored.price is not None:
                self._prices[stored.asset] = stored.price
            case "fill":
                self._fill(stored)
            case "deposit" | "withdrawal":
                own = _own(stored)
                cause: Cause = "deposit" if stored.type == "deposit" else "withdrawal"
                self._trade(own.asset, own.delta, stored.effects.net_deposits_delta.copy_abs(), _origin(stored, cause))
            case "adjustment":
                self._adjustment(stored)
            case "baseline":
                self.result.baselines = add(self.result.baselines, stored.effects.starting_value_delta)
            case _:
                pass

    def _worth(self, asset: str, amount: Decimal) -> Decimal | None:
        """The worth of an amount > 0 at the newest mark; None where there is none."""
        if asset == self._numeraire:
            return amount
        price = self._prices.get(asset)
        return None if price is None else value(amount, price)

    def _in(self, amount: Decimal | None, origin: Origin) -> Decimal | None:
        """An amount in the currency that was asked for, at the rate of an event's time."""
        return None if self._rates is None else self._rates.convert(amount, origin.at)

    def _fill(self, stored: StoredEvent) -> None:
        """One worth for both sides: the numeraire exchanged, else the quote at its mark, else the base at its own."""
        base, quote = _own(stored), stored.effects.quote
        assert quote is not None
        amount, paid = base.delta.copy_abs(), quote.delta.copy_abs()
        worth = amount if base.asset == self._numeraire else self._worth(quote.asset, paid)
        if worth is None:
            worth = self._worth(base.asset, amount)
        fee, origin = stored.effects.fee, _origin(stored, "fill")
        in_cost = ZERO  # of a fee; of a rebate negative
        if self._fees_in_cost and fee is not None and fee.asset == self._numeraire:
            in_cost = negate(fee.delta)
        for posting in (base, quote):
            # A fee raises what was bought and lowers what was sold, on the side of the base unless that is the numeraire.
            carries = posting is base or base.asset == self._numeraire
            extra = in_cost if carries else ZERO
            signed = extra if posting.delta > 0 else negate(extra)
            self._trade(posting.asset, posting.delta, worth, origin, fee=signed)
        if fee is None or fee.delta.is_zero():
            return
        if not in_cost.is_zero():
            if fee.delta > 0:
                self._receive(stored, "rebate", fee, fee.delta)
            return
        size = fee.delta.copy_abs()
        fee_worth = self._worth(fee.asset, size)
        for asset, whole in ((base.asset, amount), (quote.asset, paid)):
            if fee.asset == asset and worth is not None:
                fee_worth = share(worth, size, whole)
        if fee.delta > 0:
            self._receive(stored, "rebate", fee, fee_worth)
        self._pay(fee.asset, fee.delta, fee_worth, _origin(stored, "fee"))

    def _adjustment(self, stored: StoredEvent) -> None:
        own = _own(stored)
        worth = self._worth(own.asset, own.delta.copy_abs())
        if stored.reason in FEE_REASONS:
            self._pay(own.asset, own.delta, worth, _origin(stored, "fee"))
            return
        reason = stored.reason or ""
        if reason not in NO_INCOME:
            self._receive(stored, reason, own, worth)
        for change in self._taken(own.asset, own.delta, worth, _origin(stored, "adjustment")):
            self.result.income[reason].add(change)

    def _receive(self, stored: StoredEvent, reason: str, posting: Posting, worth: Decimal | None) -> None:
        signed = worth if posting.delta > 0 else negated(worth)
        origin = _origin(stored, "adjustment" if stored.type == "adjustment" else "fee")
        worth_in = self._in(signed, origin)
        self.result.receipts.append(Receipt(origin, reason, posting.asset, posting.delta, signed, worth_in))

    def _pay(self, asset: str, delta: Decimal, worth: Decimal | None, origin: Origin) -> None:
        """A fee, or a rebate for a positive delta. `worth`: of its size."""
        if asset == self._numeraire or not self._fees_in_cost:
            for change in self._taken(asset, delta, worth, origin):
                self.result.fees.add(negated(change))
            return
        self._trade(asset, delta, worth, origin)
        self.result.fees.add(worth if delta < 0 else negated(worth))

    def _exchange(self, group: str, members: list[StoredEvent]) -> None:
        """Adjustments that belong together: the cost of what went out is divided by value among what came in."""
        waiting = self._exchanges.get(group, ZERO)
        income = self.result.income[members[0].reason or ""]
        came_in = [stored for stored in members if _own(stored).delta > 0]
        for stored in members:
            own = _own(stored)
            if own.delta < 0:
                worth = self._worth(own.asset, own.delta.copy_abs())
                for change in self._taken(own.asset, own.delta, worth, _origin(stored, "adjustment")):
                    income.add(change)
                    waiting = minus(waiting, change)
                    if change is None and self._last_unpriced is not None:
                        self._unpriced.setdefault(group, self._last_unpriced)
        worths = [self._worth(_own(stored).asset, _own(stored).delta) for stored in came_in]
        for place, stored in enumerate(came_in):
            own = _own(stored)
            rest = worths[place:]
            cost = waiting if len(rest) == 1 else _share(waiting, rest)
            waiting = minus(waiting, cost)
            if cost is None and group not in self._unpriced:
                without = next((each for each, worth in zip(came_in, worths, strict=True) if worth is None), stored)
                self._unpriced[group] = Unpriced(_own(without).asset, _origin(without, "adjustment"))
            if own.asset == self._numeraire:
                income.add(own.delta)
            else:
                self._trade(
                    own.asset, own.delta, cost, _origin(stored, "adjustment"), unpriced=self._unpriced.get(group)
                )
                income.add(cost)
        self._exchanges[group] = waiting

    def _of(self, asset: str) -> OpenLots:
        if asset not in self._lots:
            self._lots[asset] = OpenLots(self._method)
        return self._lots[asset]

    def _trade(
        self,
        asset: str,
        delta: Decimal,
        worth: Decimal | None,
        origin: Origin,
        *,
        fee: Decimal = ZERO,
        unpriced: Unpriced | None = None,
    ) -> None:
        """Something came in or went out for its worth ≥ 0: lots against it are closed with a gain, the rest opens a lot.

        `fee`: what a fee adds to the worth in cost and proceeds, but not in the price. `unpriced`: why the worth is unknown;
        None: the asset has no price at that time.
        """
        if asset == self._numeraire:
            return
        lots, left = self._of(asset), delta.copy_abs()
        price = per_unit(worth, left)
        why = None if worth is not None else unpriced or Unpriced(asset, origin)
        worth = None if worth is None else add(worth, fee)
        if lots and lots.is_short == (delta > 0):
            taken, rest = lots.close(left)
            for lot in taken:
                self._on_moved(lot, False, origin)
                size = lot.quantity.copy_abs()
                part = worth if worth is None or size == left else share(worth, size, left)
                worth, left = minus(worth, part), subtract(left, size)
                self.result.disposals.append(_disposal(lot, part, self._in(part, origin), origin, why))
            left = rest
        if left:
            cost = worth if delta > 0 else negated(worth)
            self._open(Lot(asset, left.copy_sign(delta), cost, origin, self._in(cost, origin), price, why))

    def _open(self, lot: Lot) -> None:
        self._of(lot.asset).open(lot)
        self._on_moved(lot, True, lot.origin)

    def _taken(self, asset: str, delta: Decimal, worth: Decimal | None, origin: Origin) -> Iterator[Decimal | None]:
        """Lots are closed at their cost, without a gain, and the rest opens a lot at its share of the worth.

        Yields how the cost of what is held changes, part by part; of the numeraire the delta itself.
        """
        if asset == self._numeraire:
            yield delta
            return
        lots, size = self._of(asset), delta.copy_abs()
        left = size
        if lots and lots.is_short == (delta > 0):
            taken, left = lots.close(size)
            for lot in taken:
                self._on_moved(lot, False, origin)
                self._last_unpriced = lot.unpriced
                yield negated(lot.cost)
        if left:
            part = worth if worth is None or left == size else share(worth, left, size)
            cost = part if delta > 0 else negated(part)
            self._last_unpriced = Unpriced(asset, origin) if worth is None else None
            cost_in, price = self._in(cost, origin), per_unit(worth, size)
            self._open(Lot(asset, left.copy_sign(delta), cost, origin, cost_in, price, self._last_unpriced))
            yield cost


def _disposal(
    lot: Lot, part: Decimal | None, part_in: Decimal | None, closed: Origin, why: Unpriced | None
) -> Disposal:
    """What closing a lot for `part` was: of a long lot what it brought, of a short one what it cost. `why` it is unknown."""
    size, is_short = lot.quantity.copy_abs(), lot.quantity < 0
    (brought, cost), (brought_in, cost_in) = (
        (negated(of_lot), now) if is_short else (now, of_lot)
        for of_lot, now in ((lot.cost, part), (lot.cost_in, part_in))
    )
    unpriced = lot.unpriced or why
    return Disposal(lot.asset, size, brought, cost, lot.origin, closed, is_short, brought_in, cost_in, unpriced)


def standing_order(events: Iterable[StoredEvent]) -> list[StoredEvent]:
    """The events that stand among those given, by `at` and version; marks come before what happened at the same time."""
    given = list(events)
    reversed_events = {(stored.book, stored.reverses) for stored in given if stored.reverses is not None}
    standing = (
        stored for stored in given if stored.type != "reversal" and (stored.book, stored.version) not in reversed_events
    )
    return sorted(standing, key=lambda stored: (stored.at, stored.type != "mark", stored.book, stored.version))


def group_of(stored: StoredEvent) -> str | None:
    """The group of an adjustment whose cost passes from what went out to what came in; None for any other event."""
    if stored.type != "adjustment" or stored.reason not in EXCHANGES:
        return None
    group = getattr(stored.event, "group", None)
    # A group is a book's own, also where several books are looked at as one.
    return None if group is None else f"{stored.book}:{stored.reason}:{group}"


def _share(cost: Decimal | None, worths: list[Decimal | None]) -> Decimal | None:
    """The first one's share of a cost by worth; None when one is unknown or all of them are worth nothing."""
    known = [worth for worth in worths if worth is not None]
    if cost is None or len(known) < len(worths) or not (whole := total(known)):
        return None
    return share(cost, known[0], whole)


def _own(stored: StoredEvent) -> Posting:
    assert stored.effects.own is not None
    return stored.effects.own


def _origin(stored: StoredEvent, cause: Cause) -> Origin:
    return Origin(stored.at, stored.version, stored.book, cause, stored.session_id, stored.strategy)
