"""Balances as they would be if rows that are held back had gone in: to list what will have to wait, all at once."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from engine.importers.facts import DEPOSIT, type_of
from engine.importers.items import Movement
from ledger.amounts import ZERO, add, amount_text, negate
from ledger.events import Adjustment, Fill
from projections.state import BookState


class Simulation:
    """Balances, in each asset's own unit."""

    def __init__(self, balances: dict[str, Decimal], numeraire: str, fills: dict[str, datetime]) -> None:
        self._balances = balances
        self._numeraire = numeraire
        # When an asset was last traded against the numeraire among what is held back.
        self._traded = fills

    @classmethod
    def of(cls, state: BookState, numeraire: str) -> Simulation:
        """The balances of a book."""
        return cls({asset: holding.total for asset, holding in state.inventory.items()}, numeraire, {})

    def copy(self) -> Simulation:
        """A copy to work on."""
        return Simulation(dict(self._balances), self._numeraire, dict(self._traded))

    def add(self, event: Fill | Adjustment, at: datetime) -> None:
        """Add an event's postings."""
        if isinstance(event, Adjustment):
            self._move(event.asset, event.amount)
            return
        buys = event.side == "buy"
        self._move(event.base_asset, event.base_amount if buys else negate(event.base_amount))
        self._move(event.quote_asset, negate(event.quote_amount) if buys else event.quote_amount)
        if event.fee_amount is not None and event.fee_asset is not None:
            self._move(event.fee_asset, negate(event.fee_amount))
        if self._numeraire in (event.base_asset, event.quote_asset):
            self._traded[event.quote_asset if event.base_asset == self._numeraire else event.base_asset] = at

    def move(self, movement: Movement) -> None:
        """Add a movement."""
        self._move(movement.asset, movement.amount if type_of(movement) == DEPOSIT else negate(movement.amount))

    def _move(self, asset: str, delta: Decimal) -> None:
        self._balances[asset] = add(self._balances.get(asset, ZERO), delta)

    def held(self) -> Iterable[str]:
        """The assets with a balance other than 0, without the numeraire."""
        return (asset for asset, balance in self._balances.items() if balance and asset != self._numeraire)

    def lacks(self, movement: Movement) -> str | None:
        """What a withdrawal lacks in balance, a sentence; None when there is enough."""
        balance = self._balances.get(movement.asset, ZERO)
        if balance >= movement.amount:
            return None
        return f"the book will hold {amount_text(balance)} {movement.asset} then"

    def last_traded(self, asset: str) -> datetime | None:
        """When an asset was last traded against the numeraire among what is held back; None for never."""
        return self._traded.get(asset)
