"""Old balances as chains: what the opening is, where a capital event stands, and which row belongs to which fill."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from engine.importers.legacy.chain import BalanceChain, chains_of
from engine.importers.legacy.rows import CapitalRow, FillRow, LedgerRow, LegacyRows

START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
D = Decimal


def at(minute: str) -> datetime:
    return START + timedelta(minutes=float(minute))


def capital(row_id: str, minute: str, moved: str) -> CapitalRow:
    """A deposit of RLUSD, or with a minus a withdrawal."""
    amount = D(moved)
    kind = "deposit" if amount > 0 else "withdrawal"
    return CapitalRow(row_id, kind, "RLUSD", abs(amount), None, None, None, None, at(minute))


def row(row_id: str, minute: str, balance: str, change: str | None = None, fill_id: str | None = None) -> LedgerRow:
    """A row of the ledger of RLUSD."""
    return LedgerRow(row_id, "RLUSD", D(balance), None if change is None else D(change), fill_id, at(minute))


def fill(row_id: str, minute: str, paid: str, *, price: str | None = "1", fee: str | None = None) -> FillRow:
    """A fill that pays so much RLUSD for as much XRP, or with a minus gets it."""
    quantity = abs(D(paid))
    side = "buy" if D(paid) > 0 else "sell"
    cost = None if price is None else D(price)
    paid_fee = None if fee is None else D(fee)
    return FillRow(
        row_id,
        None,
        side,
        cost,
        quantity,
        None,
        "XRP",
        "RLUSD",
        paid_fee,
        "RLUSD" if fee else None,
        None,
        None,
        at(minute),
    )


def chain(*rows: CapitalRow | LedgerRow | FillRow) -> BalanceChain:
    """The chain of RLUSD."""
    return chains_of(
        LegacyRows(
            [one for one in rows if isinstance(one, CapitalRow)],
            [one for one in rows if isinstance(one, LedgerRow)],
            [one for one in rows if isinstance(one, FillRow)],
        )
    )["RLUSD"]


def ids(rows: tuple[CapitalRow, ...] | tuple[FillRow, ...]) -> str:
    return " ".join(one.id for one in rows)


def pairs(found: BalanceChain) -> dict[str, str | None]:
    return {step.row.id: step.fill.id if step.fill else None for step in found.steps}


# ---- the boundary


def test_a_worked_example() -> None:
    """The one of the package's docstring: 100 and 10 nobody knows of, −15, +50, +14."""
    found = chain(
        capital("c1", "0", "100"), fill("f1", "1", "15"), row("1", "1", "95", "-15"),
        capital("c2", "2", "50"), fill("f2", "3", "-14"), row("2", "3", "159", "14"),
    )  # fmt: skip
    assert found.opening == 110
    assert [(ids(step.capital), step.change, step.jump) for step in found.steps] == [
        ("c1", D(-15), D(0)),
        ("c2", D(14), D(0)),
    ]
    assert found.total == 159


@pytest.mark.parametrize(
    ("minute", "in_opening", "after", "total"),
    [("0.999", "c", "", 100), ("1.001", "", "c", 130), ("1", "", "c", 130)],
)
def test_only_what_is_earlier_than_the_first_row_is_in_the_opening(
    minute: str, in_opening: str, after: str, total: int
) -> None:
    """Of the first row's own time is not earlier, unless the balance tells otherwise: here nothing does."""
    found = chain(capital("c", minute, "30"), row("1", "1", "100", "-15"))
    assert (ids(found.steps[0].capital), ids(found.capital_after), found.total) == (in_opening, after, D(total))
    assert found.opening == 115


def test_a_deposit_of_the_first_rows_time_that_the_opening_consists_of_is_in_it() -> None:
    """Times of whole seconds: the engine was funded and traded in the same one."""
    found = chain(capital("c", "1", "115"), row("1", "1", "100", "-15"))
    assert (ids(found.steps[0].capital), found.capital_after, found.total) == ("c", (), D(100))


@pytest.mark.parametrize(("last_balance", "in_last", "total"), [("79", "", 109), ("109", "c", 109), ("80", "", 110)])
def test_a_capital_event_of_the_last_rows_time_stands_where_the_balance_has_it(
    last_balance: str, in_last: str, total: int
) -> None:
    found = chain(row("1", "1", "100", "-15"), capital("c", "2", "30"), row("2", "2", last_balance, "-21"))
    assert (ids(found.steps[1].capital), found.total) == (in_last, D(total))


def test_of_two_events_of_a_rows_time_one_may_be_in_its_balance() -> None:
    found = chain(
        row("1", "1", "100", "-15"), capital("c1", "2", "30"), capital("c2", "2", "7"), row("2", "2", "86", "-21")
    )
    assert (ids(found.steps[1].capital), ids(found.capital_after)) == ("c2", "c1")


def test_events_come_in_the_order_of_their_times_whatever_their_ids() -> None:
    found = chain(capital("late", "9", "1"), capital("early", "0", "2"), row("1", "1", "2", "0"))
    assert (ids(found.steps[0].capital), ids(found.capital_after)) == ("early", "late")


def test_a_clock_that_was_put_back_does_not_move_the_boundary() -> None:
    """The rows are in the order in which they were written; the second one's time is earlier than the first one's."""
    found = chain(
        row("1", "5", "100", "-1"), row("2", "3", "99", "-1"), capital("c", "4", "10"), row("3", "6", "108", "-1")
    )
    assert found.opening == 101
    assert ids(found.steps[0].capital) == "c"
    assert found.total == 108


# ---- changes that no column tells


