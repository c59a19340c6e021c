"""A whole import: which events come over, what a second one adds, what differs and why, and what stops it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.bookkeeper import Bookkeeper
from engine.capital import Movement, backfill_basis, inject
from engine.importers.legacy.causes import Kind
from engine.importers.legacy.chain import Holds
from engine.importers.legacy.columns import parse_mapping
from engine.importers.legacy.importing import ImportReport, ImportRequest, import_legacy
from engine.proof.check import check
from ledger.errors import KeyConflict, Refusal, Refused
from ledger.events import Adjustment, Baseline, BasisCommit, Deposit, Event, Fill, Withdrawal
from ledger.times import parse_time
from tests.engine.importers.legacy.legacy_databases import (
    CAPITAL,
    EXACT,
    FILLS,
    LEDGER,
    START,
    STATE,
    OldEngine,
    Shape,
    first_deposits,
    trade,
)
from tests.support import BOOK, event, log_of

D = Decimal
INITIAL = "synthetic_initial_basis"


def run(keeper: Bookkeeper, old: Path, *mapped: str, dry_run: bool = False, start: str | None = None) -> ImportReport:
    engine_start = None if start is None else parse_time(start)
    return import_legacy(keeper, BOOK, ImportRequest(str(old), parse_mapping(mapped), engine_start), dry_run=dry_run)


def by_key(keeper: Bookkeeper) -> dict[str, Event]:
    return {stored.key: stored.event for stored in log_of(keeper)}


def differences(imported: ImportReport) -> dict[str, Decimal | None]:
    return {line.figure: line.difference for line in imported.reconciliation.lines}


def causes(imported: ImportReport, figure: str) -> dict[Kind, tuple[Decimal, int, tuple[str, ...]]]:
    """The causes of a line's difference but for what floats leave over."""
    (line,) = [line for line in imported.reconciliation.lines if line.figure == figure]
    return {
        cause.kind: (cause.amount, cause.count, cause.examples)
        for cause in line.causes
        if cause.kind is not Kind.FLOAT_RESIDUE
    }


def write(old: Path, statement: str, *values: object) -> None:
    """Do something to an old database that its engine would not."""
    with closing(sqlite3.connect(old)) as connection, connection:
        connection.execute(statement, values)


# ---- every age


@pytest.mark.parametrize("age", EXACT)
def test_each_age_comes_over_exactly_once_and_as_its_dry_run_says(keeper: Bookkeeper, tmp_path: Path, age: str) -> None:
    truth = EXACT[age](tmp_path / "old.db")
    before = keeper.view(BOOK)
    dry = run(keeper, tmp_path / "old.db", dry_run=True)
    assert keeper.view(BOOK) == before
    real = run(keeper, tmp_path / "old.db")
    assert real.reconciliation.holds
    assert dry.reconciliation == real.reconciliation
    assert (dry.plan, dry.existed, dry.notes) == (real.plan, real.existed, real.notes)
    assert len(log_of(keeper)) == 1 + real.existed.count(False)
    state = keeper.view(BOOK).state
    for asset, balance in truth.balances.items():
        assert abs(state.inventory.balance(asset) - balance) <= D("1e-9")
    assert state.basis.net_basis == truth.net_basis
    assert state.basis.net_deposits == truth.net_deposits
    assert state.basis.unknown_bases == truth.unknown_bases
    assert state.engine_state.starting_value == truth.starting_value
    again = run(keeper, tmp_path / "old.db")
    assert (again.head, False in again.existed) == (real.head, False)
    assert again.reconciliation == real.reconciliation
    if age != "no_capital_events":
        _after_the_old_engine_wrote_more_exactly_that_is_added(keeper, tmp_path, age)
    assert check(keeper.database, BOOK).ok


def _after_the_old_engine_wrote_more_exactly_that_is_added(keeper: Bookkeeper, tmp_path: Path, age: str) -> None:
    """A deposit; the old starting value moves with it."""
    version = keeper.view(BOOK).head.version
    with closing(sqlite3.connect(tmp_path / "old.db")) as connection, connection:
        time = connection.execute(f"SELECT * FROM {CAPITAL} LIMIT 0").description[-1][0]
        connection.execute(
            f'INSERT INTO {CAPITAL} (id, event_type, asset, amount, price_rlusd, "{time}") VALUES (?, ?, ?, ?, ?, ?)',
            (4711, "deposit", "FOO", 2.5, 2, "2026-01-01T00:00:00Z"),
        )
        if age != "no_engine_state":
            connection.execute(f"UPDATE {STATE} SET value = value + 5")
    more = run(keeper, tmp_path / "old.db")
    assert more.existed.count(False) == 1
    (added,) = log_of(keeper, after=version)
    assert (added.key, added.event.at) == ("legacy:capital_events:4711", parse_time("2026-01-01T00:00:00Z"))
    assert more.reconciliation.holds


