"""`verify_injection` on a copy, the check of a file when a session starts, and evidence that is checked for ever."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import projections.engine_state
from engine.bookkeeper import Bookkeeper
from engine.capital import Movement, inject, withdraw
from engine.proof.check import check
from engine.proof.request import ExpectedHead
from engine.rehearsal.verification import Delta, Verification, verify_injection
from ledger.amounts import amount_text
from ledger.effects import Effects
from ledger.errors import Refused, StorageError
from ledger.events import Opened
from projections.engine_state import EngineState
from tests.engine.capital.capital_support import leave_a_wal, open_desk, overwrite_page, price_of, rewrite
from tests.engines import contents
from tests.ledger.database.store_support import content, findings_of, fingerprints, tamper
from tests.postgres_support import fresh_database, url_of
from tests.support import BOOK, SequentialIds, TickingClock, event, open_keeper


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """The first user's book, closed, with a withdrawal of 20 at version 6 and events after it."""
    with open_keeper(tmp_path) as keeper:
        open_desk(keeper)
        withdraw(keeper, BOOK, Movement("20"))
        inject(keeper, BOOK, Movement("50"))
        withdraw(keeper, BOOK, Movement("3", asset="XRP"))
        keeper.append(BOOK, event("reversal", reverses=7))
    return tmp_path / "ledger.db"


def opened(ledger: Path, mode: Any = "write", **options: Any) -> Bookkeeper:
    return Bookkeeper.open(str(ledger), mode, clock=TickingClock(), new_id=SequentialIds(1000), **options)


# ------------------------------------------------------------------------------------------- verify_injection


def deltas(verification: Verification) -> list[tuple[str, str]]:
    """Each figure and how it moved."""
    return [
        (delta.name, "unknown" if delta.actual is None else amount_text(delta.actual)) for delta in verification.deltas
    ]


def test_all_four_figures_move_as_they_should(ledger: Path) -> None:
    with opened(ledger, "read") as keeper:
        verification = verify_injection(keeper, BOOK, "50", {})
    assert verification.holds
    assert deltas(verification) == [
        ("NET DEPOSITS", "50"),
        ("TOTAL VALUE", "50"),
        ("TOTAL PNL", "0"),
        ("TRADING VALUE", "0"),
    ]
    assert [delta.expected for delta in verification.deltas] == [50, 50, 0, 0]


def test_the_original_keeps_every_byte_and_gets_nothing(ledger: Path) -> None:
    """Also what a killed writer left beside it; that is in the copy nevertheless."""
    leave_a_wal(ledger)
    before = fingerprints(ledger.parent)
    with opened(ledger, "read") as keeper:
        assert verify_injection(keeper, BOOK, "50", {}).holds
    assert fingerprints(ledger.parent) == before
    with opened(ledger, "read") as keeper:
        assert keeper.view(BOOK).head.version == 10  # 9, and the one that is only in the WAL


def test_on_a_server_the_book_is_copied_into_a_file_aside() -> None:
    location = url_of(fresh_database())
    with Bookkeeper.open(location, clock=TickingClock(), new_id=SequentialIds(1000)) as keeper:
        keeper.open_book(BOOK, Opened(mode="live"))
        open_desk(keeper)
        before = content(keeper.database)
        verification = verify_injection(keeper, BOOK, "50", {})
        assert verification.holds
        assert [name for name, _ in deltas(verification)] == [
            "NET DEPOSITS",
            "TOTAL VALUE",
            "TOTAL PNL",
            "TRADING VALUE",
        ]
        assert content(keeper.database) == before


def test_the_copy_is_removed(ledger: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    aside = tmp_path / "aside"
    aside.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(aside))
    with opened(ledger, "read") as keeper:
        verify_injection(keeper, BOOK, "50", {})
        with pytest.raises(Refused):
            verify_injection(keeper, BOOK, "0", {})
    assert list(aside.iterdir()) == []


def failing_starting_value(state: EngineState, effects: Effects) -> EngineState:
    """The program that the first user had: a deposit does not move the starting value, so it looks like profit."""
    return state if effects.effect_of == "deposit" else EngineState(state.starting_value + effects.starting_value_delta)


