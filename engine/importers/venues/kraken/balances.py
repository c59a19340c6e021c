"""Kraken's balance column, checked row by row: a row that is missing shows in the next one's balance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from engine.importers.items import Item, Origin, QuarantinedRow
from engine.importers.venues.reading import Line, number, number_or_none, time, utc_times
from ledger.amounts import ZERO, add, amount_text, subtract

_TIMES = utc_times()
# Rows of one time stand in any order; of more than so many the order is not searched.
_AT_ONCE = 10_000


@dataclass(slots=True)
class _Wallet:
    """One asset in one wallet: what its balance was before the rows of the present time, and these."""

    before: Decimal | None = None
    moment: str = ""
    moved: Decimal = ZERO
    balances: list[Decimal] = field(default_factory=list)
    opened: list[Decimal] = field(default_factory=list)
    origin: Origin = field(default_factory=lambda: Origin("", ""))


class BalanceColumn:
    """Compares the balances of one file. Files run forwards or backwards in time; both are told from the first rows.

    A difference is said once, as a `QuarantinedRow` that has no row of its own: the rows themselves go in.
    """

    def __init__(self) -> None:
        self._wallets: dict[tuple[str, str], _Wallet] = {}
        self._is_backwards: bool | None = None
        self._last = ""

    def check(self, line: Line) -> Iterator[Item]:
        """Take a row that is not pending."""
        balance = number_or_none(line.get("balance"), "the balance")
        if balance is None:
            return
        amount = number(line.required("amount"))
        fee = number_or_none(line.get("fee"), "the fee") or ZERO
        self._find_direction(line)
        wallet = self._wallets.setdefault((line.get("asset"), line.get("wallet")), _Wallet())
        moment = line.get("time")
        if moment != wallet.moment:
            yield from self._settle(line.get("asset"), wallet)
            wallet.moment, wallet.origin = moment, line.origin
        change = subtract(amount, fee)
        wallet.moved = add(wallet.moved, change)
        if len(wallet.balances) < _AT_ONCE:
            wallet.balances.append(balance)
            wallet.opened.append(subtract(balance, change))

    def finish(self) -> Iterator[Item]:
        """The differences of the last rows."""
        for (asset, _), wallet in self._wallets.items():
            yield from self._settle(asset, wallet)

    def _find_direction(self, line: Line) -> None:
        moment = line.get("time")
        if self._is_backwards is None and self._last and moment != self._last:
            self._is_backwards = time(moment, _TIMES) < time(self._last, _TIMES)
        self._last = moment

    def _settle(self, asset: str, wallet: _Wallet) -> Iterator[Item]:
        """Compare the rows of one time with the balance before (after, in a file that runs backwards)."""
        if not wallet.balances:
            return
        backwards = bool(self._is_backwards)
        starts, ends = (wallet.balances, wallet.opened) if backwards else (wallet.opened, wallet.balances)
        moved = subtract(ZERO, wallet.moved) if backwards else wallet.moved
        if wallet.before is None:
            # Where a first row says 0 before, the file begins with the account; else it is taken from it.
            found = next((start for start in starts if add(start, moved) in ends), starts[0])
            wallet.before = add(found, moved)
        else:
            expected = add(wallet.before, moved)
            if expected in ends:
                wallet.before = expected
            else:
                off = subtract(ends[-1], expected)
                direction = "after" if backwards else "before"
                reason = (
                    f"the balance of {asset} is {amount_text(ends[-1])}, and by the rows of this file it would be"
                    f" {amount_text(expected)}: rows of {amount_text(off)} are missing {direction} this one"
                )
                yield QuarantinedRow(wallet.origin, reason)
                wallet.before = ends[-1]
        wallet.moved, wallet.balances, wallet.opened = ZERO, [], []