# ---- which events


def engine(folder: Path, shape: Shape | None = None, **how: Any) -> OldEngine:
    return OldEngine(folder / "old.db", shape, **how)


def test_the_events_of_a_history(keeper: Bookkeeper, tmp_path: Path) -> None:
    """One row of each kind, with all that it carries; in the order of time, the opening first and the baseline last."""
    with engine(tmp_path, Shape(fee_columns=True), openings={"RLUSD": "10"}) as old:
        old.capital("deposit", "XRP", "39.27", price="1.3314", basis="52.3", note="first", tx_hash="5C1A")
        old.capital("deposit", "RLUSD", "85", price="1")
        old.fill("sell", "10", "1.33", session="s1", fee="0.01", fee_asset="XRP")
        old.capital("withdrawal", "RLUSD", "20", price="1", basis="-12.5")
        old.capital("basis_commit", "RLUSD", "4.5", price="1", basis="-4.5", note="too much")
        old.keep_starting_value("117.3")
    run(keeper, tmp_path / "old.db")
    at = {minute: START.replace(minute=minute) for minute in range(1, 6)}
    keys: dict[str, Any] = {"actor": None, "corrects": None}
    assert list(by_key(keeper).items())[1:] == [
        (key, built.model_copy(update={"key": key, "book": BOOK, **keys}))
        for key, built in (
            (
                "legacy:capital_events:1",
                Deposit(
                    asset="XRP", amount=D("39.27"), price=D("1.3314"), basis_delta=D("52.3"), source_note="first",
                    tx_hash="5C1A", at=at[1],
                ),
            ),
            ("legacy:capital_events:2", Deposit(asset="RLUSD", amount=D(85), basis_unknown=True, at=at[2])),
            (
                "legacy:inventory_ledger:2",
                Adjustment(
                    asset="RLUSD", amount=D(10), reason="opening", at=at[3],
                    source_note="what the old ledger opened with, beyond the capital before it",
                ),
            ),
            (
                "legacy:fills:1",
                Fill(
                    side="sell", base_asset="XRP", base_amount=D(10), quote_asset="RLUSD", quote_amount=D("13.3"),
                    fee_asset="XRP", fee_amount=D("0.01"), session_id="s1", at=at[3],
                ),
            ),
            ("legacy:capital_events:3", Withdrawal(asset="RLUSD", amount=D(20), basis_delta=D("-12.5"), at=at[4])),
            (
                "legacy:capital_events:4",
                BasisCommit(asset="RLUSD", amount=D("4.5"), basis_delta=D("-4.5"), source_note="too much", at=at[5]),
            ),
            (
                "legacy:engine_state:paper.pnl_starting_value_rlusd",
                Baseline(starting_value=D("117.3"), reason="the old engine's starting value", at=at[5]),
            ),
        )
    ]  # fmt: skip


def test_a_quote_amount_is_the_ledgers_change_and_else_the_product_rounded_and_counted(
    keeper: Bookkeeper, tmp_path: Path
) -> None:
    """15 / 1.3314 = 11.266336187471834 in a float; times 1.3314 it has 19 decimals, and the ledger says 15."""
    with engine(tmp_path) as old:
        first_deposits(old)
        old.fill("buy", "11.266336187471834", "1.3314")
        old.fill("buy", "11.266336187471834", "1.3314", ledger=False)
        old.fill("buy", "10", "1.33", ledger=False)
    write(tmp_path / "old.db", f"UPDATE {LEDGER} SET change = -15.0 WHERE asset = 'RLUSD'")
    imported = run(keeper, tmp_path / "old.db")
    quotes = [one.quote_amount for one in by_key(keeper).values() if isinstance(one, Fill)]
    assert quotes == [D(15), D("14.999999999999999788"), D("13.3")]
    assert dict(imported.plan.quotes) == {"from_ledger": 1, "computed": 2, "rounded": 1}


def test_a_kept_quote_amount_counts_before_the_ledgers_change(keeper: Bookkeeper, tmp_path: Path) -> None:
    with engine(tmp_path, Shape(quote_column=True)) as old:
        old.fill("buy", "10", "1.33")
    write(tmp_path / "old.db", f"UPDATE {FILLS} SET quote_amount = 13.31")
    imported = run(keeper, tmp_path / "old.db")
    (fill,) = [one for one in by_key(keeper).values() if isinstance(one, Fill)]
    assert (fill.quote_amount, dict(imported.plan.quotes)) == (D("13.31"), {"kept": 1})


