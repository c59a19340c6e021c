"""The obvious model that `test_stateful.py` holds the ledger against: dicts and whole numbers, and no code of the program.

Amounts are whole numbers of 10⁻¹⁸. A book is a list of entries, each with all that it moves; every figure is a sum over a
list of entries, computed anew each time. Nothing is kept, cached or rounded but a product.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

ONE = 10**18
LIMIT = 10**38  # 20 digits before the point; the amounts that are drawn have at most 18 after it
SUM_LIMIT = 10**58  # 40 digits before the point
MAX_MARK_AGE = timedelta(minutes=15)
INITIAL_BASIS = "synthetic_initial_basis"
CLOCK_TOLERANCE = timedelta(minutes=5)
FEE_REASONS = {"fee", "network_fee"}
REVERSIBLE = {"fill", "deposit", "withdrawal", "basis_commit", "adjustment", "baseline", "mark"}

Fields = dict[str, Any]


def units(text: str) -> int:
    """A decimal text without exponent as a number of 10⁻¹⁸."""
    sign = -1 if text.startswith("-") else 1
    whole, _, decimals = text.lstrip("-").partition(".")
    assert len(decimals.rstrip("0")) <= 18, text
    return sign * (int(whole) * ONE + int(decimals[:18].ljust(18, "0")))


def text_of(amount: int) -> str:
    """The canonical text of a number of 10⁻¹⁸."""
    whole, decimals = divmod(abs(amount), ONE)
    return f"{'-' if amount < 0 else ''}{whole}.{decimals:018d}".rstrip("0").rstrip(".")


def product(amount: int, price: int) -> int:
    """amount × price, rounded half to even."""
    whole, rest = divmod(abs(amount * price), ONE)
    up = 2 * rest > ONE or (2 * rest == ONE and whole % 2 == 1)
    return (whole + up) * (1 if amount * price >= 0 else -1)


@dataclass
class Entry:
    """One event of a book and all that it moves. `moves`: (asset, part, change)."""

    version: int
    key: str
    kind: str
    at: datetime
    recorded_at: datetime
    fields: Fields
    effect_of: str
    moves: list[tuple[str, str, int]] = field(default_factory=list)
    fee: tuple[str, int] | None = None
    net_deposits: int = 0
    basis: int = 0
    starting_value: int = 0
    unknown_fees: int = 0
    unknown_bases: int = 0
    reverses: int | None = None


@dataclass
class Figures:
    """What entries add up to. `balances`: by asset, fills, capital and adjustments. `marks`: price, source, time."""

    balances: dict[str, dict[str, int]]
    net_deposits: int
    net_basis: int
    starting_value: int
    withdrawn_profit: int
    basis_commits: int
    unknown_fees: int
    unknown_bases: int
    fees: dict[str, int]
    marks: dict[str, tuple[int, str | None, datetime]]
    has_initial_basis: bool

    def balance(self, asset: str) -> int:
        """The total of an asset."""
        return sum(self.balances.get(asset, {}).values())

    def held(self) -> list[str]:
        """The assets whose total is not 0."""
        return sorted(asset for asset in self.balances if self.balance(asset))

    @property
    def basis_is_known(self) -> bool:
        """Whether no unknown basis stands without an initial one."""
        return self.unknown_bases == 0 or self.has_initial_basis

    def equity(self, prices: Mapping[str, int], numeraire: str) -> int:
        """The sum of the values of all assets."""
        return sum(
            self.balance(asset) if asset == numeraire else product(self.balance(asset), prices[asset])
            for asset in self.held()
        )


def figures(entries: Iterable[Entry], marks_until: datetime | None = None) -> Figures:
    """What entries, in the order of their versions, add up to; of the marks those that stand, up to a time."""
    entries = list(entries)
    reversed_versions = {entry.reverses for entry in entries}
    balances: dict[str, dict[str, int]] = {}
    fees: dict[str, int] = {}
    marks: dict[str, tuple[int, str | None, datetime]] = {}
    for entry in entries:
        for asset, part, change in entry.moves:
            parts = balances.setdefault(asset, {"fills": 0, "capital": 0, "adjustments": 0})
            parts[part] += change
        if entry.fee is not None:
            fees[entry.fee[0]] = fees.get(entry.fee[0], 0) + entry.fee[1]
        is_ahead = marks_until is not None and entry.at > marks_until
        if entry.kind == "mark" and entry.version not in reversed_versions and not is_ahead:
            asset = entry.fields["asset"]
            if asset not in marks or entry.at >= marks[asset][2]:
                marks[asset] = (units(entry.fields["price"]), entry.fields.get("price_source"), entry.at)
    return Figures(
        balances=balances,
        net_deposits=sum(entry.net_deposits for entry in entries),
        net_basis=sum(entry.basis for entry in entries),
        starting_value=sum(entry.starting_value for entry in entries),
        withdrawn_profit=sum(e.basis - e.net_deposits for e in entries if e.effect_of == "withdrawal"),
        basis_commits=sum(entry.basis for entry in entries if entry.effect_of == "basis_commit"),
        unknown_fees=sum(entry.unknown_fees for entry in entries),
        unknown_bases=sum(entry.unknown_bases for entry in entries),
        fees=fees,
        marks=marks,
        has_initial_basis=any(
            entry.kind == "basis_commit"
            and entry.key.split("#")[0] == INITIAL_BASIS
            and entry.version not in reversed_versions
            for entry in entries
        ),
    )


@dataclass
class ModelBook:
    """A book: its terms and its entries, of which the first is its opening."""

    name: str
    numeraire: str
    policy: str
    entries: list[Entry] = field(default_factory=list)

    @property
    def version(self) -> int:
        """The newest version."""
        return len(self.entries)

    def at_version(self, version: int) -> Entry | None:
        """The entry at a version."""
        return self.entries[version - 1] if 1 <= version <= len(self.entries) else None

    def with_key(self, key: str) -> Entry | None:
        """The entry of a key."""
        return next((entry for entry in self.entries if entry.key == key), None)

    def reversal_of(self, version: int) -> Entry | None:
        """The reversal of the entry at a version."""
        return next((entry for entry in self.entries if entry.reverses == version), None)

    def standing(self) -> list[Entry]:
        """The entries that may be reversed."""
        return [e for e in self.entries if e.kind in REVERSIBLE and self.reversal_of(e.version) is None]

    def figures(
        self,
        as_of: int | datetime | None = None,
        known_at: datetime | None = None,
        before: datetime | None = None,
    ) -> Figures:
        """What was so at a version or time, before a time, and what was known at a time."""
        return figures(self.counted(as_of, known_at, before))

    def counted(
        self,
        as_of: int | datetime | None = None,
        known_at: datetime | None = None,
        before: datetime | None = None,
    ) -> list[Entry]:
        """The entries that such a view counts."""
        counted = self.entries
        if isinstance(as_of, int):
            counted = [entry for entry in counted if entry.version <= as_of]
        elif as_of is not None:
            counted = [entry for entry in counted if entry.at <= as_of]
        if known_at is not None:
            counted = [entry for entry in counted if entry.recorded_at <= known_at]
        if before is not None:
            counted = [entry for entry in counted if entry.at < before]
        return counted

    def figures_now(self, now: datetime) -> Figures:
        """What a decision sees: of the marks none that is ahead of the clock."""
        return figures(self.entries, now + CLOCK_TOLERANCE)

    def refusal(self, fields: Fields, now: datetime) -> str | None:
        """Why the book would refuse an event whose fields are each right by themselves; None when it would not."""
        at = fields.get("at")
        if fields["type"] in ("mark", "reversal") and at is not None and at - now > CLOCK_TOLERANCE:
            return "at_in_future"
        return _against_the_book(fields, self.numeraire) or self._against_the_log(fields)

    def _against_the_log(self, fields: Fields) -> str | None:
        corrects = fields.get("corrects")
        if corrects is not None and self.at_version(corrects) is None:
            return "corrected_version_unknown"
        if corrects is not None and self.reversal_of(corrects) is None:
            return "corrected_not_reversed"
        if fields["type"] != "reversal":
            return None
        target = self.at_version(fields["reverses"])
        if target is None:
            return "reversed_version_unknown"
        if target.kind not in REVERSIBLE:
            return "reversal_not_allowed"
        return "already_reversed" if self.reversal_of(target.version) else None

    def default_key(self, fields: Fields) -> str | None:
        """The key of an event without one, where that is not a generated one."""
        corrected = self.at_version(fields.get("corrects") or 0)
        if corrected is None:
            return None
        base, mark, count = corrected.key.rpartition("#")
        if "corrects" in corrected.fields and mark and count.isdecimal():
            return f"{base}#{int(count) + 1}"
        return f"{corrected.key}#2"

    def record(self, fields: Fields, key: str, now: datetime) -> Entry:
        """Record an event that is not refused. The clock may have gone back; the log's times do not."""
        recorded_at = max([now, *(entry.recorded_at for entry in self.entries)])
        kind = fields["type"]
        target = self.at_version(fields["reverses"]) if kind == "reversal" else None
        about = target or self.at_version(fields.get("corrects") or 0)
        at = fields.get("at") or (about.at if about else recorded_at)
        entry = Entry(len(self.entries) + 1, key, kind, at, recorded_at, fields, effect_of=kind)
        if target is not None:
            _negate_into(entry, target)
        else:
            _MOVE.get(kind, _move_nothing)(entry, self)
        self.entries.append(entry)
        return entry

    def division(self, worth: int, equity: int) -> tuple[int, int]:
        """Profit and principal of a withdrawal, by the book's policy."""
        basis = self.figures().net_basis
        if self.policy == "principal_first/1":
            principal = min(worth, max(basis, 0))
            return worth - principal, principal
        profit = min(worth, max(equity - basis, 0))
        return profit, worth - profit

    def refusal_of_withdrawal(  # noqa: C901 - the engine's refusals in their order, written out on purpose
        self, asset: str, amount: int, prices: Mapping[str, int], at: datetime
    ) -> tuple[str | None, dict[str, int]]:
        """Why the engine would refuse to take this out, or None; and the prices that it values the book with."""
        now = self.figures_now(at)
        if amount >= LIMIT:
            return "amount_out_of_range", {}
        if not now.basis_is_known:
            return "basis_incomplete", {}
        if amount > now.balance(asset):
            return "insufficient_balance", {}
        used = {}
        missing = stale = False
        for held in now.held():
            if held == self.numeraire:
                continue
            if held in prices:
                used[held] = prices[held]
            elif held not in now.marks:
                missing = True
            else:
                stale = stale or at - now.marks[held][2] > MAX_MARK_AGE
                used[held] = now.marks[held][0]
        if missing or stale:
            return ("mark_missing" if missing else "mark_stale"), {}
        worth = amount if asset == self.numeraire else product(amount, used[asset])
        if worth >= LIMIT:
            return "value_out_of_range", {}
        equity = now.equity(used, self.numeraire)
        if abs(equity) >= SUM_LIMIT:
            return "amount_out_of_range", {}
        return ("exceeds_equity" if worth > equity else None), used


