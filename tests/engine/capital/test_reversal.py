"""`reverse`: it takes back exactly what the event did, shows it before, and does not do what was not shown."""

from __future__ import annotations

from dataclasses import astuple
from decimal import Decimal
from typing import Any

import pytest

from engine.bookkeeper import Bookkeeper
from engine.capital import Movement, inject, withdraw
from engine.capital.reversal import ReversalPlan, reverse
from engine.proof.check import check
from engine.views import Moment, audit_basis, register, view_at
from ledger.appender import Outcome
from ledger.errors import Refused
from ledger.events import Event, Reversal
from projections.state import BookState
from tests.engine.capital.capital_support import FIRST_BASIS, open_desk, pnl_now, pnl_of
from tests.ledger.database.store_support import content, fill
from tests.support import BOOK, START, event, it_is

ZERO = Decimal(0)


@pytest.fixture
def desk(keeper: Bookkeeper) -> Bookkeeper:
    """The first user's book at version 5: equity 139.970146, basis 137.284078, so 2.686068 of profit."""
    open_desk(keeper)
    return keeper


def shown(keeper: Bookkeeper, version: int) -> ReversalPlan:
    """What reversing a version would do."""
    done = reverse(keeper, BOOK, Reversal(reverses=version), dry_run=True)
    assert done.plan is not None
    assert done.outcome is None
    return done.plan


def undo(keeper: Bookkeeper, version: int, **fields: Any) -> tuple[ReversalPlan, Outcome]:
    """Reverse a version."""
    done = reverse(keeper, BOOK, Reversal.model_validate({"reverses": version, **fields}))
    assert done.plan is not None
    assert done.outcome is not None
    return done.plan, done.outcome


def figures(state: BookState) -> tuple[Any, ...]:
    """All that a state holds, but for its version and assets that are back at 0."""
    holdings = {asset: astuple(holding) for asset, holding in state.inventory.items() if any(astuple(holding))}
    fees = {asset: amount for asset, amount in state.fees.paid.items() if amount}
    return holdings, astuple(state.basis), state.engine_state, dict(state.marks), fees, state.fees.unknown


REVERSIBLE: dict[str, Event] = {
    "fill": fill("t", fee_asset="XRP", fee_amount="0.01"),
    "fill without a fee": fill("t", side="sell"),
    "fill with a rebate": fill("t", fee_asset="BNB", fee_amount="-0.01"),
    "deposit": event("deposit", asset="RLUSD", amount="50"),
    "deposit in kind": event("deposit", asset="BTC", amount="0.5", price="60000.12345"),
    "deposit of unknown basis": event("deposit", asset="RLUSD", amount="50", basis_unknown=True),
    "deposit of another basis": event("deposit", asset="RLUSD", amount="50", basis_delta="-3"),
    "withdrawal": event("withdrawal", asset="RLUSD", amount="20", basis_delta="-12.5"),
    "withdrawal in kind": event("withdrawal", asset="XRP", amount="2", price="1.4", basis_delta="0"),
    "basis_commit": event("basis_commit", basis_delta="-7"),
    "adjustment": event("adjustment", asset="XRP", amount="-0.000012", reason="network_fee"),
    "baseline": event("baseline", starting_value="1000"),
}


@pytest.mark.parametrize("kind", REVERSIBLE)
def test_each_reversible_event_is_taken_back_without_a_trace_in_any_figure(desk: Bookkeeper, kind: str) -> None:
    before = figures(desk.view(BOOK).state)
    version = desk.append(BOOK, REVERSIBLE[kind]).stored.version
    assert figures(desk.view(BOOK).state) != before
    _, outcome = undo(desk, version, reason="test")
    assert figures(desk.view(BOOK).state) == before
    assert outcome.stored.reverses == version
    assert check(desk.database, BOOK).ok


@pytest.mark.parametrize("kind", REVERSIBLE)
def test_what_the_preview_shows_is_what_is_done(desk: Bookkeeper, kind: str) -> None:
    """Balances, basis, starting value and PnL, with events in between that stay."""
    version = desk.append(BOOK, REVERSIBLE[kind]).stored.version
    desk.append_all(
        BOOK, [fill("later"), event("mark", asset="BTC", price="50000"), event("mark", asset="BNB", price="7")]
    )
    before = desk.view(BOOK).state
    plan, _ = undo(desk, version)
    after = desk.view(BOOK).state
    assert (plan.pnl_before, plan.pnl_after) == (pnl_of(before), pnl_of(after))
    moved = {asset for asset in after.inventory if before.inventory.balance(asset) != after.inventory.balance(asset)}
    assert [change.asset for change in plan.balances] == sorted(moved)
    for change in plan.balances:
        assert change.before == before.inventory.balance(change.asset)
        assert change.after == after.inventory.balance(change.asset)