@pytest.mark.parametrize("shape", [Shape(fee_columns=True), Shape(fee_columns=True, change_column=False)])
def test_a_fee_in_the_ledgers_change_does_not_count_twice(keeper: Bookkeeper, tmp_path: Path, shape: Shape) -> None:
    with engine(tmp_path, shape) as old:
        first_deposits(old)
        old.fill("sell", "1", "1.33", fee="0")
        old.fill("buy", "10", "1.33", fee="0.0133", fee_asset="RLUSD")
    assert differences(run(keeper, tmp_path / "old.db"))["total RLUSD"] == 0
    fill = by_key(keeper)["legacy:fills:2"]
    assert isinstance(fill, Fill)
    assert (fill.fee_amount, round(fill.quote_amount, 9)) == (D("0.0133"), D("13.3"))


def test_a_ledger_that_never_took_the_fees_is_told_apart(keeper: Bookkeeper, tmp_path: Path) -> None:
    with engine(tmp_path, Shape(fee_columns=True)) as old:
        first_deposits(old)
        trade(old)
    write(tmp_path / "old.db", f"UPDATE {FILLS} SET fee = 0.125, fee_asset = 'RLUSD'")
    imported = run(keeper, tmp_path / "old.db")
    places = tuple(f"fills row {number}" for number in (1, 2, 3))
    assert causes(imported, "total RLUSD") == {Kind.FEE_NOT_TAKEN: (D("-0.375"), 3, places)}


def test_a_fee_of_zero_is_a_fact_and_none_is_unknown(keeper: Bookkeeper, tmp_path: Path) -> None:
    EXACT["fees"](tmp_path / "old.db")
    imported = run(keeper, tmp_path / "old.db")
    assert keeper.view(BOOK).state.fees.unknown == 1
    assert "fills without a known fee: 1" in imported.notes


def test_a_price_of_one_on_the_numeraire_becomes_absent_and_another_is_refused(
    keeper: Bookkeeper, tmp_path: Path
) -> None:
    with engine(tmp_path) as old:
        old.capital("deposit", "RLUSD", "85", price="1")
        old.capital("deposit", "RLUSD", "85", price="0.9998")
    with pytest.raises(Refused, match="capital_events row 2") as caught:
        run(keeper, tmp_path / "old.db")
    assert caught.value.refusal is Refusal.PRICE_MUST_BE_ABSENT
    assert len(log_of(keeper)) == 1, "all of it or nothing"


def test_a_null_basis_is_unknown_and_not_zero(keeper: Bookkeeper, tmp_path: Path) -> None:
    with engine(tmp_path) as old:
        old.capital("deposit", "RLUSD", "85", basis=None)
        old.capital("deposit", "RLUSD", "10", basis="0")
    imported = run(keeper, tmp_path / "old.db")
    assert keeper.view(BOOK).state.basis.unknown_bases == 1
    assert not keeper.view(BOOK).state.basis.is_known
    assert "deposits without a known basis: 1; state it once with `netbasis backfill-basis`" in imported.notes


def test_a_withdrawal_without_a_basis_delta_counts_nothing_and_that_is_said(keeper: Bookkeeper, tmp_path: Path) -> None:
    """No withdrawal can be unknown; taken as 0, the basis that is stated afterwards is the whole of it."""
    with engine(tmp_path) as old:
        old.capital("withdrawal", "RLUSD", "5", basis=None)
    imported = run(keeper, tmp_path / "old.db")
    assert keeper.view(BOOK).state.basis.net_basis == 0
    note = "capital_events row 1: a withdrawal without a basis delta counts as profit, with a basis delta of 0"
    assert note in imported.notes


def test_a_basis_commit_moves_no_inventory_and_states_its_delta(keeper: Bookkeeper, tmp_path: Path) -> None:
    with engine(tmp_path) as old:
        old.capital("basis_commit", "XRP", "3", price="1.33", basis="-4.5")
    imported = run(keeper, tmp_path / "old.db")
    state = keeper.view(BOOK).state
    assert (len(state.inventory), state.basis.net_basis) == (0, D("-4.5"))
    assert any("the amount of a basis commit is not its basis delta" in note for note in imported.notes)


def test_a_basis_commit_without_a_delta_is_refused(keeper: Bookkeeper, tmp_path: Path) -> None:
    with engine(tmp_path) as old:
        old.capital("basis_commit", "RLUSD", "3")
    with pytest.raises(Refused, match="capital_events row 1: a basis commit without a basis delta"):
        run(keeper, tmp_path / "old.db")


def test_the_old_initial_basis_is_the_books(keeper: Bookkeeper, tmp_path: Path) -> None:
    """Else a backfill here would be a second one, and profit stay unknown."""
    EXACT["after_the_backfill"](tmp_path / "old.db")
    imported = run(keeper, tmp_path / "old.db")
    state = keeper.view(BOOK).state
    assert (state.basis.is_known, state.basis.net_basis) == (True, D("137.284078"))
    assert backfill_basis(keeper, BOOK, "137.284078").existing is not None
    assert not any("backfill" in note for note in imported.notes)