def test_without_a_column_a_change_is_what_the_balance_moved_by_less_the_capital() -> None:
    found = chain(
        fill("f1", "1", "15"),
        row("1", "1", "100"),
        capital("c", "2", "50"),
        fill("f2", "3", "21"),
        row("2", "3", "129"),
    )
    assert [(step.change, step.told_by, step.jump) for step in found.steps] == [
        (D(-15), "fill", D(0)),
        (D(-21), "ledger", D(0)),
    ]
    assert found.opening == 115


def test_without_a_column_a_capital_event_that_no_balance_has_does_not_spoil_the_change() -> None:
    """The fill tells that the balance moved by the fill alone."""
    found = chain(
        fill("f1", "1", "15"), row("1", "1", "100"), capital("c", "2", "50"), fill("f2", "3", "21"), row("2", "3", "79")
    )
    assert (found.steps[1].change, found.steps[1].jump) == (D(-21), D(-50))


def test_without_a_column_an_event_of_a_rows_time_is_told_by_the_fill() -> None:
    found = chain(
        fill("f1", "1", "15"),
        row("1", "1", "100"),
        capital("c", "3", "50"),
        fill("f2", "3", "21"),
        row("2", "3", "129"),
    )
    assert (found.steps[1].change, ids(found.steps[1].capital), found.steps[1].jump) == (D(-21), "c", D(0))


def test_a_first_row_of_which_nothing_tells_opens_with_the_capital_before_it() -> None:
    found = chain(capital("c", "0", "90"), row("1", "1", "100"))
    assert (found.steps[0].told_by, found.opening, found.steps[0].change) == ("nothing", D(90), D(10))


def test_the_fee_is_in_a_first_change_that_the_fill_tells() -> None:
    assert chain(fill("f", "1", "15", fee="0.5"), row("1", "1", "100")).steps[0].change == D("-15.5")


# ---- totals


def test_without_rows_the_total_is_the_capital_and_unknown_where_there_were_fills() -> None:
    assert chain(capital("c1", "1", "30"), capital("c2", "2", "-10")).total == 20
    assert chain(capital("c1", "1", "30"), fill("f", "2", "10")).total is None


def test_fills_before_the_first_row_are_in_the_opening_and_later_ones_stand_alone() -> None:
    found = chain(
        fill("f0", "0", "3"), fill("f1", "1", "15"), row("1", "1", "100", "-15"), fill("f2", "2", "7"),
    )  # fmt: skip
    assert (ids(found.fills_in_opening), ids(found.fills_alone)) == ("f0", "f2")


# ---- pairs


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param(
            [fill("f1", "1", "15"), row("1", "1", "0", "-15"), fill("f2", "2", "15"), row("2", "2", "0", "-15")],
            {"1": "f1", "2": "f2"},
            id="one after the other",
        ),
        pytest.param(
            [fill("f1", "1", "15"), fill("f2", "2", "15.01"), row("2", "2.01", "0", "-15.01")],
            {"2": "f2"},
            id="of one size: the nearer one, though the first would fit",
        ),
        pytest.param(
            [fill("f1", "1", "15"), row("0", "0", "0", "-15"), row("1", "1.01", "0", "-15")],
            {"0": None, "1": "f1"},
            id="of one size: the nearer row",
        ),
        pytest.param(
            [
                fill("f1", "1", "15"),
                fill("f2", "1.1", "15.01"),
                row("1", "1.15", "0", "-15"),
                row("2", "1.2", "0", "-15"),
            ],
            {"1": "f1", "2": "f2"},
            id="written late: row by row, though another fill is nearer",
        ),
        pytest.param(
            [fill("f1", "1", "15"), row("1", "1", "0", "-0.02"), row("2", "1", "0", "-15")],
            {"1": None, "2": "f1"},
            id="a fee between",
        ),
        pytest.param(
            [fill("f1", "1", "15"), fill("f2", "1", "22"), row("1", "1", "0", "-22")],
            {"1": "f2"},
            id="of one time: the one that fits",
        ),
        pytest.param(
            [fill("f1", "1", "15"), row("1", "1", "0", "15")], {"1": None}, id="the other direction does not fit"
        ),
        pytest.param(
            [fill("f1", "1", "15"), row("1", "1", "0", "-15.2")], {"1": None}, id="more than one per cent off"
        ),
        pytest.param(
            [fill("f1", "1", "15"), row("1", "1", "0", "-15.1")], {"1": "f1"}, id="the price was rounded for display"
        ),
        pytest.param([fill("f1", "1", "15", fee="1"), row("1", "1", "0", "-16")], {"1": "f1"}, id="with the fee"),
        pytest.param(
            [fill("f1", "1", "15", price=None), row("1", "1", "0", "-3")], {"1": "f1"}, id="a price that was not kept"
        ),
        pytest.param(
            [fill("f1", "1", "15"), fill("f2", "9", "15"), row("1", "9", "0", "-99", fill_id="f1")],
            {"1": "f1"},
            id="the ledger names its fill, whatever the amounts",
        ),
        pytest.param(
            [fill("f1", "1", "15"), row("1", "1", "0", "-15", fill_id="elsewhere")],
            {"1": "f1"},
            id="the ledger names a fill that is not there",
        ),
    ],
)
def test_a_row_belongs_to_a_fill(rows: list[LedgerRow | FillRow], expected: dict[str, str | None]) -> None:
    assert pairs(chain(*rows)) == expected


def test_a_base_quantity_is_held_against_its_row_exactly() -> None:
    """Two orders of nearly one size; their quote amounts would fit each other."""
    fills = [fill("f1", "1", "15"), fill("f2", "1", "15.01")]
    ledger = [LedgerRow("1", "XRP", D(0), D("15.01"), None, at("1"))]
    found = chains_of(LegacyRows([], ledger, fills))["XRP"]
    assert pairs(found) == {"1": "f2"}
