"""The old figures compared with the new ones, line by line; every difference with its causes.

What others than an import recorded in the book (a later basis commit, an injection, a bot's fills) is not a difference. It
has its own column: `difference = netbasis − recorded here − old`. Corrections of imported history count as imported:
reversals and corrections of imported events, and adjustments with the reason `reconciliation`. So does a movement that
was recorded here under its transaction hash, in place of its old row.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from decimal import Decimal

from engine.importers.legacy.causes import Cause, Causes, Kind, find_causes
from engine.importers.legacy.chain import BalanceChain, noise_of
from engine.importers.legacy.columns import CAPITAL, FILLS, STATE
from engine.importers.legacy.events import OPENINGS, PREFIX, ImportPlan, key_of
from engine.importers.legacy.movements import RecordedMovement
from engine.importers.legacy.rows import CapitalRow, FillRow, LegacyRows
from ledger.amounts import ZERO, add, negate, subtract, total, value
from ledger.events import Adjustment
from ledger.stored import StoredEvent

TOLERANCE = Decimal("1e-9")
CORRECTING = "reconciliation"
NET_BASIS, NET_DEPOSITS, STARTING_VALUE = "net basis", "net deposits", "starting value"
_BASELINES = f"{PREFIX}{STATE}:"


@dataclass(frozen=True, slots=True)
class Line:
    """One figure on both sides.

    figure:         its name
    asset:          for an asset's total, in its own unit; None for a figure in the numeraire
    old:            in the old database; None when it is unknown there
    netbasis:       in the book
    recorded_here:  what others than an import recorded in the book
    difference:     netbasis − recorded here − old; None when `old` is
    causes:         of the difference; empty without one
    """

    figure: str
    asset: str | None
    old: Decimal | None
    netbasis: Decimal
    recorded_here: Decimal
    difference: Decimal | None
    causes: tuple[Cause, ...]

    @property
    def holds(self) -> bool:
        """Whether both sides agree to 10⁻⁹, or the old one is unknown."""
        return self.difference is None or self.difference.copy_abs() <= TOLERANCE


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """The lines: the total of each asset, then net basis, net deposits and starting value."""

    lines: tuple[Line, ...]

    @property
    def holds(self) -> bool:
        """Whether every line holds."""
        return all(line.holds for line in self.lines)


@dataclass(slots=True)
class _Figures:
    """Running sums: balances by asset, all other figures by name."""

    balances: defaultdict[str, Decimal] = field(default_factory=lambda: defaultdict(lambda: ZERO))
    figures: defaultdict[str, Decimal] = field(default_factory=lambda: defaultdict(lambda: ZERO))

    def take(self, stored: StoredEvent) -> None:
        """Add an event's effects."""
        for name, delta in _parts(stored):
            self.figures[name] = add(self.figures[name], delta)
        for posting in stored.effects.postings:
            self.balances[posting.asset] = add(self.balances[posting.asset], posting.delta)


def _parts(stored: StoredEvent) -> tuple[tuple[str, Decimal], ...]:
    effects = stored.effects
    return (
        (NET_BASIS, effects.basis_delta),
        (NET_DEPOSITS, effects.net_deposits_delta),
        (STARTING_VALUE, effects.starting_value_delta),
    )