@pytest.mark.parametrize(("amount", "conflicts"), [("137.284078", False), ("137", True)])
def test_a_basis_that_was_backfilled_on_both_sides_is_one_if_it_is_the_same(
    keeper: Bookkeeper, tmp_path: Path, amount: str, conflicts: bool
) -> None:
    backfill_basis(keeper, BOOK, amount)
    EXACT["after_the_backfill"](tmp_path / "old.db")
    if conflicts:
        with pytest.raises(KeyConflict, match="exists_with_different_basis_delta"):
            run(keeper, tmp_path / "old.db")
    else:
        assert run(keeper, tmp_path / "old.db").reconciliation.holds
        assert keeper.view(BOOK).state.basis.net_basis == D("137.284078")


def test_a_second_commit_under_the_same_note_is_an_ordinary_one(keeper: Bookkeeper, tmp_path: Path) -> None:
    with engine(tmp_path) as old:
        for amount in ("5", "7"):
            old.capital("basis_commit", "RLUSD", amount, basis=amount, note=INITIAL)
    run(keeper, tmp_path / "old.db")
    assert list(by_key(keeper))[1:] == [INITIAL, "legacy:capital_events:2"]


# ---- the opening


def test_capital_before_the_first_row_counts_once(keeper: Bookkeeper, tmp_path: Path) -> None:
    """A withdrawal, too; and what the opening holds beyond it is an adjustment of the first row's time."""
    with engine(tmp_path, openings={"RLUSD": "10"}) as old:
        old.capital("deposit", "RLUSD", "100", basis="100")
        old.capital("withdrawal", "RLUSD", "30", basis="-30")
        old.fill("buy", "10", "1.5")
        old.capital("deposit", "RLUSD", "50", basis="50")
    run(keeper, tmp_path / "old.db")
    holding = keeper.view(BOOK).state.inventory["RLUSD"]
    assert (holding.capital, holding.adjustments, holding.fills) == (D(120), D(10), D(-15))


def test_a_floats_noise_is_no_opening(keeper: Bookkeeper, tmp_path: Path) -> None:
    """84.99999999999999 + 0.00000000000001 is what a REAL of 85 may look like after a sum."""
    with engine(tmp_path) as old:
        old.capital("deposit", "RLUSD", "85", basis="85")
        old.fill("buy", "10", "1.5")
    write(tmp_path / "old.db", f"UPDATE {LEDGER} SET new_balance = 69.99999999999999 WHERE asset = 'RLUSD'")
    imported = run(keeper, tmp_path / "old.db")
    assert "adjustment" not in [stored.type for stored in log_of(keeper)]
    assert differences(imported)["total RLUSD"] == D("0.00000000000001")


def test_an_opening_is_the_shortest_decimal_that_its_floats_allow(keeper: Bookkeeper, tmp_path: Path) -> None:
    with engine(tmp_path, openings={"XRP": "0.7"}) as old:
        old.capital("deposit", "XRP", "39.27", price="1.3314")
        old.fill("sell", "11.29518", "1.5")
    run(keeper, tmp_path / "old.db")
    assert keeper.view(BOOK).state.inventory["XRP"].adjustments == D("0.7")


def test_fills_before_the_ledger_was_kept_are_in_its_opening(keeper: Bookkeeper, tmp_path: Path) -> None:
    with engine(tmp_path) as old:
        first_deposits(old)
        old.fill("buy", "10", "1.5", ledger=False)
        trade(old)
    imported = run(keeper, tmp_path / "old.db")
    assert imported.reconciliation.holds
    assert keeper.view(BOOK).state.inventory["RLUSD"].adjustments == 0


def test_an_early_deposit_that_was_written_down_late_is_taken_out_of_the_opening(
    keeper: Bookkeeper, tmp_path: Path
) -> None:
    """It still counts once: the opening is corrected by a second adjustment."""
    with engine(tmp_path, openings={"RLUSD": "10"}) as old:
        first_deposits(old)
        trade(old)
        old.connection.commit()
        run(keeper, tmp_path / "old.db")
        old.connection.execute(
            f"INSERT INTO {CAPITAL} (id, event_type, asset, amount, created_at) VALUES (9, 'deposit', 'RLUSD', 4, ?)",
            (START.isoformat(),),
        )
        old.connection.commit()
        late = run(keeper, tmp_path / "old.db")
    assert late.reconciliation.holds
    assert keeper.view(BOOK).state.inventory["RLUSD"].adjustments == 6
    assert list(by_key(keeper))[-2:] == ["legacy:capital_events:9", "legacy:inventory_ledger:2#2"]
    assert run(keeper, tmp_path / "old.db").head == late.head


