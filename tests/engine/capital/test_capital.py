"""`inject`, `withdraw` and `backfill_basis`: what they decide, what they refuse, and that each is whole or not there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import projections.basis
import projections.engine_state
from engine import projector
from engine.bookkeeper import Bookkeeper
from engine.capital import (
    InitialBasisPlan,
    Injection,
    Movement,
    Payout,
    RequestOutcome,
    backfill_basis,
    inject,
    plan_payout,
    withdraw,
)
from engine.policy.valuation import MAX_MARK_AGE
from engine.proof.check import check
from ledger.appender import Outcome
from ledger.book import Book
from ledger.database.postgres import is_url
from ledger.effects import Effects
from ledger.errors import KeyConflict, Refused, StorageError, VersionPassed
from ledger.events import Evidence, MarkUsed, Withdrawal, event_from
from ledger.times import time_text
from projections import rows
from projections.rows import Rows
from projections.state import BookState
from tests.engine.capital.capital_support import (
    FIRST_BASIS,
    FIRST_DEPOSITS,
    KILLED,
    open_desk,
    pnl_now,
    price_of,
    run_child,
)
from tests.engines import Raw, contents, raw_access
from tests.ledger.database.store_support import content, fill, findings_of, require_projections_match
from tests.support import BOOK, START, SequentialIds, TickingClock, event, it_is, log_of, open_keeper

ZERO = Decimal(0)


@pytest.fixture
def desk(keeper: Bookkeeper) -> Bookkeeper:
    """The first user's book at version 5: equity 139.970146, basis 137.284078, so 2.686068 of profit."""
    open_desk(keeper)
    return keeper


def planned(done: RequestOutcome[Any]) -> Any:
    """The plan of what was done or would be."""
    assert done.plan is not None
    return done.plan


def written(done: RequestOutcome[Any]) -> Outcome:
    """What was written."""
    assert done.outcome is not None
    return done.outcome


def parts(done: RequestOutcome[Payout]) -> tuple[str, str]:
    """Profit and principal."""
    evidence: Evidence = planned(done).evidence
    return str(evidence.profit.normalize()), str(evidence.principal.normalize())


# ---------------------------------------------------------------------------------------------------- inject


def test_an_injection_moves_basis_starting_value_and_net_deposits_and_never_pnl(desk: Bookkeeper) -> None:
    before = pnl_now(desk)
    done = inject(desk, BOOK, Movement("50.00", actor="owner"))
    after = pnl_now(desk)
    plan: Injection = planned(done)
    assert (plan.net_basis.before, plan.net_basis.after) == (before.net_basis, after.net_basis)
    assert (plan.starting_value.before, plan.starting_value.after) == (before.starting_value, after.starting_value)
    assert after.net_basis - before.net_basis == 50
    assert after.starting_value - before.starting_value == 50
    assert after.net_deposits - before.net_deposits == 50
    assert after.total_value is not None
    assert before.total_value is not None
    assert after.total_value - before.total_value == 50
    assert (after.total_pnl, after.trading_value) == (before.total_pnl, before.trading_value)
    assert after.retained_profit == before.retained_profit == Decimal("2.686068")


def test_the_event_carries_what_was_said_and_the_note_by_default(desk: Bookkeeper) -> None:
    stored = written(inject(desk, BOOK, Movement("50", actor="owner", tx_hash="AB"))).stored
    fields = stored.event
    assert (stored.type, stored.version, stored.key) == ("deposit", 6, "AB:deposit:RLUSD")
    assert (fields.source_note, fields.tx_hash, fields.actor) == ("manual injection", "AB", "owner")
    assert written(inject(desk, BOOK, Movement("50", source_note="mine"))).stored.event.source_note == "mine"


def test_in_kind_it_counts_at_its_own_price_and_tells_the_newest_mark_apart(desk: Bookkeeper) -> None:
    before = pnl_now(desk)
    plan: Injection = planned(inject(desk, BOOK, Movement("10", asset="XRP"), price=Decimal("1.33")))
    after = pnl_now(desk)
    assert plan.net_basis.after - plan.net_basis.before == Decimal("13.3")
    assert plan.mark is not None
    assert (plan.mark.price, plan.mark_difference) == (Decimal("1.3998"), Decimal("0.698"))
    # The marked-up part is a gain of the market, not of the deposit: exactly the line that is shown.
    assert after.total_pnl is not None
    assert before.total_pnl is not None
    assert after.total_pnl - before.total_pnl == plan.mark_difference
    assert planned(inject(desk, BOOK, Movement("10"))).mark_difference is None


@pytest.mark.parametrize("amount", ["0", "-10", "abc", "1" * 21, "NaN", ""])
def test_an_injection_of_what_is_no_amount_is_refused(desk: Bookkeeper, amount: str) -> None:
    before = content(desk.database)
    for dry_run in (False, True):
        with pytest.raises(Refused) as refused:
            inject(desk, BOOK, Movement(amount), dry_run=dry_run)
        assert refused.value.field == "amount"
    assert content(desk.database) == before


