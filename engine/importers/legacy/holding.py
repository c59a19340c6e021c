"""Whether the balances of an old ledger include the capital events after its first row, as far as the rows tell.

A row's balance moves by its own change, and perhaps also by a capital event before it. In a chain that assumes that all are
included (`Holds.TOTAL`), an event that is not included shows as a jump of its amount at the next row:

    deposit 85, ledger 72, deposit 50, ledger 59, each row with a change of −13
        row 2: 59 − 72 − (−13) − 50 = −50, so the deposit of 50 is not included: a ledger of fills alone

An event whose amount is missing there but appears at another row is included; only its time is wrong. It cannot be told
when a row's own change is unknown, or when the amount is smaller than the noise of a float or a price.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations

from engine.importers.legacy.chain import BalanceChain, BalanceStep, Holds, moved, noise_of
from engine.importers.legacy.columns import CAPITAL, LEDGER
from engine.importers.legacy.pairing import PairingRow, agreed_change, moves_of
from engine.importers.legacy.rows import CapitalRow
from ledger.amounts import add, subtract
from ledger.errors import Refusal, Refused

_NAMED = 3
_TRIED_TOGETHER = 8  # up to so many capital events between two rows, every selection of them is tried


@dataclass(slots=True)
class _Verdicts:
    """The capital events that matter, each with the row after it.

    held:      the row's balance includes it
    left_out:  it does not
    untold:    it cannot be told
    """

    held: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    untold: list[str] = field(default_factory=list)


def read_holds(chains: Mapping[str, BalanceChain]) -> Holds:
    """Whether the balances include the capital events. `chains`: built with `Holds.TOTAL`, which is also the default.

    Raises Refused `ledger_unclear`, naming the events, when it cannot be told, or when some are included and others are not.
    """
    found = _Verdicts()
    for chain in chains.values():
        unexplained: list[BalanceStep] | None = None
        for previous, step in zip(chain.steps, chain.steps[1:], strict=False):
            if not moved(step.capital).is_zero():
                unexplained = _unexplained(chain) if unexplained is None else unexplained
                _look(found, chain, previous, step, unexplained)
    if found.held and found.left_out:
        raise _unclear(
            f"some balances of {LEDGER} include the capital events before them and others do not: "
            f"{_names(found.held)} included, {_names(found.left_out)} not included"
        )
    if found.untold and not (found.held or found.left_out):
        raise _unclear(f"it cannot be told whether the balances of {LEDGER} include {_names(found.untold)}")
    return Holds.FILLS_ONLY if found.left_out else Holds.TOTAL


def _unclear(what: str) -> Refused:
    return Refused(
        Refusal.LEDGER_UNCLEAR,
        what,
        advice="say what the balances include: --ledger total (each capital event, from the next row on) or "
        "--ledger fills-only (no capital event after the first row)",
    )


def _names(places: list[str]) -> str:
    more = f" and {len(places) - _NAMED} more" if len(places) > _NAMED else ""
    return ", ".join(places[:_NAMED]) + more


def _look(
    found: _Verdicts, chain: BalanceChain, previous: BalanceStep, step: BalanceStep, unexplained: list[BalanceStep]
) -> None:
    """Decide for each capital event between two rows whether the later balance includes it."""
    missing = list(_missing(step)) if _is_told(chain, previous, step) else []
    place = f"{LEDGER} row {step.row.id}"
    for event in step.capital:
        if event.moved.is_zero():
            continue
        says = {event in selection for selection in missing}
        where = f"{CAPITAL} row {event.id} ({place})"
        if len(says) != 1:
            found.untold.append(where)
        elif says == {False} or any(_is_jump_of(event, other) for other in unexplained):
            found.held.append(where)
        else:
            found.left_out.append(where)


def _missing(step: BalanceStep) -> Iterator[tuple[CapitalRow, ...]]:
    """The selections of the events before a row whose absence explains the row's jump."""
    noise = noise_of(step.row.new_balance, step.change, *(event.moved for event in step.capital))
    for selection in _selections([event for event in step.capital if not event.moved.is_zero()]):
        if add(step.jump, moved(selection)).copy_abs() <= noise:
            yield selection


def _selections(events: list[CapitalRow]) -> Iterable[tuple[CapitalRow, ...]]:
    if len(events) > _TRIED_TOGETHER:
        return [(), tuple(events)]
    return [selection for count in range(len(events) + 1) for selection in combinations(events, count)]


def _unexplained(chain: BalanceChain) -> list[BalanceStep]:
    """The rows whose jump is not explained by capital events before them."""
    return [step for step in chain.steps if not step.jump.is_zero() and not any(True for _ in _missing(step))]


def _is_jump_of(event: CapitalRow, step: BalanceStep) -> bool:
    """Whether a row's jump is an event's amount."""
    noise = noise_of(step.row.new_balance, step.change, event.moved)
    return subtract(step.jump, event.moved).copy_abs() <= noise


def _is_told(chain: BalanceChain, previous: BalanceStep, step: BalanceStep) -> bool:
    """Whether a row's own change is known without assuming that the capital before it is included or not."""
    if step.row.change is not None:
        return True
    if step.fill is None:
        return False
    balance = subtract(step.row.new_balance, previous.row.new_balance)
    (move,) = moves_of([step.fill], chain.asset)
    noise = noise_of(step.row.new_balance, previous.row.new_balance)
    fitting = {
        change
        for change in (balance, subtract(balance, moved(step.capital)))
        if agreed_change(PairingRow(step.row, (change,), noise), move) is not None
    }
    return len(fitting) == 1 and bool(move.amounts)