def test_a_ledger_that_begins_after_the_first_import_opens_with_what_came_before(
    keeper: Bookkeeper, tmp_path: Path
) -> None:
    with engine(tmp_path, openings={"RLUSD": "10"}) as old:
        first_deposits(old)
        old.connection.commit()
        run(keeper, tmp_path / "old.db")
        trade(old)
        old.connection.commit()
        assert run(keeper, tmp_path / "old.db").reconciliation.holds
    assert keeper.view(BOOK).state.inventory["RLUSD"].adjustments == 10


@pytest.mark.parametrize("opened", ["0", "10"])
def test_an_old_ledger_that_lost_its_beginning_gets_no_second_opening(
    keeper: Bookkeeper, tmp_path: Path, opened: str
) -> None:
    """An engine that keeps the newest rows only; its fills are still there."""
    with engine(tmp_path, openings={"RLUSD": opened}) as old:
        first_deposits(old)
        trade(old)
        old.connection.commit()
        first = run(keeper, tmp_path / "old.db")
        old.connection.execute(f"DELETE FROM {LEDGER} WHERE id <= 2")
        old.connection.commit()
        second = run(keeper, tmp_path / "old.db")
    assert second.head == first.head
    assert second.reconciliation.holds


def test_rows_that_are_gone_are_told_and_the_openings_stay(keeper: Bookkeeper, tmp_path: Path) -> None:
    with engine(tmp_path) as old:
        first_deposits(old)
        trade(old)
        old.connection.commit()
        first = run(keeper, tmp_path / "old.db")
        old.connection.execute(f"DELETE FROM {LEDGER} WHERE id <= 2")
        old.connection.execute(f"DELETE FROM {FILLS} WHERE id = 1")
        old.connection.commit()
        second = run(keeper, tmp_path / "old.db")
    assert second.head == first.head
    assert any(
        "no longer has 1 of the rows that were imported, such as legacy:fills:1" in note for note in second.notes
    )


# ---- the starting value


def test_the_first_import_ends_with_the_old_starting_value_and_later_ones_leave_it(
    keeper: Bookkeeper, tmp_path: Path
) -> None:
    with engine(tmp_path) as old:
        first_deposits(old)
        old.keep_starting_value("120")
        old.connection.commit()
        run(keeper, tmp_path / "old.db")
        assert log_of(keeper)[-1].type == "baseline"
        assert keeper.view(BOOK).state.engine_state.starting_value == 120
        old.capital("deposit", "RLUSD", "50", basis="50")
        old.keep_starting_value()
        old.connection.commit()
        later = run(keeper, tmp_path / "old.db")
    assert keeper.view(BOOK).state.engine_state.starting_value == 170
    assert differences(later)["starting value"] == 0


def test_a_starting_value_that_was_moved_by_hand_is_told(keeper: Bookkeeper, tmp_path: Path) -> None:
    with engine(tmp_path) as old:
        first_deposits(old)
        old.keep_starting_value()
        old.connection.commit()
        run(keeper, tmp_path / "old.db")
        old.keep_starting_value("100")
        old.connection.commit()
        later = run(keeper, tmp_path / "old.db")
    assert causes(later, "starting value") == {Kind.STARTING_VALUE_MOVED: (D("37.284078"), 1, ())}
    assert not later.reconciliation.holds


@pytest.mark.parametrize(
    ("moved_to", "holds"), [("0.500000001", True), ("0.5000000011", False), ("0.4999999989", False)]
)
def test_a_difference_of_a_billionth_holds_and_one_above_it_does_not(
    keeper: Bookkeeper, tmp_path: Path, moved_to: str, holds: bool
) -> None:
    with engine(tmp_path) as old:
        old.keep_starting_value("0.5")
        old.connection.commit()
        run(keeper, tmp_path / "old.db")
        old.keep_starting_value(moved_to)
        old.connection.commit()
        assert run(keeper, tmp_path / "old.db").reconciliation.holds is holds


def test_without_a_starting_value_nothing_is_compared(keeper: Bookkeeper, tmp_path: Path) -> None:
    EXACT["no_engine_state"](tmp_path / "old.db")
    imported = run(keeper, tmp_path / "old.db")
    assert differences(imported)["starting value"] is None
    assert "baseline" not in [stored.type for stored in log_of(keeper)]


# ---- what differs, and why


def explained(
    keeper: Bookkeeper, tmp_path: Path, play: Callable[[OldEngine], None], shape: Shape | None = None
) -> ImportReport:
    with engine(tmp_path, shape) as old:
        first_deposits(old)
        trade(old)
        play(old)
        old.keep_starting_value()
    return import_legacy(keeper, BOOK, ImportRequest(str(tmp_path / "old.db"), {}, holds=Holds.TOTAL))