def test_a_repeat_with_its_transactions_hash_is_answered_and_counts_once(desk: Bookkeeper) -> None:
    first = inject(desk, BOOK, Movement("50", tx_hash="AB"))
    before = content(desk.database)
    for dry_run in (False, True):
        again = inject(desk, BOOK, Movement("50.00", tx_hash="AB"), dry_run=dry_run)
        assert (again.plan, again.outcome, again.existing) == (None, None, written(first).stored)
        with pytest.raises(KeyConflict) as conflict:
            inject(desk, BOOK, Movement("51", tx_hash="AB"), dry_run=dry_run)
        assert (conflict.value.code, conflict.value.version) == ("exists_with_different_amount", 6)
    assert content(desk.database) == before


def test_what_a_repeat_leaves_to_default_is_not_compared(desk: Bookkeeper) -> None:
    """Neither the note nor the time nor the asset: whoever repeats a command by its hash need not remember them."""
    said = {"asset": "RLUSD", "source_note": "savings", "at": "2026-01-05T09:00:04Z", "actor": "owner"}
    for command in (inject, withdraw):
        first = written(command(desk, BOOK, Movement("5", tx_hash="AB", **said)))
        assert command(desk, BOOK, Movement("5", tx_hash="AB")).existing == first.stored
        with pytest.raises(KeyConflict, match="exists_with_different_source_note"):
            command(desk, BOOK, Movement("5", tx_hash="AB", source_note="manual injection"))


def test_a_dry_run_tells_what_the_real_run_does_and_writes_nothing(desk: Bookkeeper) -> None:
    it_is(desk, START + timedelta(hours=2))
    before = content(desk.database)
    tried = inject(desk, BOOK, Movement("10", asset="XRP", at="2026-01-05T10:00:00Z"), price=Decimal("2"), dry_run=True)
    assert content(desk.database) == before
    assert tried.outcome is None
    done = inject(desk, BOOK, Movement("10", asset="XRP", at="2026-01-05T10:00:00Z"), price=Decimal("2"))
    assert tried.plan == done.plan


# ------------------------------------------------------------------------------------- whole or not there at all


class StopError(Exception):
    """The failure that a test forces."""


def failing_apply(
    state: projections.engine_state.EngineState, effects: Effects
) -> projections.engine_state.EngineState:
    """A projection that folds no deposit: the starting value cannot follow."""
    if effects.starting_value_delta:
        raise StopError
    return state


class Unstorable(Decimal):
    """A figure that no column takes."""

    def __format__(self, specification: str, *_: Any) -> str:
        raise StopError

    def __str__(self) -> str:  # what PostgreSQL's driver asks for
        raise StopError


def unstorable_rows(state: BookState, book: Book) -> Rows:
    """Rows of which that of the starting value cannot be written; those of inventory and basis come before it."""
    rows = dict(REAL_ROWS(state, book))
    (key,) = [key for key in rows if key[0] == "engine_state"]
    assert list(rows).index(key) > list(rows).index(("basis", ""))
    return rows | {key: {"value": Unstorable(1)}}


REAL_ROWS = rows.rows_of


@pytest.mark.parametrize(
    ("module", "name", "failing"),
    [
        (projections.engine_state, "apply", failing_apply),
        (projector, "rows_of", unstorable_rows),
    ],
)
@pytest.mark.parametrize("kind", ["inject", "withdraw"])
def test_a_projection_that_fails_leaves_neither_event_nor_starting_value(
    desk: Bookkeeper, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, failing: Any, kind: str
) -> None:
    """A failing projection through the real transaction: while the event is folded, and while the rows are written."""
    before = content(desk.database)
    with monkeypatch.context() as patched:
        patched.setattr(module, name, failing)
        with pytest.raises(Exception) as failure:
            (inject if kind == "inject" else withdraw)(desk, BOOK, Movement("50"))
    assert any(isinstance(error, StopError) for error in chain_of(failure.value))
    assert content(desk.database) == before
    assert check(desk.database, BOOK).ok
    assert written(inject(desk, BOOK, Movement("50"))).stored.version == 6  # and the book goes on


