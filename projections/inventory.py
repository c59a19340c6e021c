"""Inventory: each asset's balance, and the three parts that add up to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, TypeAlias

from ledger.amounts import ZERO, add, total
from ledger.effects import Effects, Posting

Part: TypeAlias = Literal["fills", "capital", "adjustments"]
PART_OF: dict[str, Part] = {"fill": "fills", "deposit": "capital", "withdrawal": "capital", "adjustment": "adjustments"}


@dataclass(frozen=True, slots=True)
class Holding:
    """One asset's balance by part, in the asset's own unit.

    fills:        bought, sold, and paid as fees of fills
    capital:      deposited and withdrawn
    adjustments:  all other changes
    """

    fills: Decimal = ZERO
    capital: Decimal = ZERO
    adjustments: Decimal = ZERO

    @property
    def total(self) -> Decimal:
        """The balance: fills + capital + adjustments."""
        return total((self.fills, self.capital, self.adjustments))

    def moved(self, part: Part, delta: Decimal) -> Holding:
        """The holding after a change of one part."""
        match part:
            case "fills":
                return Holding(add(self.fills, delta), self.capital, self.adjustments)
            case "capital":
                return Holding(self.fills, add(self.capital, delta), self.adjustments)
            case "adjustments":
                return Holding(self.fills, self.capital, add(self.adjustments, delta))


NOTHING = Holding()


class Inventory(Mapping[str, Holding]):
    """Holdings by asset. An asset that was ever moved stays in it, even when its balance is 0.

    It has no truth value, since an inventory of zeros is not empty: use `is_zero()`.
    """

    __slots__ = ("_holdings",)

    def __init__(self, holdings: Mapping[str, Holding] | None = None) -> None:
        self._holdings = dict(holdings or {})

    def __getitem__(self, asset: str) -> Holding:
        return self._holdings[asset]

    def __iter__(self) -> Iterator[str]:
        return iter(self._holdings)

    def __len__(self) -> int:
        return len(self._holdings)

    def __bool__(self) -> bool:
        raise TypeError("ask an inventory is_zero(), or its length")

    def __repr__(self) -> str:
        return f"Inventory({self._holdings!r})"

    def moved(self, part: Part, postings: Iterable[Posting]) -> Inventory:
        """The inventory after postings to one part of the balances."""
        holdings = self._holdings.copy()
        for posting in postings:
            holdings[posting.asset] = holdings.get(posting.asset, NOTHING).moved(part, posting.delta)
        return _inventory_of(holdings)

    def balance(self, asset: str) -> Decimal:
        """The balance of an asset; 0 for one that was never moved."""
        holding = self._holdings.get(asset)
        return ZERO if holding is None else holding.total

    def is_zero(self) -> bool:
        """Whether every balance is 0."""
        return all(holding.total.is_zero() for holding in self._holdings.values())

    def held(self) -> list[str]:
        """The assets whose balance is not 0, sorted."""
        return sorted(asset for asset, holding in self._holdings.items() if not holding.total.is_zero())


EMPTY = Inventory()


def _inventory_of(holdings: dict[str, Holding]) -> Inventory:
    """An inventory around holdings that nobody else has; nothing is copied."""
    made = Inventory.__new__(Inventory)
    made._holdings = holdings
    return made


def apply(inventory: Inventory, effects: Effects) -> Inventory:
    """The inventory after an event's postings."""
    part = PART_OF.get(effects.effect_of)
    if part is None:
        return inventory
    return inventory.moved(part, effects.postings)