def test_a_deposit_that_no_balance_has_is_on_the_wrong_side_of_the_boundary(keeper: Bookkeeper, tmp_path: Path) -> None:
    def play(old: OldEngine) -> None:
        old.capital("deposit", "RLUSD", "50", basis="50", is_booked=False)
        trade(old)

    imported = explained(keeper, tmp_path, play)
    place = ("capital_events row 3 at inventory_ledger row 8",)
    assert causes(imported, "total RLUSD") == {Kind.WRONG_SIDE: (D(50), 1, place)}
    assert not imported.reconciliation.holds
    assert differences(imported)["net basis"] == 0


def test_a_deposit_that_is_in_a_balance_before_its_time_is_on_the_wrong_side(
    keeper: Bookkeeper, tmp_path: Path
) -> None:
    """Written down an hour late: the last balance has it, and it is later than the last row."""

    def play(old: OldEngine) -> None:
        old.capital("deposit", "RLUSD", "50", basis="50", minutes_off=60)
        trade(old)

    imported = explained(keeper, tmp_path, play)
    place = ("capital_events row 3 at inventory_ledger row 8",)
    assert causes(imported, "total RLUSD") == {Kind.WRONG_SIDE: (D(-50), 1, place)}


def test_a_fill_without_a_ledger_row(keeper: Bookkeeper, tmp_path: Path) -> None:
    def play(old: OldEngine) -> None:
        old.fill("buy", "10", "1.5", ledger=False)

    imported = explained(keeper, tmp_path, play)
    assert causes(imported, "total XRP") == {Kind.FILL_WITHOUT_ROW: (D(10), 1, ("fills row 4",))}
    assert causes(imported, "total RLUSD") == {Kind.FILL_WITHOUT_ROW: (D(-15), 1, ("fills row 4",))}


def test_a_ledger_row_without_a_fill_and_how_it_is_put_right(keeper: Bookkeeper, tmp_path: Path) -> None:
    imported = explained(keeper, tmp_path, lambda old: old.network_fee("XRP", "0.25"))
    place = ("inventory_ledger row 7",)
    assert causes(imported, "total XRP") == {Kind.ROW_WITHOUT_FILL: (D("0.25"), 1, place)}
    keeper.append(BOOK, event("adjustment", asset="XRP", amount="-0.25", reason="reconciliation"))
    again = run(keeper, tmp_path / "old.db")
    assert again.reconciliation.holds
    version = keeper.view(BOOK).head.version
    assert causes(again, "total XRP")[Kind.CORRECTED_HERE] == (D("-0.25"), 1, (f"version {version}",))


def test_a_balance_that_jumps(keeper: Bookkeeper, tmp_path: Path) -> None:
    def play(old: OldEngine) -> None:
        old.connection.execute(f"UPDATE {LEDGER} SET new_balance = new_balance + 7 WHERE id = 6")

    (cause,) = causes(explained(keeper, tmp_path, play), "total RLUSD").items()
    kind, (amount, count, places) = cause
    assert (kind, round(amount, 9), count, places) == (Kind.JUMP, D(-7), 1, ("inventory_ledger row 6",))


def test_a_ledger_row_that_is_not_what_its_fill_says(keeper: Bookkeeper, tmp_path: Path) -> None:
    """The ledger names the fill, so it is that fill's row."""

    def play(old: OldEngine) -> None:
        old.connection.execute(f"UPDATE {LEDGER} SET change = change + 2, new_balance = new_balance + 2 WHERE id = 5")

    imported = explained(keeper, tmp_path, play, Shape(fill_id_column=True))
    place = ("fills row 3, inventory_ledger row 5",)
    assert causes(imported, "total XRP") == {Kind.FILL_DIFFERS: (D(-2), 1, place)}


def test_a_change_in_the_wrong_direction_is_not_what_was_paid(keeper: Bookkeeper, tmp_path: Path) -> None:
    """A buy for which the ledger's column says that money came in, which its balance does not: the fill's price counts."""

    def play(old: OldEngine) -> None:
        old.connection.execute(f"UPDATE {LEDGER} SET change = 15.0 WHERE id = 6")

    imported = explained(keeper, tmp_path, play, Shape(fill_id_column=True))
    fill = by_key(keeper)["legacy:fills:3"]
    assert isinstance(fill, Fill)
    assert fill.quote_amount == D("14.999999284")
    assert differences(imported)["total RLUSD"] == 0


def test_a_first_row_of_which_nothing_tells(keeper: Bookkeeper, tmp_path: Path) -> None:
    with engine(tmp_path, Shape(change_column=False)) as old:
        first_deposits(old)
        old.ledger_row("FOO", D(0))
    write(tmp_path / "old.db", f"UPDATE {LEDGER} SET new_balance = 3")
    imported = run(keeper, tmp_path / "old.db")
    assert causes(imported, "total FOO") == {Kind.OPENING_UNKNOWN: (D(-3), 1, ("inventory_ledger row 1",))}


