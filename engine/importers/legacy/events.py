"""Old rows as events: what an import appends, ordered by time.

Each event's key is `legacy:<table>:<id>`, so that a later import recognises it. Three kinds of event have another key: an
opening has that of its asset's first ledger row, the baseline that of the starting value, and the synthetic initial basis
(if the old database has one) the fixed key of every book's initial basis.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from functools import partial

from engine.importers.legacy.chain import BalanceChain, BalanceStep, moved, noise_of
from engine.importers.legacy.columns import CAPITAL, FILLS, LEDGER, STATE
from engine.importers.legacy.pairing import fee_in, moves_of, own_quote
from engine.importers.legacy.rows import CapitalRow, FillRow, LegacyRows
from ledger.amounts import VALUE_DIGITS_AFTER_POINT, ZERO, add, negate, subtract, total, value
from ledger.book import Book
from ledger.errors import Refusal, Refused
from ledger.events import Adjustment, Baseline, BasisCommit, Deposit, Event, Fill, Withdrawal, undeclared
from projections.basis import INITIAL_BASIS_KEY
from projections.engine_state import starting_value_key

PREFIX = "legacy:"
OPENINGS = f"{PREFIX}{LEDGER}:"
OPENING = "opening"
_ONE = Decimal(1)
_SHORTENING = Context(prec=150, rounding=ROUND_HALF_EVEN)


@dataclass(frozen=True, slots=True)
class EarlierImports:
    """What earlier imports left in the book.

    keys:      the keys of all their events
    openings:  by asset, the sum of the openings, in the asset's own unit
    """

    keys: frozenset[str] = frozenset()
    openings: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PlannedEvent:
    """An event of an import.

    event:   the event
    source:  the old row it comes from, such as `fills row 7`
    """

    event: Event
    source: str


@dataclass(slots=True)
class ImportPlan:
    """What an import appends.

    events:  in order, including those that are in the book already
    quotes:  how many quote amounts of fills were `kept`, `from_ledger` or `computed`, and how many of them were `rounded`
    notes:   what is worth knowing
    """

    events: list[PlannedEvent] = field(default_factory=list)
    quotes: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)


def key_of(table: str, row_id: str) -> str:
    """The key of an old row's event."""
    return f"{PREFIX}{table}:{row_id}"


def plan_events(rows: LegacyRows, chains: Mapping[str, BalanceChain], book: Book, known: EarlierImports) -> ImportPlan:
    """The events of an old database, sorted by time; at equal times openings, then fills, then capital.

    The baseline is last. Raises Refused, naming the old row, when a row cannot become an event.
    """
    plan = ImportPlan()
    steps = {(chain.asset, step.fill.id): step for chain in chains.values() for step in chain.steps if step.fill}
    for row in rows.capital:
        _add(plan, CAPITAL, row.id, partial(_capital_event, row, book, plan))
    for fill in rows.fills:
        _add(plan, FILLS, fill.id, partial(_fill_event, fill, steps.get((fill.quote_asset, fill.id)), plan))
    _plan_openings(plan, chains, known)
    plan.events.sort(key=_place)
    _plan_baseline(plan, rows, book, known)
    return plan


def _add(plan: ImportPlan, table: str, row_id: str, build: Callable[[], Event]) -> None:
    source = f"{table} row {row_id}"
    try:
        plan.events.append(PlannedEvent(build(), source))
    except Refused as refused:
        refused.where = source
        raise


def _place(planned: PlannedEvent) -> tuple[datetime, int]:
    """The sort key of an event: its time; at equal times, openings before fills before capital."""
    event = planned.event
    assert event.at is not None  # every old row has a time
    return event.at, {"adjustment": 0, "fill": 1}.get(event.kind, 2)


def _capital_event(row: CapitalRow, book: Book, plan: ImportPlan) -> Event:
    fields = {"key": key_of(CAPITAL, row.id), "at": row.time, "source_note": row.source_note, "tx_hash": row.tx_hash}
    given = {name: field for name, field in fields.items() if field is not None}
    if row.event_type == "basis_commit":
        return _basis_commit(row, given, plan)
    given |= {"asset": row.asset, "amount": row.amount}
    if row.price is not None and not (row.asset == book.numeraire and row.price == _ONE):
        given["price"] = row.price
    if row.event_type == "withdrawal":
        if row.basis_delta is None:
            plan.notes.append(
                f"{CAPITAL} row {row.id}: a withdrawal without a basis delta counts as profit, with a basis delta of 0"
            )
        return Withdrawal.model_validate({**given, "basis_delta": row.basis_delta or ZERO})
    if row.basis_delta is None:
        return Deposit.model_validate({**given, "basis_unknown": True})
    return Deposit.model_validate({**given, "basis_delta": row.basis_delta})


def _basis_commit(row: CapitalRow, given: dict[str, object], plan: ImportPlan) -> BasisCommit:
    if row.basis_delta is None:
        raise Refused(Refusal.FIELD_REQUIRED, "a basis commit without a basis delta", expected="a basis delta")
    if row.amount != row.basis_delta.copy_abs():
        plan.notes.append(f"{CAPITAL} row {row.id}: the amount of a basis commit is not its basis delta, which counts")
    is_initial = row.source_note == INITIAL_BASIS_KEY and row.basis_delta > 0
    if not is_initial or any(planned.event.key == INITIAL_BASIS_KEY for planned in plan.events):
        return BasisCommit.model_validate({**given, "basis_delta": row.basis_delta})
    # With this key a book has only one, whoever recorded it and when, and `backfill-basis` recognises it.
    initial = {**given, "key": INITIAL_BASIS_KEY, "basis_delta": row.basis_delta}
    return undeclared(BasisCommit.model_validate(initial), "at", "tx_hash")