def _against_the_book(fields: Fields, numeraire: str) -> str | None:
    """The rules that need the book's numeraire."""
    match fields["type"]:
        case "fill" if fields["base_asset"] == fields["quote_asset"]:
            return "assets_must_differ"
        case "mark" if fields["asset"] == numeraire:
            return "asset_must_not_be_numeraire"
        case "deposit" | "withdrawal":
            price = fields.get("price")
            if fields["asset"] == numeraire:
                return "price_must_be_absent" if price is not None else None
            if price is None:
                return "price_required"
            return "value_out_of_range" if product(units(fields["amount"]), units(price)) >= LIMIT else None
    return None


def _negate_into(entry: Entry, target: Entry) -> None:
    entry.effect_of = target.kind
    entry.reverses = target.version
    entry.moves = [(asset, part, -change) for asset, part, change in target.moves]
    entry.fee = None if target.fee is None else (target.fee[0], -target.fee[1])
    entry.net_deposits = -target.net_deposits
    entry.basis = -target.basis
    entry.starting_value = -target.starting_value
    entry.unknown_fees = -target.unknown_fees
    entry.unknown_bases = -target.unknown_bases


def _move_nothing(entry: Entry, book: ModelBook) -> None:
    pass


def _fill(entry: Entry, book: ModelBook) -> None:
    fields = entry.fields
    sign = 1 if fields["side"] == "buy" else -1
    entry.moves = [
        (fields["base_asset"], "fills", sign * units(fields["base_amount"])),
        (fields["quote_asset"], "fills", -sign * units(fields["quote_amount"])),
    ]
    if fields.get("fee_amount") is None:
        entry.unknown_fees = 1
    else:
        entry.fee = (fields["fee_asset"], units(fields["fee_amount"]))
        entry.moves.append((fields["fee_asset"], "fills", -units(fields["fee_amount"])))


