"""Closing balances out of statements that have a balance column: Kraken's ledgers.csv, Coinbase's account statement.

    asset  wallet           time                 amount  fee   balance
    XRP    spot / main      2025-01-03 00:00:00     -20    0        30
    XRP    earn / flexible  2025-01-03 00:00:00      20    0        20        XRP: 50 at 2025-01-03 00:00:00

An asset's balance is the sum of its wallets' newest ones, at the time of the newest row. A statement names only what moved,
so what is not in it is not compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from engine.importers.items import Unreadable
from engine.importers.venues.coinbase.exchange import ACCOUNT
from engine.importers.venues.kraken import LEDGER
from engine.importers.venues.kraken.names import asset_name
from engine.importers.venues.reading import Line, Odd, head_has, number, number_or_none, read_table, time, utc_times
from ledger.amounts import ZERO, subtract, total

_TIMES = utc_times()


@dataclass(frozen=True, slots=True)
class Closing:
    """An asset's closing balance according to a statement. `amount`: in its own unit; `at`: as of when, UTC."""

    asset: str
    amount: Decimal
    at: datetime


@dataclass(frozen=True, slots=True)
class _Layout:
    """How a statement is written.

    columns:  those that it has
    asset:    the column of the asset
    wallet:   the column of the wallet
    named:    an asset's cell → its name
    """

    columns: frozenset[str]
    asset: str
    wallet: str
    named: Callable[[str], str] = str


_LAYOUTS = (
    _Layout(LEDGER | {"balance"}, "asset", "wallet", asset_name),
    _Layout(ACCOUNT, "amount/balance unit", "portfolio"),
)


@dataclass(slots=True)
class _Wallet:
    """The rows of a wallet's newest time: what each left, and what was there before it."""

    at: datetime
    left: list[Decimal] = field(default_factory=list)
    found: list[Decimal] = field(default_factory=list)


def is_statement(head: str) -> bool:
    """Whether a file with this beginning has a balance column that is read here."""
    return head_has(head.encode("utf-8", "replace"), lambda columns: _layout(columns) is not None)


def closing_balances(lines: Iterable[str], name: str, until: datetime | None) -> list[Closing]:
    """The balances that a statement ends with. `until`: no row after it counts. Raises Unreadable."""
    table = read_table(lines, name, lambda columns: _layout(columns) is not None)
    layout = _layout(frozenset(table.header))
    assert layout is not None
    wallets: dict[tuple[str, str], _Wallet] = {}
    first = last = None
    for line in table.rows:
        if not isinstance(line, Line):
            raise Unreadable(f"{line.origin}: {line.reason}")
        try:
            at = _take(line, layout, wallets, until)
        except Odd as odd:
            raise Unreadable(f"{line.origin}: {odd}") from odd
        first, last = first or at, at
    is_backwards = first is not None and last is not None and last < first
    return list(_summed(wallets, is_backwards))


def _layout(columns: frozenset[str]) -> _Layout | None:
    return next((layout for layout in _LAYOUTS if columns >= layout.columns), None)


def _take(line: Line, layout: _Layout, wallets: dict[tuple[str, str], _Wallet], until: datetime | None) -> datetime:
    at = time(line.required("time"), _TIMES)
    left = number_or_none(line.get("balance"), "the balance")
    if left is None or (until is not None and at > until):  # a pending row has no balance
        return at
    moved = subtract(number(line.required("amount")), number_or_none(line.get("fee"), "the fee") or ZERO)
    key = layout.named(line.required(layout.asset)), line.get(layout.wallet)
    wallet = wallets.get(key)
    if wallet is None or at > wallet.at:
        wallet = wallets[key] = _Wallet(at)
    if at == wallet.at:
        wallet.left.append(left)
        wallet.found.append(subtract(left, moved))
    return at


def _summed(wallets: dict[tuple[str, str], _Wallet], is_backwards: bool) -> Iterator[Closing]:
    for asset in dict.fromkeys(asset for asset, _ in wallets):
        those = [wallet for (of, _), wallet in wallets.items() if of == asset]
        amount = total(_closing(wallet, is_backwards) for wallet in those)
        yield Closing(asset, amount, max(wallet.at for wallet in those))


def _closing(wallet: _Wallet, is_backwards: bool) -> Decimal:
    """What the rows of one time leave, which stand in any order: the one that no other row begins with."""
    begun = list(wallet.found)
    ends = []
    for left in wallet.left:
        if left in begun:
            begun.remove(left)
        else:
            ends.append(left)
    if len(ends) == 1:
        return ends[0]
    return wallet.left[0] if is_backwards else wallet.left[-1]