def _fill_event(fill: FillRow, step: BalanceStep | None, plan: ImportPlan) -> Fill:
    quote, how = _quote_amount(fill, step)
    rounded = value(quote, _ONE)
    exact = Fraction(fill.quantity) * Fraction(fill.price) if how == "computed" and fill.price else Fraction(quote)
    plan.quotes.update([how, *(["rounded"] if exact != Fraction(rounded) else [])])
    fields = {
        "key": key_of(FILLS, fill.id),
        "at": fill.time,
        "session_id": fill.session_id,
        "side": fill.side,
        "base_asset": fill.base_asset,
        "base_amount": fill.quantity,
        "quote_asset": fill.quote_asset,
        "quote_amount": rounded,
        "fee_asset": fill.fee_asset,
        "fee_amount": fill.fee_amount,
        "order_id": fill.order_id,
        "tx_hash": fill.tx_hash,
    }
    event = Fill.model_validate({name: field for name, field in fields.items() if field is not None})
    # A ledger row may be written later than its fill; the amount computed until then is kept, and not compared.
    return event if how == "kept" else undeclared(event, "quote_amount")


def _quote_amount(fill: FillRow, step: BalanceStep | None) -> tuple[Decimal, str]:
    """A fill's quote amount without the fee, not rounded yet, and where it comes from."""
    if fill.quote_amount is not None:
        return fill.quote_amount, "kept"
    if step is not None and step.told_by == "ledger":
        paid = _without_fee(fill, step.change)
        paid = negate(paid) if fill.side == "buy" else paid
        if paid > 0:
            return paid, "from_ledger"
    computed = own_quote(fill)
    if computed is None:
        raise Refused(Refusal.FIELD_REQUIRED, "neither a price nor a ledger row says what was paid", expected="a price")
    return computed, "computed"


def _without_fee(fill: FillRow, change: Decimal) -> Decimal:
    """A ledger row's change of the quote asset without the fee, if the fee was taken in that asset and is included."""
    fee = fee_in(fill, fill.quote_asset)
    (move,) = moves_of([fill], fill.quote_asset)
    if fee.is_zero() or not move.amounts:
        return change
    gross, net = move.amounts
    is_in_it = subtract(change, net).copy_abs() < subtract(change, gross).copy_abs()
    return add(change, fee) if is_in_it else change


def opening_beyond(chain: BalanceChain) -> Decimal:
    """An opening less the capital and the fills before it, as the shortest decimal within the noise of its floats."""
    first = chain.steps[0]
    fills = [move.amounts[-1] for move in moves_of(chain.fills_in_opening, chain.asset) if move.amounts]
    beyond = subtract(chain.opening, add(moved(first.capital), total(fills)))
    noise = noise_of(first.row.new_balance, first.change, chain.opening)
    for decimals in range(VALUE_DIGITS_AFTER_POINT):
        short = beyond.quantize(Decimal((0, (1,), -decimals)), context=_SHORTENING)
        if subtract(beyond, short).copy_abs() <= noise:
            return short
    return value(beyond, _ONE)


def _plan_openings(plan: ImportPlan, chains: Mapping[str, BalanceChain], known: EarlierImports) -> None:
    """Plan an adjustment for each opening that is more than what came before it; a later import adjusts the difference."""
    gone = gone_keys(plan, known)
    if gone:
        plan.notes.append(
            f"the old database no longer has {len(gone)} of the rows that were imported, such as {min(gone)}: "
            "the openings stay as they were imported"
        )
        return
    for chain in chains.values():
        if chain.steps:
            new = subtract(opening_beyond(chain), known.openings.get(chain.asset, ZERO))
            if not new.is_zero():
                _add(plan, LEDGER, chain.steps[0].row.id, partial(_opening, chain, new, known))


def gone_keys(plan: ImportPlan, known: EarlierImports) -> set[str]:
    """The keys of imported rows that the old database no longer has, without the keys of corrections (`…#2`)."""
    missing = known.keys - {planned.event.key for planned in plan.events}
    others = (OPENINGS, f"{PREFIX}{STATE}:")
    return {key for key in missing if not key.startswith(others) and key.rpartition("#")[0] not in known.keys}


def _opening(chain: BalanceChain, amount: Decimal, known: EarlierImports) -> Adjustment:
    first = chain.steps[0].row
    key, number = key_of(LEDGER, first.id), 1
    while key in known.keys:
        number += 1
        key = f"{key_of(LEDGER, first.id)}#{number}"
    note = "what the old ledger opened with, beyond the capital before it"
    fields = {"asset": chain.asset, "amount": amount, "reason": OPENING, "at": first.time, "source_note": note}
    return Adjustment.model_validate({**fields, "key": key})


def _plan_baseline(plan: ImportPlan, rows: LegacyRows, book: Book, known: EarlierImports) -> None:
    """The first import ends with the old engine's starting value; after that, deposits and withdrawals move it."""
    name = starting_value_key(book.numeraire)
    key = key_of(STATE, name)
    if rows.starting_value is None:
        plan.notes.append(f"engine_state has no {name}: the starting value is what the capital events add up to")
    elif key not in known.keys:
        at = plan.events[-1].event.at if plan.events else None
        reason = "the old engine's starting value"
        baseline = Baseline(starting_value=rows.starting_value, reason=reason, at=at, key=key)
        plan.events.append(PlannedEvent(baseline, f"{STATE} key {name}"))