def chain_of(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it came from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


TABLES = ("events", "books", "inventory", "basis", "engine_state", "projection_heads")


@pytest.mark.parametrize("raised", ["ABORT", "FAIL", "ROLLBACK"])
def test_a_trigger_that_raises_at_any_write_leaves_nothing_of_it(desk: Bookkeeper, location: str, raised: str) -> None:
    """The writes before it were done: SQLite takes them back, or with FAIL leaves that to the transaction."""
    for version, table in enumerate(TABLES, 6):
        with raw_access(location) as raw:
            raising(raw, table, raised, is_server=is_url(location))
            before = contents(location)
            for _ in range(2):
                with pytest.raises(StorageError, match="no room for capital"):
                    inject(desk, BOOK, Movement("50"))
            assert contents(location) == before
            for name in ("one", "two"):
                raw.execute(f"DROP TRIGGER {name}{f' ON {table}' if is_url(location) else ''}")
        assert written(inject(desk, BOOK, Movement("50"))).stored.version == version
    assert findings_of(location) == []


def raising(raw: Raw, table: str, raised: str, *, is_server: bool) -> None:
    """Two triggers that let no write into a table end well; a server knows only one way to raise."""
    action = f"BEGIN SELECT RAISE({raised}, 'no room for capital'); END"
    if is_server:
        action = "FOR EACH ROW EXECUTE FUNCTION raises()"
        body = "'BEGIN RAISE EXCEPTION ''no room for capital''; END'"
        raw.execute(f"CREATE FUNCTION raises() RETURNS trigger LANGUAGE plpgsql AS {body}")
    raw.execute(f"CREATE TRIGGER one AFTER INSERT ON {table} {action}")
    raw.execute(f"CREATE TRIGGER two AFTER UPDATE ON {table} {action}")


# Kills itself at the moment when the statement that `sys.argv[2]` begins is about to be executed.
KILLED_WHEN = f"""
import os, sys
from sqlalchemy import Engine, event
from engine.bookkeeper import Bookkeeper
from engine.capital import Movement, inject
from ledger.database.connections import Write

class Killing(Write):
    def one_by_one(self, *where):
        if str(self.statement).startswith(sys.argv[2]):
            os._exit({KILLED})
        return super().one_by_one(*where)

Write.__new__ = lambda of, *given, **named: object.__new__(Killing)

@event.listens_for(Engine, "commit")
def kill_at_commit(connection):
    if sys.argv[2] == "COMMIT":
        os._exit({KILLED})

with Bookkeeper.open(sys.argv[1], "write") as keeper:
    inject(keeper, "main", Movement("50"))
"""


@pytest.mark.parametrize("statement", ["UPDATE inventory", "UPDATE engine_state", "COMMIT"])
def test_a_process_killed_between_the_event_and_its_projections_leaves_neither(
    tmp_path: Path, location: str, statement: str
) -> None:
    with open_keeper(tmp_path, location=location) as keeper:
        open_desk(keeper)
    before = contents(location)
    assert run_child(KILLED_WHEN, location, statement) == KILLED
    assert contents(location) == before
    assert findings_of(location) == []
    with Bookkeeper.open(location, clock=TickingClock(), new_id=SequentialIds(1000)) as keeper:
        assert written(inject(keeper, BOOK, Movement("50"))).stored.version == 6
        require_projections_match(keeper)


def test_a_process_that_is_not_killed_writes(tmp_path: Path, location: str) -> None:
    """So that the tests above cannot pass because their child does nothing."""
    with open_keeper(tmp_path, location=location) as keeper:
        open_desk(keeper)
    assert run_child(KILLED_WHEN, location, "NOTHING") == 0
    with Bookkeeper.open(location) as keeper:
        assert keeper.view(BOOK).head.version == 6


# -------------------------------------------------------------------------------------------------- withdraw


def test_profit_leaves_first_and_then_principal(desk: Bookkeeper) -> None:
    """The evidence stays on the event: what was there before it, and the marks with their source and time."""
    before = pnl_now(desk)
    done = withdraw(desk, BOOK, Movement("20", actor="owner", source_note="rent"))
    assert parts(done) == ("2.686068", "17.313932")
    stored = log_of(desk)[-1].event
    assert isinstance(stored, Withdrawal)
    assert stored.basis_delta == Decimal("-17.313932")
    assert (stored.actor, stored.source_note, stored.price) == ("owner", "rent", None)
    assert stored.evidence == Evidence(
        equity_before=Decimal("139.970146"),
        basis_before=Decimal(FIRST_BASIS),
        profit=Decimal("2.686068"),
        principal=Decimal("17.313932"),
        marks=(MarkUsed(asset="XRP", price=Decimal("1.3998"), source="desk", at=log_of(desk)[4].at),),
        policy="profit_first/1",
    )
    after = pnl_now(desk)
    assert after.total_pnl == before.total_pnl
    assert (after.withdrawn_profit, after.retained_profit) == (Decimal("2.686068"), ZERO)
    assert after.net_basis == Decimal("119.970146")
    assert check(desk.database, BOOK).ok


def test_a_withdrawal_tells_all_that_it_changes_and_that_pnl_stays(desk: Bookkeeper) -> None:
    plan: Payout = planned(withdraw(desk, BOOK, Movement("20")))
    after = pnl_now(desk)
    assert plan.value == 20
    assert (plan.equity.before, plan.equity.after) == (Decimal("139.970146"), after.total_value)
    assert (plan.net_basis.before, plan.net_basis.after) == (Decimal(FIRST_BASIS), after.net_basis)
    assert plan.total_pnl.before == plan.total_pnl.after == after.total_pnl


def test_in_a_drawdown_all_of_it_is_principal(keeper: Bookkeeper) -> None:
    open_desk(keeper, mark="1.2")
    assert parts(withdraw(keeper, BOOK, Movement("20"))) == ("0", "2E+1")


def test_in_kind_it_is_worth_what_its_mark_says(desk: Bookkeeper) -> None:
    done = withdraw(desk, BOOK, Movement("5", asset="XRP"))
    stored = log_of(desk)[-1]
    assert planned(done).value == Decimal("6.999")
    assert parts(done) == ("2.686068", "4.312932")
    assert (stored.asset, stored.price) == ("XRP", Decimal("1.3998"))
    assert stored.effects.net_deposits_delta == Decimal("-6.999")
    assert desk.view(BOOK).state.inventory.balance("XRP") == Decimal("34.27")
    assert check(desk.database, BOOK).ok


def test_a_given_price_comes_before_any_mark_and_is_not_stored_as_one(desk: Bookkeeper) -> None:
    done = withdraw(desk, BOOK, Movement("5", asset="XRP"), prices={"XRP": price_of("2", "phone")})
    assert planned(done).value == 10
    (used,) = planned(done).evidence.marks
    assert (used.price, used.source) == (Decimal(2), "phone")
    assert desk.view(BOOK).state.marks["XRP"].price == Decimal("1.3998")


def test_marks_in_the_evidence_are_those_of_what_is_held_sorted_by_asset(desk: Bookkeeper) -> None:
    for asset in ("ZEC", "BTC"):
        desk.append(BOOK, event("adjustment", asset=asset, amount="1", reason="reward"))
        desk.append(BOOK, event("mark", asset=asset, price="3"))
    desk.append(BOOK, event("mark", asset="ETH", price="3000"))  # not held
    done = withdraw(desk, BOOK, Movement("1"))
    assert [mark.asset for mark in planned(done).evidence.marks] == ["BTC", "XRP", "ZEC"]


def test_an_asset_that_was_held_once_needs_no_mark(desk: Bookkeeper) -> None:
    for amount in ("1", "-1"):
        desk.append(BOOK, event("adjustment", asset="BTC", amount=amount, reason="reward"))
    assert parts(withdraw(desk, BOOK, Movement("1"))) == ("1", "0")


# Each refusal of `withdraw`: what makes the book refuse, what is withdrawn, and what the error has.
UNKNOWN_DEPOSIT = event("deposit", asset="RLUSD", amount="5", basis_unknown=True)
ETH = event("adjustment", asset="ETH", amount="1", reason="reward")
SHORT_ETH = event("adjustment", asset="ETH", amount="-1", reason="fee")
ETH_MARK = event("mark", asset="ETH", price="100")
REFUSALS: dict[str, tuple[list[Any], Movement, str, str | None, str | None]] = {
    "no mark": ([ETH], Movement("1"), "mark_missing", "a mark of ETH", None),
    "no mark of a debt": ([SHORT_ETH], Movement("1"), "mark_missing", "a mark of ETH", None),
    "no mark in kind": ([ETH], Movement("1", asset="ETH"), "mark_missing", "a mark of ETH", None),
    "more than the balance": ([], Movement("85.000001"), "insufficient_balance", "at most 85", "85.000001"),
    "more in kind": ([], Movement("39.28", asset="XRP"), "insufficient_balance", "at most 39.27", "39.28"),
    "of what is not held": ([], Movement("1", asset="BTC"), "insufficient_balance", "at most 0", "1"),
    "more than the equity": (
        [SHORT_ETH, ETH_MARK],
        Movement("50"),
        "exceeds_equity",
        "at most 39.970146 RLUSD",
        "50 RLUSD",
    ),
    "more than the equity in kind": (
        [event("adjustment", asset="RLUSD", amount="-100", reason="fee")],
        Movement("39", asset="XRP"),
        "exceeds_equity",
        "at most 39.970146 RLUSD",
        "54.5922 RLUSD",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_withdrawal_that_makes_no_sense_is_refused_and_leaves_nothing(desk: Bookkeeper, case: str) -> None:
    events, movement, code, expected, actual = REFUSALS[case]
    desk.append_all(BOOK, events)
    before = content(desk.database)
    for dry_run in (True, False):
        with pytest.raises(Refused) as refused:
            withdraw(desk, BOOK, movement, dry_run=dry_run)
        found = refused.value
        assert (found.code, found.expected, found.actual) == (code, expected, actual and found.actual)
        assert actual is None or actual in str(found.actual)
    assert content(desk.database) == before


@pytest.mark.parametrize(
    ("events", "movement"),
    [
        ([], Movement("85")),
        ([], Movement("39.27", asset="XRP")),
        ([SHORT_ETH, ETH_MARK], Movement("39.970146")),
    ],
)
def test_all_that_is_there_may_be_withdrawn(desk: Bookkeeper, events: list[Any], movement: Movement) -> None:
    """The boundary of the refusals above."""
    desk.append_all(BOOK, events)
    assert written(withdraw(desk, BOOK, movement)).existed is False
    assert check(desk.database, BOOK).ok


def test_a_mark_given_only_for_what_is_withdrawn_is_not_enough(desk: Bookkeeper) -> None:
    desk.append(BOOK, ETH)
    with pytest.raises(Refused, match="mark_missing"):
        withdraw(desk, BOOK, Movement("1", asset="XRP"), prices={"XRP": price_of("1.4")})
    both = {"XRP": price_of("1.4"), "ETH": price_of("100")}
    assert planned(withdraw(desk, BOOK, Movement("1", asset="XRP"), prices=both)).equity.before == Decimal("239.978")


def test_of_several_reasons_the_first_one_in_the_order_of_precedence_is_told(keeper: Bookkeeper) -> None:
    """Each step takes away the reason that was told; then the next one is."""
    later = START + timedelta(hours=1)
    keeper.append_all(BOOK, [event_from(fields) for fields in FIRST_DEPOSITS])
    keeper.append_all(BOOK, [ETH_MARK, SHORT_ETH])
    it_is(keeper, later)
    huge = Movement("86", at=time_text(later))
    told = [code_of(keeper, huge)]
    backfill_basis(keeper, BOOK, FIRST_BASIS)
    told.append(code_of(keeper, huge))
    movement = Movement("85", at=time_text(later))
    told.append(code_of(keeper, movement))  # ETH's mark is stale, XRP has none
    keeper.append(BOOK, event("mark", asset="XRP", price="1", at=time_text(later)))
    told.append(code_of(keeper, movement))
    keeper.append(BOOK, event("mark", asset="ETH", price="100", at=time_text(later)))
    told.append(code_of(keeper, movement))
    assert told == ["basis_incomplete", "insufficient_balance", "mark_missing", "mark_stale", "exceeds_equity"]


def code_of(keeper: Bookkeeper, movement: Movement) -> str:
    """The code by which a withdrawal is refused."""
    with pytest.raises(Refused) as refused:
        withdraw(keeper, BOOK, movement)
    return refused.value.code


MARKED = datetime.fromisoformat("2026-01-05T12:00:00+00:00")
MICROSECOND = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("age", "max_mark_age", "is_fresh"),
    [
        (MAX_MARK_AGE, None, True),
        (MAX_MARK_AGE + MICROSECOND, None, False),
        (timedelta(0), timedelta(0), True),
        (MICROSECOND, timedelta(0), False),
        (timedelta(hours=2), timedelta(hours=2), True),
        (timedelta(hours=2), timedelta(hours=2) - MICROSECOND, False),
        (timedelta(days=300), timedelta(days=999_999), True),
        (timedelta(days=300), timedelta.max, True),
    ],
)
def test_a_mark_counts_while_it_is_not_older_than_that_at_the_withdrawals_time(
    desk: Bookkeeper, age: timedelta, max_mark_age: timedelta | None, is_fresh: bool
) -> None:
    """To the microsecond, 15 minutes by default."""
    assert timedelta(minutes=15) == MAX_MARK_AGE
    it_is(desk, MARKED + timedelta(days=301))
    desk.append(BOOK, event("mark", asset="XRP", price="2", at=time_text(MARKED)))
    movement = Movement("1", at=time_text(MARKED + age))
    option: dict[str, Any] = {} if max_mark_age is None else {"max_mark_age": max_mark_age}
    if is_fresh:
        assert planned(withdraw(desk, BOOK, movement, **option)).evidence.marks[0].at == MARKED
        return
    with pytest.raises(Refused) as refused:
        withdraw(desk, BOOK, movement, **option)
    limit = MARKED + age - (MAX_MARK_AGE if max_mark_age is None else max_mark_age)
    assert refused.value.code == "mark_stale"
    assert refused.value.expected == f"one of {time_text(limit)} or later"
    assert "2026-01-05T12:00:00.000000Z" in str(refused.value.actual)
    # A price that is given is not asked for its age.
    assert withdraw(desk, BOOK, movement, prices={"XRP": price_of("2")}, **option).outcome is not None


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("dry_run", [False, True])
def test_a_withdrawal_before_everything_is_refused_even_when_it_is_late(
    desk: Bookkeeper, late: bool, dry_run: bool
) -> None:
    before = content(desk.database)
    for at in ("0001-01-01T00:00:00Z", "2025-12-31T00:00:00Z"):
        with pytest.raises(Refused, match="decision_out_of_order"):
            withdraw(desk, BOOK, Movement("1", at=at), late=late, dry_run=dry_run)
    assert content(desk.database) == before


def test_without_a_time_the_marks_age_is_counted_to_now(tmp_path: Path) -> None:
    clock = TickingClock(step=timedelta(0))
    with Bookkeeper.open(str(ready(tmp_path)), clock=clock, new_id=SequentialIds()) as keeper:
        marked = keeper.view(BOOK).state.marks["XRP"].at
        clock.now = marked + MAX_MARK_AGE + MICROSECOND
        with pytest.raises(Refused, match="mark_stale"):
            withdraw(keeper, BOOK, Movement("1"))
        clock.now = marked + MAX_MARK_AGE
        assert written(withdraw(keeper, BOOK, Movement("1"))).stored.at == clock.now


def ready(folder: Path) -> Path:
    """The closed ledger of a desk."""
    with open_keeper(folder) as keeper:
        open_desk(keeper)
    return folder / "ledger.db"


def test_a_withdrawal_in_the_past_is_refused_or_late(desk: Bookkeeper) -> None:
    """It is classified on what the book holds now, keeps its own time, and its evidence says so."""
    first, later = START + timedelta(seconds=2), START + timedelta(hours=3)
    it_is(desk, later)
    inject(desk, BOOK, Movement("10"))
    desk.append(BOOK, event("mark", asset="XRP", price="1.5"))
    movement = Movement("20", at=time_text(first))
    before = content(desk.database)
    for dry_run in (True, False):
        with pytest.raises(Refused, match="decision_out_of_order") as refused:
            withdraw(desk, BOOK, movement, dry_run=dry_run)
        assert "--late" in str(refused.value.advice)
    assert content(desk.database) == before
    done = withdraw(desk, BOOK, movement, late=True)
    evidence = planned(done).evidence
    assert written(done).stored.at == first
    assert evidence.late is not None
    assert (evidence.late.mark, evidence.late.decided_at > later) == (None, True)
    assert (evidence.marks[0].price, evidence.basis_before) == (Decimal("1.5"), Decimal("147.284078"))
    assert check(desk.database, BOOK).ok


def test_a_late_withdrawal_in_kind_is_worth_what_it_was_then(desk: Bookkeeper) -> None:
    """Its own price is that of its time, the equity that of now; the evidence has both, and is verified."""
    then, later = START + timedelta(minutes=1), START + timedelta(hours=3)
    desk.append(BOOK, event("mark", asset="XRP", price="1.2", at=time_text(then)))
    it_is(desk, later)
    inject(desk, BOOK, Movement("10"))
    desk.append(BOOK, event("mark", asset="XRP", price="1.5"))
    done = withdraw(desk, BOOK, Movement("2", asset="XRP", at=time_text(then)), late=True)
    plan, evidence = planned(done), planned(done).evidence
    assert (plan.event.price, plan.value) == (Decimal("1.2"), Decimal("2.4"))
    assert evidence.late is not None
    assert evidence.late.mark is not None
    assert (evidence.late.mark.price, evidence.late.mark.at) == (Decimal("1.2"), then)
    assert [mark.price for mark in evidence.marks] == [Decimal("1.5")]
    assert check(desk.database, BOOK).ok
    given_price = {"XRP": price_of("1.3")}
    priced = withdraw(desk, BOOK, Movement("1", asset="XRP", at=time_text(then)), prices=given_price, late=True)
    assert planned(priced).event.price == Decimal("1.3")
    assert check(desk.database, BOOK).ok


@pytest.mark.parametrize(
    ("ahead", "is_refused"), [(timedelta(minutes=5), False), (timedelta(minutes=5, microseconds=1), True)]
)
def test_no_decision_lies_ahead_of_the_clock(desk: Bookkeeper, ahead: timedelta, is_refused: bool) -> None:
    clock = TickingClock(START + timedelta(minutes=10), step=timedelta(0))
    desk._clock = clock
    at = time_text(clock.now + ahead)
    steps: list[Callable[[], object]] = [
        lambda: inject(desk, BOOK, Movement("1", at=at)),
        lambda: withdraw(desk, BOOK, Movement("1", at=at)),
        lambda: backfill_basis(desk, BOOK, "1", at=at, even_so=True),
        lambda: desk.append(BOOK, event("mark", asset="XRP", price="1", at=at)),
        lambda: desk.append(BOOK, event("reversal", reverses=2, at=at)),
    ]
    for step in steps:
        if is_refused and step is not steps[2]:  # the basis is there already
            with pytest.raises(Refused, match="at_in_future"):
                step()
        else:
            step()


def test_while_a_basis_is_unknown_nothing_can_be_withdrawn(keeper: Bookkeeper) -> None:
    """Until the initial basis is committed; and again when that commit, or the deposit's reversal, is taken back."""
    keeper.append_all(BOOK, [event_from(fields) for fields in FIRST_DEPOSITS])
    keeper.append(BOOK, event("mark", asset="XRP", price="1.3998"))
    assert code_of(keeper, Movement("1")) == "basis_incomplete"
    backfill_basis(keeper, BOOK, FIRST_BASIS)
    assert parts(withdraw(keeper, BOOK, Movement("1"))) == ("1", "0")
    keeper.append(BOOK, event("reversal", reverses=5))
    assert code_of(keeper, Movement("1")) == "basis_incomplete"
    for version in (2, 3):
        assert code_of(keeper, Movement("1")) == "basis_incomplete"
        keeper.append(BOOK, event("reversal", reverses=version))
    assert code_of(keeper, Movement("1")) == "insufficient_balance"  # nothing unknown is left, nor anything else


def test_a_commit_that_is_not_the_initial_basis_does_not_complete_it(keeper: Bookkeeper) -> None:
    keeper.append_all(BOOK, [UNKNOWN_DEPOSIT, event("basis_commit", basis_delta="5")])
    assert code_of(keeper, Movement("1")) == "basis_incomplete"


def test_a_repeat_is_answered_after_the_book_has_moved_on(desk: Bookkeeper) -> None:
    """Also when there is nothing left to withdraw, the mark is stale and the classification would be another."""
    first = written(withdraw(desk, BOOK, Movement("80", tx_hash="AB"))).stored
    desk.append(BOOK, fill("f:1", quote_amount="5"))
    desk.append(BOOK, event("mark", asset="XRP", price="9", at="2026-01-04T00:00:00Z"))
    desk.append(BOOK, event("adjustment", asset="ETH", amount="1", reason="reward"))
    before = content(desk.database)
    for dry_run in (False, True):
        again = withdraw(desk, BOOK, Movement("80", tx_hash="AB"), dry_run=dry_run)
        assert (again.plan, again.outcome, again.existing) == (None, None, first)
        again = withdraw(desk, BOOK, Movement("80", tx_hash="AB"), prices={"XRP": price_of("7")}, dry_run=dry_run)
        assert again.existing == first
        with pytest.raises(KeyConflict, match="exists_with_different_amount"):
            withdraw(desk, BOOK, Movement("79", tx_hash="AB"), dry_run=dry_run)
    assert content(desk.database) == before


def test_without_a_transactions_hash_twice_is_two_withdrawals(desk: Bookkeeper) -> None:
    assert parts(withdraw(desk, BOOK, Movement("2"))) == ("2", "0")
    assert parts(withdraw(desk, BOOK, Movement("2"))) == ("0.686068", "1.313932")


def test_one_hash_may_bring_capital_in_and_take_some_out(desk: Bookkeeper) -> None:
    inject(desk, BOOK, Movement("2", tx_hash="AB"))
    assert written(withdraw(desk, BOOK, Movement("2", tx_hash="AB"))).stored.key == "AB:withdrawal:RLUSD"


def test_a_withdrawals_dry_run_tells_what_the_real_run_does_and_writes_nothing(desk: Bookkeeper) -> None:
    before = content(desk.database)
    movement = Movement("20", at="2026-01-05T09:05:00Z", tx_hash="AB")
    tried = withdraw(desk, BOOK, movement, dry_run=True)
    assert (tried.outcome, content(desk.database)) == (None, before)
    assert withdraw(desk, BOOK, movement).plan == tried.plan


@pytest.mark.parametrize("amount", ["0", "-10", "abc", "1" * 21])
def test_a_withdrawal_of_what_is_no_amount_is_refused(desk: Bookkeeper, amount: str) -> None:
    for dry_run in (True, False):
        with pytest.raises(Refused) as refused:
            withdraw(desk, BOOK, Movement(amount), dry_run=dry_run)
        assert refused.value.field == "amount"


def test_parts_too_small_to_see_stay_what_they_are(keeper: Bookkeeper) -> None:
    keeper.append(BOOK, event("deposit", asset="RLUSD", amount="1"))
    keeper.append(BOOK, event("adjustment", asset="RLUSD", amount="0.000000000000000001", reason="dust"))
    assert parts(withdraw(keeper, BOOK, Movement("1"))) == ("1E-18", "0.999999999999999999")


def test_what_rounds_to_nothing_is_withdrawn_as_nothing(desk: Bookkeeper) -> None:
    tiny = Movement("0.000000000000000001", asset="XRP")
    assert parts(withdraw(desk, BOOK, tiny, prices={"XRP": price_of("0.1")})) == ("0", "0")
    assert check(desk.database, BOOK).ok


def test_who_classifies_for_himself_names_the_version_that_he_has_read(desk: Bookkeeper) -> None:
    """And is refused when it has passed; without a version, when the evidence is not the book's any more."""
    view = desk.view(BOOK)
    wanted = Withdrawal(asset="RLUSD", amount=Decimal(20), basis_delta=ZERO)
    decided = plan_payout(wanted, view.book, view.state, {}, at=START).event
    inject(desk, BOOK, Movement("1", at=time_text(START)))
    with pytest.raises(VersionPassed):
        desk.append(BOOK, decided, expected_version=view.head.version)
    with pytest.raises(Refused, match="evidence_mismatch"):
        desk.append(BOOK, decided)
    view = desk.view(BOOK)
    decided = plan_payout(wanted, view.book, view.state, {}, at=START).event
    assert desk.append(BOOK, decided, expected_version=view.head.version).stored.version == 7


# --------------------------------------------------------------------------------------------------- policies


def test_a_book_opened_with_principal_first_pays_capital_back_before_profit(tmp_path: Path) -> None:
    with open_keeper(tmp_path, withdrawal_policy="principal_first/1") as keeper:
        open_desk(keeper, mark="3")  # equity 202.81
        assert parts(withdraw(keeper, BOOK, Movement("80"))) == ("0", "8E+1")
        assert parts(withdraw(keeper, BOOK, Movement("30", asset="XRP"))) == ("32.715922", "57.284078")
        stored = log_of(keeper)[-1].event
        assert isinstance(stored, Withdrawal)
        assert stored.evidence is not None
        assert stored.evidence.policy == "principal_first/1"
        assert keeper.view(BOOK).state.basis.net_basis == 0
        assert check(keeper.database, BOOK).ok


def test_evidence_of_another_policy_than_the_books_is_refused(tmp_path: Path) -> None:
    with open_keeper(tmp_path, withdrawal_policy="principal_first/1") as keeper:
        open_desk(keeper)
        event_of_it = planned(withdraw(keeper, BOOK, Movement("1"), dry_run=True)).event
        other = event_of_it.evidence.model_copy(update={"policy": "profit_first/1"})
        with pytest.raises(Refused, match="evidence_mismatch"):
            keeper.append(BOOK, event_of_it.model_copy(update={"evidence": other}))


# ------------------------------------------------------------------------------------------------------ backfill


@pytest.fixture
def before_basis(keeper: Bookkeeper) -> Bookkeeper:
    """A book whose deposits are older than its basis, at version 3."""
    keeper.append_all(BOOK, [event_from(fields) for fields in FIRST_DEPOSITS])
    return keeper


def test_the_initial_basis_moves_neither_inventory_nor_starting_value(before_basis: Bookkeeper) -> None:
    prices = {"XRP": price_of("1.3314")}
    before = pnl_now(before_basis, prices)
    done = backfill_basis(before_basis, BOOK, FIRST_BASIS, actor="owner", at="2026-01-01T00:00:00Z")
    after = pnl_now(before_basis, prices)
    plan: InitialBasisPlan = planned(done)
    assert (plan.net_basis.before, plan.net_basis.after, plan.net_deposits) == (
        ZERO,
        Decimal(FIRST_BASIS),
        Decimal(FIRST_BASIS),
    )
    assert after.net_basis == Decimal(FIRST_BASIS)
    assert (after.total_value, after.starting_value, after.net_deposits, after.total_pnl) == (
        before.total_value,
        before.starting_value,
        before.net_deposits,
        before.total_pnl,
    )
    assert (before.retained_profit, after.retained_profit) == (None, ZERO)
    stored = written(done).stored
    assert (stored.key, stored.event.source_note, stored.event.actor) == (
        "synthetic_initial_basis",
        "synthetic_initial_basis",
        "owner",
    )
    assert time_text(stored.at) == "2026-01-01T00:00:00.000000Z"


def test_the_initial_basis_is_committed_once_whatever_the_second_amount(before_basis: Bookkeeper) -> None:
    first = written(backfill_basis(before_basis, BOOK, FIRST_BASIS)).stored
    before = content(before_basis.database)
    for amount in (FIRST_BASIS, "1"):
        for dry_run in (False, True):
            again = backfill_basis(before_basis, BOOK, amount, dry_run=dry_run)
            assert (again.plan, again.outcome, again.existing) == (None, None, first)
    assert content(before_basis.database) == before


@pytest.mark.parametrize(
    ("amount", "code"),
    [
        ("0", "amount_must_be_positive"),
        ("-1", "amount_must_be_positive"),
        ("abc", "amount_malformed"),
        ("1" * 21, "amount_out_of_range"),
    ],
)
def test_an_initial_basis_is_more_than_nothing(before_basis: Bookkeeper, amount: str, code: str) -> None:
    before = content(before_basis.database)
    for dry_run in (True, False):
        with pytest.raises(Refused, match=code):
            backfill_basis(before_basis, BOOK, amount, dry_run=dry_run)
    assert content(before_basis.database) == before


def test_an_initial_basis_that_was_reversed_is_corrected_by_the_next(before_basis: Bookkeeper) -> None:
    """Else the advice of `basis_incomplete` would lead nowhere: the amount was mistyped, and could never be put right."""
    backfill_basis(before_basis, BOOK, "1372.84078")
    for number, amount in ((2, "13.7284078"), (3, FIRST_BASIS)):
        newest = before_basis.view(BOOK).head.version
        before_basis.append(BOOK, event("reversal", reverses=newest))
        tried = backfill_basis(before_basis, BOOK, amount, dry_run=True)
        done = backfill_basis(before_basis, BOOK, amount)
        assert tried.plan == done.plan
        stored = written(done).stored
        assert (stored.key, stored.event.corrects) == (f"synthetic_initial_basis#{number}", newest)
        assert stored.event.source_note == "synthetic_initial_basis"
        assert backfill_basis(before_basis, BOOK, "1").existing == stored
    assert before_basis.view(BOOK).state.basis.net_basis == Decimal(FIRST_BASIS)
    before_basis.append(BOOK, event("mark", asset="XRP", price="1.3998"))
    assert parts(withdraw(before_basis, BOOK, Movement("20"))) == ("2.686068", "17.313932")
    assert check(before_basis.database, BOOK).ok


def test_two_books_have_an_initial_basis_each(before_basis: Bookkeeper) -> None:
    before_basis.open_book("paper", event("opened", mode="paper"))  # type: ignore[arg-type]
    backfill_basis(before_basis, BOOK, FIRST_BASIS)
    assert written(backfill_basis(before_basis, "paper", "5")).stored.book == "paper"