def test_the_preview_alone_writes_nothing(desk: Bookkeeper) -> None:
    version = inject(desk, BOOK, Movement("50")).outcome.stored.version  # type: ignore[union-attr]
    before = content(desk.database)
    shown(desk, version)
    assert content(desk.database) == before


def test_a_withdrawal_gives_profit_and_principal_back_as_they_were_taken(desk: Bookkeeper) -> None:
    """Not as they would be classified now: the mark has fallen since, and there is no profit any more."""
    taken = withdraw(desk, BOOK, Movement("20"))
    assert taken.plan is not None
    desk.append(BOOK, event("mark", asset="XRP", price="0.5"))
    before = pnl_now(desk)
    assert before.retained_profit is not None
    assert before.retained_profit < 0
    undo(desk, 6)
    after = pnl_now(desk)
    assert before.withdrawn_profit - after.withdrawn_profit == taken.plan.evidence.profit == Decimal("2.686068")
    assert after.net_basis - before.net_basis == taken.plan.evidence.principal == Decimal("17.313932")
    assert after.net_deposits - before.net_deposits == after.starting_value - before.starting_value == 20
    assert after.total_pnl == before.total_pnl
    assert after.withdrawn_profit == 0
    assert check(desk.database, BOOK).ok


def test_a_baseline_that_is_taken_back_takes_what_it_had_changed(desk: Bookkeeper) -> None:
    """137.284078 → 100 is −37.284078; the 50 that came in since stay in."""
    version = desk.append(BOOK, event("baseline", starting_value="100")).stored.version
    inject(desk, BOOK, Movement("50"))
    undo(desk, version)
    assert pnl_now(desk).starting_value == Decimal("187.284078")


def test_the_reversal_stays_at_the_reversed_events_time_so_that_no_earlier_view_keeps_the_mistake(
    desk: Bookkeeper,
) -> None:
    it_is(desk, START.replace(month=3))
    inject(desk, BOOK, Movement("50", at="2026-02-01T00:00:00Z"))
    undo(desk, 6)
    later = Moment(as_of=START.replace(month=2, day=2))
    assert view_at(desk.database, BOOK, later).state.basis.net_basis == Decimal(FIRST_BASIS)
    inject(desk, BOOK, Movement("50", at="2026-02-01T00:00:00Z"))
    _, outcome = undo(desk, 8, at="2026-02-03T00:00:00Z")
    assert view_at(desk.database, BOOK, later).state.basis.net_basis == Decimal(FIRST_BASIS) + 50
    assert outcome.stored.at == START.replace(month=2, day=3, hour=0)


@pytest.mark.parametrize(
    ("version", "code"),
    [
        (1, "reversal_not_allowed"),  # opened
        (7, "reversal_not_allowed"),  # a reversal
        (6, "already_reversed"),
        (8, "reversed_version_unknown"),
    ],
)
def test_what_cannot_be_reversed_is_refused_before_it_is_shown(desk: Bookkeeper, version: int, code: str) -> None:
    inject(desk, BOOK, Movement("50"))
    undo(desk, 6)
    with pytest.raises(Refused, match=code):
        shown(desk, version)


def test_what_is_shown_is_what_is_done_although_the_book_moved_on_since_a_dry_run(desk: Bookkeeper) -> None:
    """The figures of the real run are read under the lock that it appends under."""
    inject(desk, BOOK, Movement("50"))
    before = shown(desk, 6)
    inject(desk, BOOK, Movement("1"))
    plan, outcome = undo(desk, 6)
    assert outcome.version == 8
    assert plan.pnl_before.net_basis == before.pnl_before.net_basis + 1
    assert plan.pnl_after == pnl_now(desk)


# -------------------------------------------------------------------------------------------------- warnings


def test_a_net_basis_that_falls_below_zero_is_warned_of_and_allowed(desk: Bookkeeper) -> None:
    withdraw(desk, BOOK, Movement("80"))
    plan, _ = undo(desk, 4)  # the initial basis
    assert plan.basis_falls_below_zero
    assert (plan.pnl_before.net_basis > 0, plan.pnl_after.net_basis < 0) == (True, True)
    checked = check(desk.database, BOOK)
    assert checked.ok
    assert any("net basis is negative" in note for note in checked.notes)


@pytest.mark.parametrize(("commit", "warned"), [("-137.284077", False), ("-137.284078", False), ("-137.284079", True)])
def test_zero_itself_is_not_below_it(keeper: Bookkeeper, commit: str, warned: bool) -> None:
    """Reversing a deposit of 10 from a basis of 10 and a commit: 0 is where the warning begins."""
    open_desk(keeper)
    inject(keeper, BOOK, Movement("10"))
    keeper.append(BOOK, event("basis_commit", basis_delta=commit))
    assert shown(keeper, 6).basis_falls_below_zero is warned