def _value(fields: Fields, numeraire: str) -> int:
    amount = units(fields["amount"])
    return amount if fields["asset"] == numeraire else product(amount, units(fields["price"]))


def _deposit(entry: Entry, book: ModelBook) -> None:
    fields = entry.fields
    worth = _value(fields, book.numeraire)
    entry.moves = [(fields["asset"], "capital", units(fields["amount"]))]
    entry.net_deposits = entry.starting_value = worth
    if fields.get("basis_unknown"):
        entry.unknown_bases = 1
    else:
        entry.basis = worth if fields.get("basis_delta") is None else units(fields["basis_delta"])


def _withdrawal(entry: Entry, book: ModelBook) -> None:
    fields = entry.fields
    worth = _value(fields, book.numeraire)
    entry.moves = [(fields["asset"], "capital", -units(fields["amount"]))]
    entry.net_deposits = entry.starting_value = -worth
    entry.basis = units(fields["basis_delta"])


def _basis_commit(entry: Entry, book: ModelBook) -> None:
    entry.basis = units(entry.fields["basis_delta"])


def _adjustment(entry: Entry, book: ModelBook) -> None:
    asset, amount = entry.fields["asset"], units(entry.fields["amount"])
    entry.moves = [(asset, "adjustments", amount)]
    if entry.fields["reason"] in FEE_REASONS:
        entry.fee = (asset, -amount)


def _baseline(entry: Entry, book: ModelBook) -> None:
    entry.starting_value = units(entry.fields["starting_value"]) - book.figures().starting_value


_MOVE = {
    "fill": _fill,
    "deposit": _deposit,
    "withdrawal": _withdrawal,
    "basis_commit": _basis_commit,
    "adjustment": _adjustment,
    "baseline": _baseline,
}