def test_without_a_ledger_row_the_total_of_what_was_traded_is_unknown(keeper: Bookkeeper, tmp_path: Path) -> None:
    with engine(tmp_path) as old:
        first_deposits(old)
        old.fill("buy", "10", "1.5", ledger=False)
    imported = run(keeper, tmp_path / "old.db")
    assert differences(imported)["total XRP"] is None
    assert imported.reconciliation.holds
    assert "no ledger row of XRP: its total in the old database is unknown" in imported.notes
    assert keeper.view(BOOK).state.inventory.balance("XRP") == D("49.27")


def test_what_was_recorded_here_stands_in_a_column_of_its_own(keeper: Bookkeeper, tmp_path: Path) -> None:
    EXACT["null_bases"](tmp_path / "old.db")
    run(keeper, tmp_path / "old.db")
    backfill_basis(keeper, BOOK, "137.284078")
    inject(keeper, BOOK, Movement("50"))
    again = run(keeper, tmp_path / "old.db")
    lines = {line.figure: (line.recorded_here, line.difference) for line in again.reconciliation.lines}
    assert again.reconciliation.holds
    assert lines["total RLUSD"][0] == 50
    assert lines["net basis"] == (D("187.284078"), D(0))
    assert lines["net deposits"] == (D(50), D(0))
    assert lines["starting value"] == (D(50), D(0))


def test_a_reversal_of_what_was_imported_counts_as_imported(keeper: Bookkeeper, tmp_path: Path) -> None:
    """So a fill that never was can be taken back, and the two sides agree."""

    def play(old: OldEngine) -> None:
        old.fill("buy", "10", "1.5", ledger=False)

    imported = explained(keeper, tmp_path, play)
    assert not imported.reconciliation.holds
    version = next(stored.version for stored in log_of(keeper) if stored.key == "legacy:fills:4")
    keeper.append(BOOK, event("reversal", reverses=version, reason="never was"))
    again = run(keeper, tmp_path / "old.db")
    assert again.reconciliation.holds
    assert {line.recorded_here for line in again.reconciliation.lines} == {D(0)}


def test_a_correction_of_what_was_imported_counts_as_imported(keeper: Bookkeeper, tmp_path: Path) -> None:
    EXACT["plain"](tmp_path / "old.db")
    run(keeper, tmp_path / "old.db")
    version = next(stored.version for stored in log_of(keeper) if stored.key == "legacy:capital_events:2")
    keeper.append(BOOK, event("reversal", reverses=version))
    keeper.append(BOOK, event("deposit", asset="RLUSD", amount="80", corrects=version))
    again = run(keeper, tmp_path / "old.db")
    assert differences(again)["total RLUSD"] == -5
    assert set(causes(again, "total RLUSD")) == {Kind.CORRECTED_HERE}
    assert set(causes(again, "net deposits")) == {Kind.CORRECTED_HERE}
    assert again.notes == ["fills without a known fee: 3"], "nothing is gone"


# ---- what changed on the other side


def test_a_row_that_was_changed_since_it_was_imported_is_a_conflict(keeper: Bookkeeper, tmp_path: Path) -> None:
    EXACT["plain"](tmp_path / "old.db")
    before = run(keeper, tmp_path / "old.db").head
    write(tmp_path / "old.db", f"UPDATE {CAPITAL} SET amount = 86 WHERE id = 2")
    for dry_run in (True, False):
        with pytest.raises(KeyConflict, match="exists_with_different_amount") as caught:
            run(keeper, tmp_path / "old.db", dry_run=dry_run)
        assert caught.value.where == "capital_events row 2"
    assert keeper.view(BOOK).head == before


def test_a_ledger_row_that_comes_after_its_fill_changes_nothing(keeper: Bookkeeper, tmp_path: Path) -> None:
    """The copy was taken between the two; what was computed then stays."""
    with engine(tmp_path) as old:
        first_deposits(old)
        trade(old)
        old.fill("buy", "11.266336187471834", "1.3314", ledger=False)
        old.connection.commit()
        run(keeper, tmp_path / "old.db")
        old.ledger_row("XRP", D("11.266336187471834"))
        old.ledger_row("RLUSD", D(-15))
        old.connection.commit()
        again = run(keeper, tmp_path / "old.db")
    assert not [existed for existed in again.existed if not existed]
    assert again.reconciliation.holds


def test_two_books_of_one_ledger_take_the_same_history(keeper: Bookkeeper, tmp_path: Path) -> None:
    EXACT["plain"](tmp_path / "old.db")
    run(keeper, tmp_path / "old.db")
    keeper.open_book("second", event("opened", mode="paper"))  # type: ignore[arg-type]
    assert import_legacy(keeper, "second", ImportRequest(str(tmp_path / "old.db"), {})).existed.count(True) == 0