class Tally:
    """Adds up a book's log in two parts: what was imported, including its corrections, and what was recorded here."""

    def __init__(self, planned: Set[str], rows: Mapping[int, CapitalRow], numeraire: str) -> None:
        """`planned`: the import's keys. `rows`: by version of a movement that was recorded here, its old row."""
        self.imported = _Figures()
        self.here = _Figures()
        self.openings: defaultdict[str, Decimal] = defaultdict(lambda: ZERO)
        self._planned = planned
        self._versions: set[int] = set()
        self._fills: dict[str, StoredEvent] = {}
        self._later: list[tuple[Kind, StoredEvent]] = []
        self._rows = rows
        self._numeraire = numeraire
        self._differing: list[tuple[str, Decimal, int]] = []

    def take(self, stored: StoredEvent) -> None:
        """Add the next event of the log."""
        if not self._is_imported(stored):
            self.here.take(stored)
            return
        if stored.version in self._rows:
            self._compare(stored, self._rows[stored.version])
        self._versions.add(stored.version)
        self.imported.take(stored)
        if stored.key.startswith(OPENINGS) and stored.reverses is None:
            for posting in stored.effects.postings:
                self.openings[posting.asset] = add(self.openings[posting.asset], posting.delta)
        elif stored.key.startswith(_BASELINES):
            self._start_anew()
        elif stored.version in self._rows:
            pass
        elif stored.key not in self._planned:
            is_row = stored.key.startswith(PREFIX) and stored.event.corrects is None
            self._later.append((Kind.GONE if is_row else Kind.CORRECTED_HERE, stored))
        elif stored.type == "fill":
            self._fills[stored.key] = stored

    def posted(self, fill: FillRow, asset: str) -> Decimal:
        """What an old fill's event moved of an asset, in the asset's own unit."""
        stored = self._fills.get(key_of(FILLS, fill.id))
        postings = stored.effects.postings if stored else ()
        return total(posting.delta for posting in postings if posting.asset == asset)

    def later_causes(self, figure: str, asset: str | None) -> Causes:
        """The causes that were recorded later: corrections of imported history, and imported rows that are gone."""
        causes = Causes()
        for kind, stored in self._later:
            if asset is None:
                delta = dict(_parts(stored))[figure]
            else:
                delta = total(posting.delta for posting in stored.effects.postings if posting.asset == asset)
            causes.add(kind, delta, f"version {stored.version}")
        for name, off, version in self._differing:
            if asset is None and name == figure:
                causes.add(Kind.RECORDED_OTHERWISE, off, f"version {version}")
        return causes

    def _compare(self, stored: StoredEvent, row: CapitalRow) -> None:
        """Note the differences between a movement that was recorded here and its old row."""
        worth, basis = _value(row, self._numeraire), stored.effects.basis_delta
        if row.basis_delta is None:  # unknown in the old database, so not a difference
            self.imported.figures[NET_BASIS] = subtract(self.imported.figures[NET_BASIS], basis)
            self.here.figures[NET_BASIS] = add(self.here.figures[NET_BASIS], basis)
        else:
            basis = row.basis_delta
        old = {NET_BASIS: basis, NET_DEPOSITS: worth, STARTING_VALUE: worth}
        for name, delta in _parts(stored):
            self._differing.append((name, subtract(delta, old[name]), stored.version))

    def _start_anew(self) -> None:
        """A baseline replaces the starting value, whatever it consisted of before."""
        imported, here = self.imported.figures, self.here.figures
        imported[STARTING_VALUE] = add(imported[STARTING_VALUE], here[STARTING_VALUE])
        here[STARTING_VALUE] = ZERO
        self._differing = [each for each in self._differing if each[0] != STARTING_VALUE]

    def _is_imported(self, stored: StoredEvent) -> bool:
        if stored.key in self._planned or stored.key.startswith(PREFIX) or stored.reverses in self._versions:
            return True
        if stored.version in self._rows:
            return True
        if stored.type not in ("fill", "deposit", "withdrawal", "basis_commit", "adjustment"):
            return False
        event = stored.event
        is_correction = event.corrects is not None and event.corrects in self._versions
        return is_correction or (isinstance(event, Adjustment) and event.reason == CORRECTING)


def reconcile(
    rows: LegacyRows,
    chains: Mapping[str, BalanceChain],
    numeraire: str,
    log: Iterable[StoredEvent],
    plan: ImportPlan,
    recorded: Sequence[RecordedMovement] = (),
) -> Reconciliation:
    """Compare an old database with a book's log, which must include the import of `plan`."""
    keys = {planned.event.key for planned in plan.events if planned.event.key is not None}
    by_key = {key_of(CAPITAL, row.id): row for row in rows.capital}
    tally = Tally(keys, {each.stored.version: by_key[each.planned.event.key or ""] for each in recorded}, numeraire)
    for stored in log:
        tally.take(stored)
    totals = [_total_line(chain, tally) for chain in chains.values()]
    return Reconciliation((*totals, *_figure_lines(rows, numeraire, tally)))


def _total_line(chain: BalanceChain, tally: Tally) -> Line:
    asset, old = chain.asset, chain.total
    imported, here = tally.imported.balances[asset], tally.here.balances[asset]
    difference = None if old is None else subtract(imported, old)
    causes = tally.later_causes("total", asset)
    find_causes(causes, chain, lambda fill: tally.posted(fill, asset), tally.openings[asset])
    found = () if difference is None or difference.is_zero() else causes.of(difference)
    return Line(f"total {asset}", asset, old, add(imported, here), here, difference, found)


def _figure_lines(rows: LegacyRows, numeraire: str, tally: Tally) -> list[Line]:
    values = [_value(row, numeraire) for row in rows.capital]
    old: dict[str, Decimal | None] = {
        NET_BASIS: total(row.basis_delta for row in rows.capital if row.basis_delta is not None),
        NET_DEPOSITS: total(values),
        STARTING_VALUE: rows.starting_value,
    }
    return [_figure_line(name, figure, tally) for name, figure in old.items()]


def _figure_line(name: str, old: Decimal | None, tally: Tally) -> Line:
    imported, here = tally.imported.figures[name], tally.here.figures[name]
    if old is None:
        return Line(name, None, None, add(imported, here), here, None, ())
    difference = subtract(imported, old)
    causes = tally.later_causes(name, None)
    rest = Kind.NOT_EXPLAINED
    if name == STARTING_VALUE:
        is_noise = difference.copy_abs() <= noise_of(old, imported)
        rest = Kind.FLOAT_RESIDUE if is_noise else Kind.STARTING_VALUE_MOVED
    found = () if difference.is_zero() else causes.of(difference, rest)
    return Line(name, None, old, add(imported, here), here, difference, found)


def _value(row: CapitalRow, numeraire: str) -> Decimal:
    """What a capital event adds to net deposits, in the numeraire."""
    if row.event_type == "basis_commit":
        return ZERO
    worth = row.amount if row.asset == numeraire else value(row.amount, row.price or ZERO)
    return worth if row.event_type == "deposit" else negate(worth)
