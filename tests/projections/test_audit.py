"""The audit of the basis, line by line, and the register of the postings: golden rows of one small log."""

from __future__ import annotations

from dataclasses import fields
from decimal import Decimal
from typing import Any

import pytest

from engine.bookkeeper import Bookkeeper
from ledger.amounts import amount_text
from projections.audit import AuditRow, audit_rows
from projections.register import register_rows
from tests.support import BOOK, event, log_of

MOVES_BASIS = ("deposit", "withdrawal", "basis_commit")


@pytest.fixture
def history(keeper: Bookkeeper) -> Bookkeeper:
    """Versions 2 to 10; version 6 is a withdrawal with evidence, of 0.7 profit and 19.3 principal."""
    keeper.append_all(
        BOOK,
        [
            event("deposit", asset="XRP", amount="10", price="2", basis_unknown=True, tx_hash="tx", source_note="old"),
            event("deposit", asset="RLUSD", amount="85.00"),
            event("basis_commit", basis_delta="104.3", actor="owner"),
            event("mark", asset="XRP", price="20.5", at="2026-01-01T00:00:00Z"),
            event(
                "withdrawal",
                asset="RLUSD",
                amount="20",
                basis_delta="0",
                evidence={
                    "equity_before": "290",
                    "basis_before": "189.3",
                    "profit": "20",
                    "principal": "0",
                    "marks": [{"asset": "XRP", "price": "20.5", "at": "2026-01-01T00:00:00Z"}],
                    "policy": "profit_first/1",
                },
            ),
            event("withdrawal", asset="XRP", amount="1", price="3", basis_delta="-2.5"),
            event("fill", side="buy", base_asset="XRP", base_amount="1", quote_asset="RLUSD", quote_amount="2"),
            event("reversal", reverses=6),
            event("reversal", reverses=2),
        ],
    )
    return keeper


def audited(keeper: Bookkeeper) -> list[AuditRow]:
    """The audit of the whole log."""
    return list(audit_rows(stored for stored in log_of(keeper) if stored.effects.effect_of in MOVES_BASIS))


def shown(row: Any, names: str) -> list[str | int | None]:
    """Some fields of a row, amounts as texts."""
    values = [getattr(row, name) for name in names.split()]
    return [amount_text(value) if isinstance(value, Decimal) else value for value in values]


def test_the_audit_of_the_basis(history: Bookkeeper) -> None:
    rows = [shown(row, "version type asset amount price basis_delta basis_after") for row in audited(history)]
    assert rows == [
        [2, "deposit", "XRP", "10", "2", None, "0"],
        [3, "deposit", "RLUSD", "85", None, "85", "85"],
        [4, "basis_commit", "RLUSD", "104.3", None, "104.3", "189.3"],
        [6, "withdrawal", "RLUSD", "20", None, "0", "189.3"],  # a delta of 0 is a line, too
        [7, "withdrawal", "XRP", "1", "3", "-2.5", "186.8"],
        [9, "reversal", "RLUSD", "20", None, "0", "186.8"],
        [10, "reversal", "XRP", "-10", "2", None, "186.8"],
    ]


def test_the_evidence_stands_beside_its_withdrawal_only(history: Bookkeeper) -> None:
    names = "equity_before basis_before profit principal"
    rows = {row.version: shown(row, names) for row in audited(history)}
    assert rows.pop(6) == ["290", "189.3", "20", "0"]
    assert all(row == [None] * 4 for row in rows.values())


def test_who_why_and_where_from(history: Bookkeeper) -> None:
    rows = {row.version: row for row in audited(history)}
    log = {stored.version: stored for stored in log_of(history)}
    assert shown(rows[2], "actor source_note tx_hash") == [None, "old", "tx"]
    assert shown(rows[4], "actor source_note tx_hash") == ["owner", None, None]
    for version, row in rows.items():
        assert (row.event_id, row.hash, row.at) == (log[version].event_id, log[version].hash, log[version].at)


def test_the_fields_of_a_line_begin_with_those_of_the_specification_in_its_order() -> None:
    assert " ".join(field.name for field in fields(AuditRow)).startswith(
        "version at type asset amount price equity_before basis_before profit principal basis_delta basis_after "
        "actor source_note tx_hash event_id hash"
    )


def test_the_last_line_ends_at_the_net_basis(history: Bookkeeper) -> None:
    assert audited(history)[-1].basis_after == history.view(BOOK).state.basis.net_basis


def test_no_events_no_lines() -> None:
    assert list(audit_rows([])) == []


def test_the_register_has_a_line_for_each_posting_with_the_balance_after_it(history: Bookkeeper) -> None:
    rows = [row for row in register_rows(log_of(history), {6: 9, 2: 10}) if row.is_posting]
    assert [shown(row, "version asset delta balance part reverses reversed_by") for row in rows] == [
        [2, "XRP", "10", "10", "capital", None, 10],
        [3, "RLUSD", "85", "85", "capital", None, None],
        [6, "RLUSD", "-20", "65", "capital", None, 9],
        [7, "XRP", "-1", "9", "capital", None, None],
        [8, "XRP", "1", "10", "fills", None, None],
        [8, "RLUSD", "-2", "63", "fills", None, None],
        [9, "RLUSD", "20", "83", "capital", 6, None],
        [10, "XRP", "-10", "0", "capital", 2, None],
    ]


def test_the_register_has_a_line_for_each_event_without_a_posting(keeper: Bookkeeper) -> None:
    """With what the event is about; of a reversal that is what it reverses, the starting value being the one after it."""
    keeper.append_all(
        BOOK,
        [
            event("deposit", asset="RLUSD", amount="85"),
            event("mark", asset="XRP", price="0", price_source="venue"),
            event("basis_commit", basis_delta="-2.5"),
            event("baseline", starting_value="100", reason="a new start"),
            event("baseline", starting_value="90"),
            *(event("reversal", reverses=version, reason="typed wrongly") for version in (6, 3, 4)),
        ],
    )
    rows = [row for row in register_rows(log_of(keeper), {6: 7, 3: 8, 4: 9}) if not row.is_posting]
    assert {(row.delta, row.balance, row.part) for row in rows} == {(None, None, None)}
    names = "version type asset price basis_delta starting_value reason reverses reversed_by"
    assert [shown(row, names) for row in rows] == [
        [1, "opened", None, None, None, None, None, None, None],
        [3, "mark", "XRP", "0", None, None, None, None, 8],
        [4, "basis_commit", "RLUSD", None, "-2.5", None, None, None, 9],
        [5, "baseline", None, None, None, "100", "a new start", None, None],
        [6, "baseline", None, None, None, "90", None, None, 7],
        [7, "reversal", None, None, None, "100", None, 6, None],
        [8, "reversal", "XRP", "0", None, None, None, 3, None],
        [9, "reversal", "RLUSD", None, "2.5", None, None, 4, None],
    ]


def test_a_posting_of_capital_has_its_price_basis_and_the_starting_value_after_it(history: Bookkeeper) -> None:
    rows = [row for row in register_rows(log_of(history), {}) if row.basis_delta is not None or row.price is not None]
    names = "version type price basis_delta starting_value"
    assert [shown(row, names) for row in rows if row.is_posting] == [
        [2, "deposit", "2", None, "20"],  # its basis is unknown, which is not 0
        [3, "deposit", None, "85", "105"],
        [6, "withdrawal", None, "0", "85"],
        [7, "withdrawal", "3", "-2.5", "82"],
        [9, "reversal", None, "0", "102"],
        [10, "reversal", "2", None, "82"],
    ]
