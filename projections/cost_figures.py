"""What cost basis adds up to: open lots, disposals, fees, income; all in the numeraire, and None where a part is unknown."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from ledger.amounts import ZERO, add, negate, subtract, total, value
from projections.lots import Disposal, Lot, OpenLots, Origin


@dataclass(slots=True)
class Sums:
    """What was earned and paid, in the numeraire, as far as it is known; `unknown` counts the parts that are not."""

    known: Decimal = ZERO
    unknown: int = 0

    def add(self, amount: Decimal | None) -> None:
        """Add a part; None: unknown."""
        if amount is None:
            self.unknown += 1
        else:
            self.known = add(self.known, amount)

    @property
    def whole(self) -> Decimal | None:
        """The sum; None when a part is unknown."""
        return None if self.unknown else self.known


@dataclass(frozen=True, slots=True)
class Receipt:
    """Something that was earned beside trading, or paid for a negative amount.

    origin:  the event
    reason:  the adjustment's; `rebate` for a negative fee of a fill
    asset:   the asset
    amount:  how much of it, in the asset's own unit
    worth:   at the price of its time, in the numeraire, with the amount's sign; None: unknown
    worth_in:  the worth in another currency, at the rate of its time; None: unknown, or no currency was asked for
    """

    origin: Origin
    reason: str
    asset: str
    amount: Decimal
    worth: Decimal | None
    worth_in: Decimal | None = None


@dataclass(slots=True)
class CostBasis:
    """What the moves add up to; all in the numeraire.

    lots:       by asset, the open lots
    disposals:  what was closed with a gain or a loss, in order
    fees:       the cost of fees, rebates subtracted; of the accountant's view only what was not put into costs and proceeds
    income:     by reason of adjustments that are no fees, what they added less the cost of what they took
    baselines:  the sum of the deltas of standing baselines
    receipts:   rewards, rebates, funding and the like, in order
    """

    lots: Mapping[str, OpenLots]
    disposals: list[Disposal] = field(default_factory=list)
    fees: Sums = field(default_factory=Sums)
    income: dict[str, Sums] = field(default_factory=lambda: defaultdict(Sums))
    baselines: Decimal = ZERO
    receipts: list[Receipt] = field(default_factory=list)

    @property
    def realised(self) -> Decimal | None:
        """The sum of all gains; None when one is unknown."""
        return sum_of(disposal.gain for disposal in self.disposals)

    @property
    def other_income(self) -> Decimal | None:
        """The sum of all income; None when a part is unknown."""
        return sum_of(sums.whole for sums in self.income.values())

    def earned(self, prices: Mapping[str, Decimal]) -> Decimal | None:
        """realised + unrealised − fees + other income − baselines, which is total PnL; None when a part is unknown."""
        gains = (self.realised, self.unrealised(prices), self.other_income)
        return sum_of((*gains, negated(self.fees.whole), negated(self.baselines)))

    def open_lots(self) -> Iterator[Lot]:
        """The open lots, by asset, then in the order of their opening."""
        for asset in sorted(self.lots):
            yield from self.lots[asset]

    def unrealised(self, prices: Mapping[str, Decimal]) -> Decimal | None:
        """Σ value(quantity, price) − cost over all assets, each rounded once; None when a price or a cost is unknown."""
        gains: list[Decimal] = []
        for asset, lots in self.lots.items():
            held = list(lots)
            if not held:
                continue
            costs = [lot.cost for lot in held if lot.cost is not None]
            if asset not in prices or len(costs) < len(held):
                return None
            worth = value(total(lot.quantity for lot in held), prices[asset])
            gains.append(subtract(worth, total(costs)))
        return total(gains)


def negated(amount: Decimal | None) -> Decimal | None:
    """-amount; None for None."""
    return None if amount is None else negate(amount)


def minus(left: Decimal | None, right: Decimal | None) -> Decimal | None:
    """left − right; None when either is unknown."""
    return None if left is None or right is None else subtract(left, right)


def sum_of(amounts: Iterable[Decimal | None]) -> Decimal | None:
    """The sum; None when one is unknown."""
    known: list[Decimal] = []
    for amount in amounts:
        if amount is None:
            return None
        known.append(amount)
    return total(known)
