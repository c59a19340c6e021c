"""What the balances of an old ledger hold of the capital after its first row: read from the rows, or asked for."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from engine.bookkeeper import Bookkeeper
from engine.importers.legacy.chain import Holds
from engine.importers.legacy.importing import ImportReport, ImportRequest, import_legacy
from ledger.errors import Refusal, Refused
from tests.engine.importers.legacy.legacy_databases import OldEngine, Shape, first_deposits, trade
from tests.support import BOOK

D = Decimal
FILLS_ALONE = Shape(fills_only=True)
Play = Callable[[OldEngine], None]


def of_the_issue(engine: OldEngine) -> None:
    """Deposit 85, ledger 72, deposit 50, ledger 59."""
    engine.capital("deposit", "RLUSD", "85", basis="85")
    engine.fill("buy", "10", "1.3")
    engine.capital("deposit", "RLUSD", "50", basis="50")
    engine.fill("buy", "10", "1.3")


def in_and_out(engine: OldEngine) -> None:
    """Capital of one size comes and goes, so that what one row lacks is what another one has too much."""
    first_deposits(engine)
    trade(engine)
    engine.capital("deposit", "RLUSD", "20", basis="20")
    trade(engine)
    engine.capital("withdrawal", "RLUSD", "20", basis="-20")
    trade(engine)


def two_at_once(engine: OldEngine) -> None:
    """And a basis commit between them, which moves nothing."""
    first_deposits(engine)
    trade(engine)
    engine.capital("deposit", "RLUSD", "20", basis="20")
    engine.capital("basis_commit", "RLUSD", "3", basis="3")
    engine.capital("deposit", "RLUSD", "7", basis="7")
    trade(engine)


def of_another_asset(engine: OldEngine) -> None:
    first_deposits(engine)
    trade(engine)
    engine.capital("deposit", "XRP", "20", price="1.3", basis="26")
    trade(engine)


def after_the_last_row(engine: OldEngine) -> None:
    """It makes no difference what the balances hold."""
    first_deposits(engine)
    trade(engine)
    engine.capital("deposit", "RLUSD", "20", basis="20")


def dust_among_others(engine: OldEngine) -> None:
    """A deposit that is lost in the noise of floats goes with the others."""
    first_deposits(engine)
    trade(engine)
    engine.capital("deposit", "RLUSD", "0.0000000000000001", basis="0")
    trade(engine)
    engine.capital("deposit", "RLUSD", "50", basis="50")
    trade(engine)


PLAYS: list[Play] = [of_the_issue, in_and_out, two_at_once, of_another_asset, after_the_last_row, dust_among_others]


def imported(keeper: Bookkeeper, folder: Path, play: Play, shape: Shape, holds: Holds | None = None) -> ImportReport:
    """An old database, invented and imported."""
    path = folder / "old.db"
    path.unlink(missing_ok=True)
    with OldEngine(path, shape) as engine:
        play(engine)
        engine.keep_starting_value()
    return import_legacy(keeper, BOOK, ImportRequest(str(path), {}, holds=holds))


def old_totals(found: ImportReport) -> dict[str | None, Decimal | None]:
    return {line.asset: line.old for line in found.reconciliation.lines if line.asset is not None}


@pytest.mark.parametrize("change_column", [True, False], ids=["with changes", "without changes"])
@pytest.mark.parametrize("fills_only", [True, False], ids=["fills only", "total"])
@pytest.mark.parametrize("play", PLAYS, ids=lambda play: play.__name__)
def test_it_is_read_from_the_rows(
    play: Play, fills_only: bool, change_column: bool, keeper: Bookkeeper, tmp_path: Path
) -> None:
    shape = Shape(fills_only=fills_only, change_column=change_column)
    found = imported(keeper, tmp_path, play, shape)
    assert found.reconciliation.holds
    expected = Holds.FILLS_ONLY if fills_only and play is not after_the_last_row else Holds.TOTAL
    assert found.holds is expected
    again = import_legacy(keeper, BOOK, ImportRequest(str(tmp_path / "old.db"), {}))
    assert (set(again.existed), again.reconciliation) == ({True}, found.reconciliation)


def test_the_example_of_the_issue_in_numbers(keeper: Bookkeeper, tmp_path: Path) -> None:
    found = imported(keeper, tmp_path, of_the_issue, FILLS_ALONE)
    assert old_totals(found)["RLUSD"] == D(109)
    assert keeper.view(BOOK).state.inventory.balance("RLUSD") == D(109)
    wrong = import_legacy(keeper, BOOK, ImportRequest(str(tmp_path / "old.db"), {}, holds=Holds.TOTAL))
    assert (old_totals(wrong)["RLUSD"], wrong.reconciliation.holds) == (D(59), False), "what is said counts"


def a_wrong_time(engine: OldEngine) -> None:
    """A deposit whose time was written too early: the row after it lacks the amount, and a later one has it."""
    first_deposits(engine)
    trade(engine)
    engine.capital("deposit", "RLUSD", "50", basis="50", minutes_off=-3)
    trade(engine)


def test_a_deposit_with_a_wrong_time_is_held_all_the_same(keeper: Bookkeeper, tmp_path: Path) -> None:
    found = imported(keeper, tmp_path, a_wrong_time, Shape())
    assert (found.holds, found.reconciliation.holds) == (Holds.TOTAL, True)


def mixed(engine: OldEngine) -> None:
    first_deposits(engine)
    trade(engine)
    engine.capital("deposit", "RLUSD", "50", basis="50")
    trade(engine)
    engine.capital("deposit", "RLUSD", "30", basis="30", is_booked=False)
    trade(engine)


def mixed_at_one_row(engine: OldEngine) -> None:
    first_deposits(engine)
    trade(engine)
    engine.capital("deposit", "RLUSD", "50", basis="50")
    engine.capital("deposit", "RLUSD", "30", basis="30", is_booked=False)
    trade(engine)


def mixed_by_asset(engine: OldEngine) -> None:
    first_deposits(engine)
    trade(engine)
    engine.capital("deposit", "RLUSD", "50", basis="50")
    engine.capital("deposit", "XRP", "30", price="1.3", basis="39", is_booked=False)
    trade(engine)


def an_edited_balance(engine: OldEngine) -> None:
    """The row moved by something else as well, so that it tells nothing."""
    first_deposits(engine)
    trade(engine)
    engine.capital("deposit", "RLUSD", "50", basis="50")
    engine._floats["RLUSD"] += 11
    trade(engine)


def only_dust(engine: OldEngine) -> None:
    first_deposits(engine)
    trade(engine)
    engine.capital("deposit", "RLUSD", "0.0000000000000001", basis="0")
    trade(engine)


def a_row_without_a_fill(engine: OldEngine) -> None:
    """Without a column of changes nothing tells what the row did itself."""
    first_deposits(engine)
    trade(engine)
    engine.capital("deposit", "RLUSD", "50", basis="50")
    engine.network_fee("RLUSD", "2")


UNCLEAR = {
    mixed: (
        "capital_events row 3 (inventory_ledger row 8) included",
        "capital_events row 4 (inventory_ledger row 14) not",
    ),
    mixed_at_one_row: ("capital_events row 3", "row 4 (inventory_ledger row 8) not included"),
    mixed_by_asset: ("row 3 (inventory_ledger row 8) included", "row 4 (inventory_ledger row 7) not included"),
    an_edited_balance: ("cannot be told", "capital_events row 3 (inventory_ledger row 8)"),
    only_dust: ("cannot be told", "capital_events row 3 (inventory_ledger row 8)"),
    a_row_without_a_fill: ("cannot be told", "capital_events row 3 (inventory_ledger row 7)"),
}


@pytest.mark.parametrize(("play", "words"), UNCLEAR.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_where_the_rows_do_not_tell_or_are_mixed_it_names_them_and_asks(
    play: Play, words: tuple[str, ...], keeper: Bookkeeper, tmp_path: Path
) -> None:
    shape = Shape(change_column=play is not a_row_without_a_fill)
    with pytest.raises(Refused) as refused:
        imported(keeper, tmp_path, play, shape)
    assert refused.value.refusal is Refusal.LEDGER_UNCLEAR
    for word in (*words, "--ledger total", "--ledger fills-only"):
        assert word in str(refused.value)
    assert keeper.view(BOOK).head.version == 1
    for holds in Holds:
        assert imported(keeper, tmp_path, play, shape, holds).holds is holds