def test_a_deposit_that_looks_like_profit_is_found_out(ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(ledger, "read") as keeper, monkeypatch.context() as patched:
        patched.setattr(projections.engine_state, "apply", failing_starting_value)
        verification = verify_injection(keeper, BOOK, "50", {})
    assert not verification.holds
    assert {delta.name: delta.holds for delta in verification.deltas} == {
        "NET DEPOSITS": True,
        "TOTAL VALUE": True,
        "TOTAL PNL": False,
        "TRADING VALUE": False,
    }


def test_an_unknown_figure_does_not_hold() -> None:
    assert not Delta("TOTAL PNL", Decimal(0), None).holds
    assert Delta("TOTAL PNL", Decimal(0), Decimal("0.00")).holds


def test_a_mark_may_be_old_but_must_be_there(tmp_path: Path) -> None:
    with open_keeper(tmp_path) as keeper:
        open_desk(keeper, mark=None)
        with pytest.raises(Refused, match="mark_missing"):
            verify_injection(keeper, BOOK, "50", {})
        assert verify_injection(keeper, BOOK, "50", {"XRP": price_of("1.3")}).holds
        keeper.append(BOOK, event("mark", asset="XRP", price="1.4", at="2001-01-01T00:00:00Z"))
        assert verify_injection(keeper, BOOK, "50", {}).holds


@pytest.mark.parametrize("amount", ["0", "-10", "abc", "1" * 21])
def test_what_is_no_amount_is_refused(ledger: Path, amount: str) -> None:
    with opened(ledger, "read") as keeper, pytest.raises(Refused) as refused:
        verify_injection(keeper, BOOK, amount, {})
    assert refused.value.field == "amount"


# ----------------------------------------------------------------------------------------- the start-up check


DAMAGED = ["inventory", "basis", "fees", "idx_events_capital", "uq_events_reverses"]


@pytest.mark.parametrize("mode", ["write", "create"])
@pytest.mark.parametrize("table", DAMAGED)
def test_overwritten_pages_stop_a_session_before_anything_is_written(ledger: Path, table: str, mode: str) -> None:
    """Of an index too, which nothing would notice until it gives a wrong answer."""
    overwrite_page(ledger, table)
    before = ledger.read_bytes()
    with pytest.raises(StorageError) as damaged:
        opened(ledger, mode, sound_file=True)
    assert damaged.value.code == "database_damaged"
    assert "restore a backup" in str(damaged.value)
    assert ledger.read_bytes() == before


def test_what_a_killed_writer_left_is_not_moved_into_a_damaged_file(ledger: Path) -> None:
    """Closing a file that was opened for writing would move the WAL into it, so the check opens it read-only."""
    leave_a_wal(ledger)
    overwrite_page(ledger, "fees")
    before = fingerprints(ledger.parent)
    with pytest.raises(StorageError, match="database_damaged"):
        opened(ledger, sound_file=True)
    assert fingerprints(ledger.parent) == before


def test_without_the_check_a_damaged_index_is_not_noticed(ledger: Path) -> None:
    """So the check of the session is not for nothing: this append goes through."""
    overwrite_page(ledger, "idx_fills_session_id")
    with opened(ledger) as keeper:
        keeper.append(BOOK, event("mark", asset="XRP", price="1.4"))
    with pytest.raises(StorageError, match="database_damaged"):
        opened(ledger, sound_file=True)


@pytest.mark.parametrize("mode", ["write", "read"])
def test_a_sound_file_is_opened_and_left_as_it_is(ledger: Path, mode: str) -> None:
    before = contents(str(ledger))
    with opened(ledger, mode, sound_file=True) as keeper:
        assert keeper.view(BOOK).head.version == 9
    assert contents(str(ledger)) == before


def test_a_file_that_is_not_there_is_not_made_by_the_check(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="database_missing"):
        opened(tmp_path / "none.db", sound_file=True)
    assert list(tmp_path.iterdir()) == []


CHANGES = {
    "body": "UPDATE events SET body = CAST(replace(body, '\"20\"', '\"21\"') AS BLOB) WHERE version = 6",
    "column": "UPDATE events SET basis_delta = '-1' WHERE version = 6",
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_changed_body_or_column_is_sound_to_sqlite_and_found_by_check(ledger: Path, what: str) -> None:
    tamper(ledger, CHANGES[what])
    opened(ledger, sound_file=True).close()
    found = {(finding.invariant, finding.version) for finding in findings_of(ledger)}
    assert ("chain", 6) in found


# ------------------------------------------------------------------------------------------- evidence for ever


def test_the_rewritten_log_of_an_honest_forger_is_sound(ledger: Path) -> None:
    """The forger of the tests below can count: what he does not have to be found out for, he is not."""
    rewrite(ledger, 6, lambda body: body.update(source_note="another"))
    assert findings_of(ledger) == []


def evidence_of(body: dict[str, Any]) -> dict[str, Any]:
    found = body["evidence"]
    assert isinstance(found, dict)
    return found


def shift_to_profit(body: dict[str, Any]) -> None:
    """More of it was profit, says the forger: profit 12.686068, principal 7.313932, still 20 together."""
    evidence_of(body).update(profit="12.686068", principal="7.313932")
    body["basis_delta"] = "-7.313932"


def shift_to_principal(body: dict[str, Any]) -> None:
    evidence_of(body).update(profit="0", principal="20")
    body["basis_delta"] = "-20"


def other_equity(body: dict[str, Any]) -> None:
    """The parts follow from it; but the balances at the marks are not it."""
    evidence_of(body).update(equity_before="149.970146", profit="12.686068", principal="7.313932")
    body["basis_delta"] = "-7.313932"


def other_basis(body: dict[str, Any]) -> None:
    """The parts follow from it; but the log says that the basis was another."""
    evidence_of(body).update(basis_before="127.284078", profit="12.686068", principal="7.313932")
    body["basis_delta"] = "-7.313932"


def other_mark(body: dict[str, Any]) -> None:
    evidence_of(body)["marks"][0]["price"] = "1.4"


def no_marks(body: dict[str, Any]) -> None:
    evidence_of(body)["marks"] = []


def one_mark_more(body: dict[str, Any]) -> None:
    evidence_of(body)["marks"].insert(0, {"asset": "BTC", "price": "1", "at": body["at"]})


def other_policy(body: dict[str, Any]) -> None:
    evidence_of(body)["policy"] = "principal_first/1"


def unknown_policy(body: dict[str, Any]) -> None:
    evidence_of(body)["policy"] = "profit_last/1"


def parts_that_are_not_the_whole(body: dict[str, Any]) -> None:
    evidence_of(body)["principal"] = "17"


def basis_delta_that_is_not_the_principal(body: dict[str, Any]) -> None:
    body["basis_delta"] = "-17"


FORGERIES: dict[Callable[[dict[str, Any]], None], tuple[dict[str, str], str]] = {
    shift_to_profit: ({"basis_delta": "-7.313932"}, "profit"),
    shift_to_principal: ({"basis_delta": "-20"}, "profit"),
    other_equity: ({"basis_delta": "-7.313932"}, "equity_before"),
    other_basis: ({"basis_delta": "-7.313932"}, "basis_before"),
    other_mark: ({}, "equity_before"),
    no_marks: ({}, "marks"),
    one_mark_more: ({}, "marks"),
    other_policy: ({}, "policy"),
    unknown_policy: ({}, "policy"),
    parts_that_are_not_the_whole: ({}, "principal"),
    basis_delta_that_is_not_the_principal: ({"basis_delta": "-17"}, "basis_delta"),
}


@pytest.mark.parametrize("forge", FORGERIES, ids=lambda forge: forge.__name__)
def test_forged_evidence_is_found_in_a_log_that_is_rewritten_throughout(
    ledger: Path, forge: Callable[[dict[str, Any]], None]
) -> None:
    """Every hash, column and projection follows; only the classification does not follow from the log."""
    columns, named = FORGERIES[forge]
    rewrite(ledger, 6, forge, **columns)
    found = findings_of(ledger)
    assert {finding.invariant for finding in found} == {"withdrawal_neutral"}
    assert 6 in {finding.version for finding in found}
    assert any(named in finding.detail for finding in found if finding.version == 6)


def test_a_forged_basis_is_found_at_every_later_withdrawal_too(ledger: Path) -> None:
    """The second withdrawal's evidence has the basis that the first one really left."""
    rewrite(ledger, 6, shift_to_profit, basis_delta="-7.313932")
    assert {finding.version for finding in findings_of(ledger)} == {6, 8}


def test_evidence_that_was_cut_out_is_not_found_but_a_kept_head_tells(ledger: Path) -> None:
    """A withdrawal may lack evidence, so a forger who rewrites all may drop it: what remains is the head kept elsewhere."""
    with opened(ledger, "read") as keeper:
        kept = keeper.view(BOOK).head
    rewrite(ledger, 6, cut_evidence)
    assert findings_of(ledger) == []
    with opened(ledger, "read") as keeper:
        (finding,) = check(keeper.database, BOOK, expected_head=ExpectedHead(kept.hash)).findings
    assert finding.invariant == "chain"


def cut_evidence(body: dict[str, Any]) -> None:
    del body["evidence"]


def test_a_price_of_the_withdrawal_that_is_not_its_mark_is_found(ledger: Path) -> None:
    """In kind the value is at the mark: 3 XRP at 1.3998. A better price would take more out of the books."""

    def other_price(body: dict[str, Any]) -> None:
        body.update(price="1.5", basis_delta="-4.5")
        evidence_of(body).update(principal="4.5")  # as the policy divides the value at that price

    moved = {"price": "1.5", "net_deposits_delta": "-4.5", "starting_value_delta": "-4.5", "basis_delta": "-4.5"}
    rewrite(ledger, 8, other_price, **moved)
    found = findings_of(ledger)
    assert {(finding.invariant, finding.version) for finding in found} == {("withdrawal_neutral", 8)}


def test_evidence_still_holds_after_the_book_has_moved_on_for_long(tmp_path: Path) -> None:
    with open_keeper(tmp_path) as keeper:
        open_desk(keeper)
        withdraw(keeper, BOOK, Movement("20"))
        for number in range(200):
            keeper.append(BOOK, event("mark", asset="XRP", price=str(1 + number), key=f"m:{number + 2}"))
        withdraw(keeper, BOOK, Movement("20"))
        keeper.append(BOOK, event("reversal", reverses=2))
        keeper.append(BOOK, event("baseline", starting_value="0"))
        before = content(keeper.database)
    assert findings_of(tmp_path / "ledger.db") == []
    with opened(tmp_path / "ledger.db", "read") as keeper:
        assert content(keeper.database) == before