def test_what_was_below_zero_already_does_not_fall_below_it(keeper: Bookkeeper) -> None:
    keeper.append_all(BOOK, [event("deposit", asset="RLUSD", amount="5"), event("basis_commit", basis_delta="-6")])
    assert not shown(keeper, 2).basis_falls_below_zero


def test_later_withdrawals_that_were_classified_on_top_of_it_are_named(desk: Bookkeeper) -> None:
    """Not those before it, nor recorded ones without evidence, nor reversed ones."""
    withdraw(desk, BOOK, Movement("1"))  # 6
    inject(desk, BOOK, Movement("50"))  # 7
    withdraw(desk, BOOK, Movement("2"))  # 8
    desk.append(BOOK, event("withdrawal", asset="RLUSD", amount="1", basis_delta="-1"))  # 9
    withdraw(desk, BOOK, Movement("3"))  # 10
    withdraw(desk, BOOK, Movement("4"))  # 11
    undo(desk, 10)  # 12
    assert shown(desk, 7).classified_later == [8, 11]
    assert shown(desk, 8).classified_later == [11]
    assert shown(desk, 11).classified_later == []


def test_undone_newest_first_they_are_classified_anew(desk: Bookkeeper) -> None:
    """A gain that was none: the withdrawal took it for profit. Undone and done again it is principal."""
    gain = desk.append(BOOK, event("adjustment", asset="RLUSD", amount="30", reason="reward")).stored.version
    withdraw(desk, BOOK, Movement("30"))
    assert pnl_now(desk).withdrawn_profit == 30
    for version in (7, gain):
        undo(desk, version)
    withdraw(desk, BOOK, Movement("30"))
    assert pnl_now(desk).withdrawn_profit == Decimal("2.686068")
    assert check(desk.database, BOOK).ok


def test_without_a_mark_the_figures_that_need_it_are_unknown_and_it_is_named(keeper: Bookkeeper) -> None:
    open_desk(keeper, mark=None)
    plan = shown(keeper, 3)
    assert plan.missing_marks == ("XRP",)
    assert (plan.pnl_before.total_pnl, plan.pnl_after.total_pnl) == (None, None)
    # Held only before the reversal, it is missing all the same.
    plan = shown(keeper, 2)
    assert (plan.pnl_before.missing_marks, plan.pnl_after.missing_marks) == (("XRP",), ())
    assert plan.missing_marks == ("XRP",)


# ---------------------------------------------------------------------------------- both rows name each other


def rows_of(keeper: Bookkeeper, moment: Moment | None = None) -> dict[int, tuple[int | None, int | None]]:
    """By version, `reverses` and `reversed_by` as the audit has them."""
    audit = audit_basis(keeper.database, BOOK, moment or Moment())
    return {row.version: (row.reverses, row.reversed_by) for row in audit.rows}


def test_register_and_audit_tie_the_reversed_row_and_its_reversal_to_each_other(desk: Bookkeeper) -> None:
    inject(desk, BOOK, Movement("50"))
    withdraw(desk, BOOK, Movement("20"))
    undo(desk, 7)
    undo(desk, 4)
    expected = {7: (None, 8), 8: (7, None), 4: (None, 9), 9: (4, None), 6: (None, None), 2: (None, None)}
    found = rows_of(desk)
    assert {version: found[version] for version in expected} == expected
    with register(desk.database, BOOK) as (_, _, rows):
        tied = {row.version: (row.reverses, row.reversed_by) for row in rows}
    assert {version: tied[version] for version in (6, 7, 8)} == {6: (None, None), 7: (None, 8), 8: (7, None)}


def test_an_audit_as_of_before_the_reversal_does_not_know_of_it(desk: Bookkeeper) -> None:
    inject(desk, BOOK, Movement("50"))
    undo(desk, 6)
    assert rows_of(desk, Moment(as_of=6))[6] == (None, None)
    assert rows_of(desk, Moment(as_of=7))[6] == (None, 7)


def test_the_audit_can_be_followed_with_a_pencil_over_a_reversal(desk: Bookkeeper) -> None:
    """Each basis_after is the one above it plus basis_delta; a reversal gives the principal back."""
    withdraw(desk, BOOK, Movement("20"))
    undo(desk, 6, reason="sent twice")
    rows = audit_basis(desk.database, BOOK).rows
    basis = ZERO
    for row in rows:
        basis += row.basis_delta or ZERO
        assert row.basis_after == basis
    assert (rows[-1].type, rows[-1].amount, rows[-1].basis_delta) == ("reversal", Decimal(20), Decimal("17.313932"))
