"""What many rows of the common types add up to, summed from the texts of their columns without building an event."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow, localcontext
from typing import Any

from ledger.amounts import ZERO, add, subtract

Column = Sequence[Any]
Columns = Mapping[str, Column]
# A fee that is an adjustment has one of these reasons; `projections.fees` has the same ones, and a test compares them.
FEE_REASONS = frozenset({"fee", "network_fee"})
# As wide as that of `ledger.amounts`, and as strict: what does not fit is an ArithmeticError, never rounded.
_EXACT = Context(prec=200, traps=[Inexact, InvalidOperation, Overflow])
_ASSETS = ("asset", "quote_asset", "fee_asset")


@dataclass(frozen=True, slots=True)
class RawMark:
    """A mark as its bytes give it. `at`, `price`: canonical texts, so that times compare as texts do."""

    at: str
    version: int
    price: str
    source: str | None


@dataclass(slots=True)
class Tally:
    """The sums of rows that stand one after the other; `version` is the last one's.

    `postings`: by asset, in the order in which the rows name them first, the sum by the type of the event, which says the
    part of the balance. `fees`: paid, by asset. `marks`: the newest of each asset. The other sums are in the numeraire.
    """

    version: int
    postings: dict[str, dict[str, Decimal]] = field(default_factory=dict)
    fees: dict[str, Decimal] = field(default_factory=dict)
    marks: dict[str, RawMark] = field(default_factory=dict)
    net_deposits: Decimal = ZERO
    basis: Decimal = ZERO
    unknown_fees: int = 0
    unknown_bases: int = 0

    def name_assets(self, columns: Columns) -> None:
        """Take the assets of rows that post into their order: row by row, and in each own, quote and fee."""
        unseen = set().union(*(columns[name] for name in _ASSETS)) - self.postings.keys() - {None}
        for assets in zip(*(columns[name] for name in _ASSETS), strict=True):
            if not unseen:
                return
            for asset in assets:
                if asset in unseen:
                    self.postings[asset] = {}
                    unseen.remove(asset)

    def add_fills(self, columns: Columns) -> None:
        """Fills: three postings, and the fee paid or unknown."""
        self._post("fill", columns["asset"], columns["asset_delta"])
        self._post("fill", columns["quote_asset"], columns["quote_delta"])
        fees = sums(columns["fee_asset"], columns["fee_delta"])
        for asset, delta in fees.items():
            self._add("fill", asset, delta)
            self.fees[asset] = subtract(self.fees.get(asset, ZERO), delta)
        self.unknown_fees += sum(columns["unknown_fees"])

    def add_deposits(self, columns: Columns) -> None:
        """Deposits: a posting, its value, its basis."""
        self._post("deposit", columns["asset"], columns["asset_delta"])
        self.net_deposits = add(self.net_deposits, exact_total(columns["net_deposits_delta"]))
        self.basis = add(self.basis, exact_total(columns["basis_delta"]))
        self.unknown_bases += sum(columns["unknown_bases"])

    def add_adjustments(self, columns: Columns) -> None:
        """Adjustments: a posting, which is a fee by its reason."""
        self._post("adjustment", columns["asset"], columns["asset_delta"])
        for asset, delta, reason in zip(columns["asset"], columns["asset_delta"], columns["reason"], strict=True):
            if reason in FEE_REASONS:
                self.fees[asset] = subtract(self.fees.get(asset, ZERO), Decimal(delta))

    def add_marks(self, columns: Columns, sources: Column, passed_over: Container[int]) -> None:
        """Marks, but for the versions that are passed over because they no longer stand."""
        marks = zip(columns["asset"], columns["at"], columns["version"], columns["price"], sources, strict=True)
        for asset, at, version, price, source in marks:
            newest = self.marks.get(asset)
            if version not in passed_over and (newest is None or (newest.at, newest.version) < (at, version)):
                self.marks[asset] = RawMark(at, version, price, source)

    def _post(self, kind: str, assets: Column, deltas: Column) -> None:
        for asset, delta in sums(assets, deltas).items():
            self._add(kind, asset, delta)

    def _add(self, kind: str, asset: str, delta: Decimal) -> None:
        parts = self.postings[asset]
        parts[kind] = add(parts.get(kind, ZERO), delta)


def exact_total(texts: Column) -> Decimal:
    """The exact sum of amounts, as `ledger.amounts.total` adds them up, without a call for each. Raises ArithmeticError."""
    with localcontext(_EXACT):
        return sum(map(Decimal, texts), ZERO)


def sums(assets: Column, deltas: Column) -> dict[str, Decimal]:
    """The exact sum of the deltas of each asset; where there is no asset there is no delta."""
    if assets.count(assets[0]) == len(assets):  # as in most columns
        return {} if assets[0] is None else {assets[0]: exact_total(deltas)}
    by_asset: dict[str, list[str]] = {}
    for asset, delta in zip(assets, deltas, strict=True):
        if asset is not None:
            by_asset.setdefault(asset, []).append(delta)
    return {asset: exact_total(texts) for asset, texts in by_asset.items()}