def test_a_book_that_was_in_use_is_warned_about_its_starting_value(keeper: Bookkeeper, tmp_path: Path) -> None:
    inject(keeper, BOOK, Movement("50"))
    EXACT["plain"](tmp_path / "old.db")
    imported = run(keeper, tmp_path / "old.db")
    assert keeper.view(BOOK).state.engine_state.starting_value == D("137.284078")
    assert imported.reconciliation.holds
    assert any(note.startswith("the book was not new") for note in imported.notes)


# ---- what stops an import


# What is done to a table, the row that it is done to, the refusal, and the column where it is the cell that is refused.
SPOILT = [
    (CAPITAL, "amount = 9e999", 2, Refusal.AMOUNT_MALFORMED, "amount"),
    (CAPITAL, "amount = -85", 2, Refusal.AMOUNT_MUST_BE_POSITIVE, None),
    (CAPITAL, "price_rlusd = NULL", 1, Refusal.PRICE_REQUIRED, None),
    (CAPITAL, "source_note = 'a' || char(10)", 1, Refusal.TEXT_HAS_CONTROL_CHARACTER, None),
    (CAPITAL, "amount = 9e19, price_rlusd = 9e19", 1, Refusal.VALUE_OUT_OF_RANGE, None),
    (CAPITAL, "event_type = 'withdrawal', basis_delta_rlusd = 5", 2, Refusal.BASIS_DELTA_MUST_NOT_BE_POSITIVE, None),
    (FILLS, "quantity = 0", 3, Refusal.AMOUNT_MUST_BE_POSITIVE, None),
    (FILLS, "quantity = 1e30", 3, Refusal.AMOUNT_OUT_OF_RANGE, "quantity"),
    (FILLS, "session_id = CAST(x'ff' AS TEXT)", 3, Refusal.TEXT_HAS_LONE_SURROGATE, None),
    (LEDGER, "new_balance = -9e999", 4, Refusal.AMOUNT_MALFORMED, "new_balance"),
]


@pytest.mark.parametrize(("table", "change", "row_id", "code", "column"), SPOILT)
@pytest.mark.parametrize("dry_run", [True, False])
def test_what_cannot_be_an_event_stops_the_import_by_name_and_nothing_is_there(
    keeper: Bookkeeper,
    tmp_path: Path,
    table: str,
    change: str,
    row_id: int,
    code: Refusal,
    column: str | None,
    dry_run: bool,
) -> None:
    EXACT["plain"](tmp_path / "old.db")
    write(tmp_path / "old.db", f"UPDATE {table} SET {change} WHERE id = ?", row_id)
    with pytest.raises(Refused) as caught:
        run(keeper, tmp_path / "old.db", dry_run=dry_run)
    place = f"{table} row {row_id}" + (f", column {column}" if column else "")
    assert (caught.value.refusal, caught.value.where) == (code, place)
    assert len(log_of(keeper)) == 1


def test_a_fill_of_which_nothing_tells_the_price_stops_the_import(keeper: Bookkeeper, tmp_path: Path) -> None:
    with engine(tmp_path) as old:
        old.fill("buy", "10", "1.5", ledger=False)
    write(tmp_path / "old.db", f"UPDATE {FILLS} SET price = NULL")
    with pytest.raises(Refused, match="fills row 1: neither a price nor a ledger row says what was paid"):
        run(keeper, tmp_path / "old.db")


def test_a_book_in_another_numeraire_does_not_take_prices_in_rlusd(tmp_path: Path, keeper: Bookkeeper) -> None:
    EXACT["plain"](tmp_path / "old.db")
    keeper.open_book("usd", event("opened", mode="live", numeraire="USD"))  # type: ignore[arg-type]
    with pytest.raises(Refused, match="price_usd"):
        import_legacy(keeper, "usd", ImportRequest(str(tmp_path / "old.db"), {}))


def test_where_times_are_absent_the_engines_start_stands_for_them(keeper: Bookkeeper, tmp_path: Path) -> None:
    """Fills and ledger without times: the order of their ids is kept, and earlier capital is in the opening."""
    with engine(tmp_path) as old:
        first_deposits(old)
        trade(old)
        old.keep_starting_value()
    for table in (FILLS, LEDGER):
        write(tmp_path / "old.db", f"ALTER TABLE {table} DROP COLUMN created_at")
    with pytest.raises(Refused, match=r"fills\.time"):
        run(keeper, tmp_path / "old.db")
    imported = run(keeper, tmp_path / "old.db", start="2025-11-03T08:02:30Z")
    assert imported.reconciliation.holds
    holding = keeper.view(BOOK).state.inventory["RLUSD"]
    assert (holding.capital, holding.adjustments) == (D(85), D(0))
    assert {str(stored.at)[:19] for stored in log_of(keeper) if stored.type == "fill"} == {"2025-11-03 08:02:30"}
