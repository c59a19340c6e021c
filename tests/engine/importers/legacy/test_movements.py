"""A movement that was recorded here, with its transaction's hash, before the old database came over, counts once."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from engine.bookkeeper import Bookkeeper
from engine.capital import Movement, inject
from engine.importers.legacy.causes import Kind
from engine.importers.legacy.importing import ImportReport, ImportRequest, import_legacy
from engine.proof.check import check
from ledger.errors import MovementConflict
from ledger.events import Deposit, Reversal, Withdrawal
from tests.engine.importers.legacy.legacy_databases import OldEngine, first_deposits, trade
from tests.support import BOOK

D = Decimal
ROW = "capital_events row 3"


def old_database(folder: Path, *hashes: str, basis: str | None = "70", price: str | None = None) -> Path:
    """An old database in which a deposit of 70 of each hash follows after a few fills."""
    path = folder / "old.db"
    with OldEngine(path) as engine:
        first_deposits(engine)
        trade(engine)
        for tx_hash in hashes:
            asset = "XRP" if price else "RLUSD"
            engine.capital("deposit", asset, "70", basis=basis, price=price, tx_hash=tx_hash)
        trade(engine)
        engine.keep_starting_value()
    return path


def run(keeper: Bookkeeper, path: Path, *, dry_run: bool = False) -> ImportReport:
    return import_legacy(keeper, BOOK, ImportRequest(str(path), {}), dry_run=dry_run)


def deposit(amount: str = "70", tx_hash: str = "FEED", **fields: str) -> Deposit:
    return Deposit(asset="RLUSD", amount=amount, tx_hash=tx_hash, **fields)  # type: ignore[arg-type]


def named(found: ImportReport) -> list[tuple[str, int]]:
    return [(each.planned.source, each.stored.version) for each in found.recorded]


def balance(keeper: Bookkeeper) -> Decimal:
    return keeper.view(BOOK).state.inventory.balance("RLUSD")


@pytest.mark.parametrize("written", ["FEED", "feed", " fe ed "])
def test_an_injection_before_the_import_counts_once(written: str, keeper: Bookkeeper, tmp_path: Path) -> None:
    path = old_database(tmp_path, written)
    inject(keeper, BOOK, Movement("70", tx_hash="FEED"))
    rehearsed, found = run(keeper, path, dry_run=True), run(keeper, path)
    assert named(rehearsed) == named(found) == [(ROW, 2)]
    assert list(rehearsed.existed) == list(found.existed)
    assert found.existed.count(True) == 1
    assert found.reconciliation.holds
    assert rehearsed.reconciliation == found.reconciliation
    total = next(line for line in found.reconciliation.lines if line.asset == "RLUSD")
    assert (total.recorded_here, balance(keeper)) == (D(0), total.netbasis)
    assert check(keeper.database, BOOK).ok
    again = run(keeper, path)
    assert (set(again.existed), named(again), again.head) == ({True}, [(ROW, 2)], found.head)
    assert again.reconciliation == found.reconciliation


def test_a_movement_answers_for_one_row_only(keeper: Bookkeeper, tmp_path: Path) -> None:
    """Two old rows of one transaction are two movements, as they are without an injection."""
    path = old_database(tmp_path, "FEED", "FEED")
    inject(keeper, BOOK, Movement("70", tx_hash="FEED"))
    found = run(keeper, path)
    assert named(found) == [(ROW, 2)]
    assert found.reconciliation.holds
    assert set(run(keeper, path).existed) == {True}


def test_rows_of_one_transaction_do_not_hinder_each_other(keeper: Bookkeeper, tmp_path: Path) -> None:
    path = old_database(tmp_path, "FEED", "FEED")
    found = run(keeper, path)
    assert (named(found), found.reconciliation.holds) == ([], True)
    assert named(run(keeper, path)) == []


def reverse(keeper: Bookkeeper) -> None:
    keeper.append(BOOK, deposit())
    keeper.append(BOOK, Reversal(reverses=2))


NOT_THE_ROW: dict[str, Callable[[Bookkeeper], object]] = {
    "reversed": reverse,
    "another transaction": lambda keeper: keeper.append(BOOK, deposit(tx_hash="BEAD")),
    "no hash": lambda keeper: inject(keeper, BOOK, Movement("70")),
    "another asset": lambda keeper: keeper.append(
        BOOK,
        Deposit(asset="XRP", amount="70", price="1", tx_hash="FEED"),  # type: ignore[arg-type]
    ),
    "another type": lambda keeper: keeper.append(
        BOOK,
        Withdrawal(asset="RLUSD", amount="70", basis_delta="0", tx_hash="FEED"),  # type: ignore[arg-type]
    ),
}


@pytest.mark.parametrize("how", NOT_THE_ROW)
def test_what_is_another_movement_does_not_answer(how: str, keeper: Bookkeeper, tmp_path: Path) -> None:
    NOT_THE_ROW[how](keeper)
    found = run(keeper, old_database(tmp_path, "FEED"))
    assert (named(found), found.existed.count(True), found.reconciliation.holds) == ([], 0, True)


@pytest.mark.parametrize("dry_run", [True, False])
def test_another_amount_is_a_conflict_that_names_the_row(dry_run: bool, keeper: Bookkeeper, tmp_path: Path) -> None:
    keeper.append(BOOK, deposit("75"))
    with pytest.raises(MovementConflict) as raised:
        run(keeper, old_database(tmp_path, "FEED"), dry_run=dry_run)
    assert (raised.value.where, raised.value.versions) == (ROW, (2,))
    assert "expected 75, actual 70" in str(raised.value).replace("'", "")
    assert "reverse it and import again" in str(raised.value)
    assert keeper.view(BOOK).head.version == 2


def test_an_injection_after_the_import_is_the_imported_one(keeper: Bookkeeper, tmp_path: Path) -> None:
    path = old_database(tmp_path, "FEED")
    found = run(keeper, path)
    inject(keeper, BOOK, Movement("70", tx_hash="feed"))
    assert keeper.view(BOOK).head == found.head


def test_a_second_movement_with_a_key_of_its_own_is_no_row(keeper: Bookkeeper, tmp_path: Path) -> None:
    """It came after the import, which has the row already."""
    path = old_database(tmp_path, "FEED")
    run(keeper, path)
    keeper.append(BOOK, deposit("30", key="mine:1"))
    again = run(keeper, path)
    assert (named(again), again.reconciliation.holds, set(again.existed)) == ([], True, {True})


def test_a_basis_that_the_old_database_does_not_know_is_no_difference(keeper: Bookkeeper, tmp_path: Path) -> None:
    path = old_database(tmp_path, "FEED", basis=None)
    inject(keeper, BOOK, Movement("70", tx_hash="FEED"))
    found = run(keeper, path)
    assert found.reconciliation.holds
    line = next(line for line in found.reconciliation.lines if line.figure == "net basis")
    assert (line.recorded_here, line.difference) == (D(70), D(0))


def test_another_basis_and_price_than_the_old_rows_are_a_difference_with_its_cause(
    keeper: Bookkeeper, tmp_path: Path
) -> None:
    path = old_database(tmp_path, "FEED", price="1.3", basis="90")
    given = Deposit(asset="XRP", amount="70", price="1.5", tx_hash="FEED")  # type: ignore[arg-type]
    keeper.append(BOOK, given)
    found = run(keeper, path)
    lines = {line.figure: line for line in found.reconciliation.lines}
    assert (lines["total XRP"].holds, lines["starting value"].holds) == (True, True)
    assert (lines["net basis"].difference, lines["net deposits"].difference) == (D(15), D(14))
    for figure in ("net basis", "net deposits"):
        (cause,) = lines[figure].causes
        assert (cause.kind, cause.examples) == (Kind.RECORDED_OTHERWISE, ("version 2",))
    assert run(keeper, path).reconciliation == found.reconciliation
