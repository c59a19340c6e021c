"""The summary: inventory is the total, a session's figures are its fills', and all of it ties to the register."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from engine.bookkeeper import Bookkeeper
from engine.pool import pnl_of_period
from engine.reports import plot
from engine.reports.plot import CapitalPoint, curve, draw
from engine.reports.summarising import summarise
from engine.views import Moment, RegisterFilter, register, view_at
from ledger.amounts import amount_text, total
from ledger.events import Opened
from projections.pnl import pnl
from tests.engine.paper.paper_support import open_paper, run_all, wandering, write_tape
from tests.ledger.database.store_support import append_sample, fill
from tests.support import BOOK, START, event, it_is

RLUSD, XRP = "RLUSD", "XRP"


def session_of(keeper: Bookkeeper, session: str = "s1") -> None:
    """Two fills of a session: 10 XRP bought for 13.30, 4 sold for 5.40; a fee of 0.01 XRP each time."""
    fee = {"fee_asset": XRP, "fee_amount": "0.01", "session_id": session}
    at = "2026-01-05T10:00:00Z", "2026-01-05T11:00:00Z"
    keeper.append(BOOK, fill(f"{session}:1", at=at[1], **fee))
    keeper.append(BOOK, fill(f"{session}:2", at=at[0], side="sell", base_amount="4", quote_amount="5.40", **fee))


def parts(keeper: Bookkeeper, asset: str, session: str | None = "s1") -> str:
    """Total = fills + capital + adjustments of an asset, as the summary has them."""
    holding = summarise(keeper.database, BOOK, session).view.state.inventory[asset]
    each = (amount_text(part) for part in (holding.fills, holding.capital, holding.adjustments))
    return f"{amount_text(holding.total)} = {' + '.join(each)}"


# ---- the inventory


def test_without_capital_the_inventory_is_what_the_fills_did(keeper: Bookkeeper) -> None:
    session_of(keeper)
    assert parts(keeper, RLUSD) == "-7.9 = -7.9 + 0 + 0"
    assert parts(keeper, XRP) == "5.98 = 5.98 + 0 + 0"


def test_a_deposit_is_in_the_inventory_of_every_session(keeper: Bookkeeper) -> None:
    session_of(keeper)
    keeper.append(BOOK, event("deposit", asset=RLUSD, amount="85"))
    for session in ("s1", "another", None):
        assert parts(keeper, RLUSD, session) == "77.1 = -7.9 + 85 + 0"
        assert parts(keeper, XRP, session) == "5.98 = 5.98 + 0 + 0"


def test_a_withdrawal_of_what_was_traded_for_makes_the_capital_part_negative(keeper: Bookkeeper) -> None:
    """There was never a deposit of XRP: what goes out was bought. The total is what is there."""
    session_of(keeper)
    keeper.append(BOOK, event("deposit", asset=RLUSD, amount="85"))
    keeper.append(BOOK, event("withdrawal", asset=XRP, amount="5", price="1.33", basis_delta="-6.65"))
    assert parts(keeper, XRP) == "0.98 = 5.98 + -5 + 0"
    assert parts(keeper, RLUSD) == "77.1 = -7.9 + 85 + 0"


def test_adjustments_and_other_sessions_are_in_the_inventory_too(keeper: Bookkeeper) -> None:
    session_of(keeper)
    session_of(keeper, "s2")
    keeper.append(BOOK, event("adjustment", asset=XRP, amount="-0.000012", reason="network_fee"))
    assert parts(keeper, XRP) == "11.959988 = 11.96 + 0 + -0.000012"


# ---- the fills


def test_the_fills_of_a_session(keeper: Bookkeeper) -> None:
    session_of(keeper)
    session_of(keeper, "s2")
    fills = summarise(keeper.database, BOOK, "s1").fills
    assert (fills.count, fills.reversed, fills.unknown_fees) == (2, 0, 0)
    assert (fills.first_at, fills.last_at) == tuple(datetime(2026, 1, 5, hour, tzinfo=UTC) for hour in (10, 11))
    assert {pair: (each.fills, each.base_amount, each.quote_amount) for pair, each in fills.volumes.items()} == {
        ("buy", XRP, RLUSD): (1, Decimal(10), Decimal("13.30")),
        ("sell", XRP, RLUSD): (1, Decimal(4), Decimal("5.40")),
    }
    assert fills.fees == {XRP: Decimal("0.02")}
    assert fills.moved == {XRP: Decimal("5.98"), RLUSD: Decimal("-7.90")}


def test_without_a_session_all_fills_count_those_of_none_included(keeper: Bookkeeper) -> None:
    session_of(keeper)
    keeper.append(BOOK, fill("f", base_asset="BTC", quote_asset="EUR"))
    fills = summarise(keeper.database, BOOK).fills
    assert (fills.count, fills.unknown_fees) == (3, 1)
    assert fills.volumes["buy", "BTC", "EUR"].fills == 1


def test_a_session_that_is_not_there_has_no_fills_and_the_books_inventory(keeper: Bookkeeper) -> None:
    session_of(keeper)
    found = summarise(keeper.database, BOOK, "s")
    assert (found.fills.count, found.fills.first_at, found.fills_pnl) == (0, None, Decimal(0))
    assert not found.fills.moved
    assert found.view.state.inventory.balance(XRP) == Decimal("5.98")


def test_a_reversed_fill_is_told_and_not_counted_and_its_correction_is(keeper: Bookkeeper) -> None:
    session_of(keeper)
    keeper.append(BOOK, event("reversal", reverses=2))
    assert summarise(keeper.database, BOOK, "s1").fills.count == 1
    assert parts(keeper, XRP) == "-4.01 = -4.01 + 0 + 0"
    keeper.append(BOOK, fill(None, corrects=2, base_amount="9", session_id="s1"))
    fills = summarise(keeper.database, BOOK, "s1").fills
    assert (fills.count, fills.reversed, fills.unknown_fees) == (2, 1, 1)
    assert fills.volumes["buy", XRP, RLUSD].base_amount == 9
    assert fills.fees == {XRP: Decimal("0.01")}


def test_a_rebate_lessens_the_fees(keeper: Bookkeeper) -> None:
    keeper.append(BOOK, fill("a", fee_asset=XRP, fee_amount="0.03"))
    keeper.append(BOOK, fill("b", fee_asset=XRP, fee_amount="-0.05"))
    assert summarise(keeper.database, BOOK).fills.fees == {XRP: Decimal("-0.02")}


# ---- strategies


def traded(keeper: Bookkeeper) -> None:
    """Two strategies in two sessions, each fill of another amount; one was reversed and corrected, one names none."""
    for key, session, strategy, amount in (
        ("a", "s1", "grid", "1"),
        ("b", "s1", "taker", "2"),
        ("c", "s2", "grid", "4"),
        ("d", "s2", "grid", "8"),
        ("e", "s2", None, "16"),
    ):
        named = {"strategy": strategy} if strategy else {}
        fee = {"fee_asset": XRP, "fee_amount": f"0.0{amount}" if len(amount) == 1 else "0.16"}
        keeper.append(BOOK, fill(key, session_id=session, base_amount=amount, **fee, **named))
    keeper.append(BOOK, event("reversal", reverses=4))
    keeper.append(BOOK, fill(None, corrects=4, base_amount="32", session_id="s2", strategy="grid"))


@pytest.mark.parametrize(
    ("session", "strategy", "amount", "fee"),
    [
        (None, "grid", "41", "0.09"),  # 1 + 8 + 32; 4 was reversed, and of 32 no fee is known
        (None, "taker", "2", "0.02"),
        ("s1", "grid", "1", "0.01"),
        ("s2", "grid", "40", "0.08"),
        ("s2", "taker", None, None),
        ("s2", None, "56", "0.24"),
        (None, None, "59", "0.27"),
    ],
)
def test_the_fills_are_those_of_the_session_and_of_the_strategy(
    session: str | None, strategy: str | None, amount: str | None, fee: str | None, keeper: Bookkeeper
) -> None:
    traded(keeper)
    found = summarise(keeper.database, BOOK, session, strategy=strategy)
    assert (found.session, found.strategy) == (session, strategy)
    if amount is None:
        assert (found.fills.count, dict(found.fees), found.fills_pnl) == (0, {}, Decimal(0))
        return
    assert amount_text(found.fills.volumes["buy", XRP, RLUSD].base_amount) == amount
    assert amount_text(found.fees[XRP]) == fee
    shown = RegisterFilter(type="fill", session=session, strategy=strategy)
    with register(keeper.database, BOOK, shown=shown) as (_, _, rows):
        moved = [row.delta for row in rows if row.asset == XRP and row.reversed_by is None and row.delta is not None]
    assert total(moved) == found.fills.moved[XRP]


def test_the_parts_of_the_strategies_add_up_to_all(keeper: Bookkeeper) -> None:
    traded(keeper)
    keeper.append(BOOK, event("mark", asset=XRP, price="1.4142"))
    named = [summarise(keeper.database, BOOK, strategy=strategy).fills_pnl for strategy in ("grid", "taker")]
    without_one = summarise(keeper.database, BOOK, "s2").fills_pnl, summarise(keeper.database, BOOK).fills_pnl
    assert None not in (*named, *without_one)
    of_s2_grid = summarise(keeper.database, BOOK, "s2", strategy="grid").fills_pnl
    assert of_s2_grid is not None
    rest = without_one[0] - of_s2_grid if without_one[0] is not None else None
    assert total(part for part in (*named, rest) if part is not None) == without_one[1]


# ---- fees


def test_fees_paid_are_those_of_the_fills_and_of_the_adjustments_that_stand(keeper: Bookkeeper) -> None:
    """Of a session its own, of the book all, of a strategy those of its fills; what was reversed is not paid."""
    session_of(keeper)
    session_of(keeper, "s2")
    for asset, amount, reason, session in (
        (XRP, "-0.000012", "network_fee", "s1"),
        (XRP, "-0.5", "network_fee", "s1"),  # version 7 is reversed
        (RLUSD, "-3", "fee", "s2"),
        (RLUSD, "1", "fee", "s2"),  # a fee that came back
        (XRP, "-7", "clawback", "s1"),  # no fee
        (XRP, "-0.00004", "network_fee", None),
    ):
        named = {"session_id": session} if session else {}
        keeper.append(BOOK, event("adjustment", asset=asset, amount=amount, reason=reason, **named))
    keeper.append(BOOK, event("reversal", reverses=7))
    paid = {
        session: {asset: amount_text(fee) for asset, fee in summarise(keeper.database, BOOK, session).fees.items()}
        for session in ("s1", "s2", None)
    }
    assert paid == {
        "s1": {XRP: "0.020012"},
        "s2": {XRP: "0.02", RLUSD: "2"},
        None: {XRP: "0.040052", RLUSD: "2"},
    }
    assert summarise(keeper.database, BOOK).fees == pnl(keeper.view(BOOK).state, {}, RLUSD).fees
    assert summarise(keeper.database, BOOK, strategy="grid").fees == {}


def test_the_fees_of_a_period_are_those_that_were_paid_in_it(keeper: Bookkeeper) -> None:
    """A reversal at the reversed event's time takes the fee out of the period that it was in."""
    for day, amount in ((1, "-0.1"), (2, "-0.2"), (3, "-0.4")):
        fee = event("adjustment", asset=XRP, amount=amount, reason="network_fee", at=f"2026-01-0{day}T12:00:00Z")
        keeper.append(BOOK, fee)
    keeper.append(BOOK, fill("f", fee_asset=XRP, fee_amount="0.05", at="2026-01-02T13:00:00Z"))
    first, second, third, fourth = (datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3, 4))

    def paid(start: datetime, end: datetime) -> str:
        return amount_text(pnl_of_period(keeper.database, [BOOK], start, end, None, {}).change.fees[XRP])

    assert [paid(first, second), paid(second, third), paid(third, fourth)] == ["0.1", "0.25", "0.4"]
    keeper.append(BOOK, event("reversal", reverses=3))
    assert [paid(first, second), paid(second, third), paid(first, fourth)] == ["0.1", "0.05", "0.55"]


def test_what_the_fills_add_to_pnl_is_their_value_at_the_newest_marks(keeper: Bookkeeper) -> None:
    """5.98 XRP at 1.5, and 7.90 RLUSD paid for them. A deposit adds nothing to it."""
    session_of(keeper)
    keeper.append(BOOK, event("deposit", asset=XRP, amount="100", price="1.2"))
    assert summarise(keeper.database, BOOK, "s1").fills_pnl is None
    keeper.append(BOOK, event("mark", asset=XRP, price="1.5"))
    found = summarise(keeper.database, BOOK, "s1")
    assert found.fills_pnl == Decimal("1.07")
    assert found.pnl.total_pnl == Decimal("31.07")


def test_of_all_sessions_and_the_deposits_the_parts_of_pnl_add_up(keeper: Bookkeeper) -> None:
    keeper.append(BOOK, event("deposit", asset=RLUSD, amount="85"))
    for session in ("s1", "s2", "s3"):
        session_of(keeper, session)
    keeper.append(BOOK, event("mark", asset=XRP, price="1.4142"))
    each = [summarise(keeper.database, BOOK, session).fills_pnl for session in ("s1", "s2", "s3")]
    assert sum(part for part in each if part is not None) == summarise(keeper.database, BOOK).pnl.total_pnl


# ---- the register


@pytest.mark.parametrize("session", ["s1", "s2", None])
def test_the_summary_ties_to_the_register(session: str | None, keeper: Bookkeeper) -> None:
    """On a log with reversals, a correction and capital of every kind; to the last digit."""
    append_sample(keeper)
    session_of(keeper, "s2")
    found = summarise(keeper.database, BOOK, session)
    with register(keeper.database, BOOK, shown=RegisterFilter(type="fill", session=session)) as (_, _, rows):
        standing = [row for row in rows if row.reversed_by is None]
    assert found.fills.count == len({row.version for row in standing})
    expected: dict[str, Decimal] = {}
    for row in standing:
        assert row.asset is not None
        assert row.delta is not None
        expected[row.asset] = total((expected.get(row.asset, Decimal(0)), row.delta))
    assert found.fills.moved == expected
    with register(keeper.database, BOOK) as (_, _, rows):
        last = {row.asset: row.balance for row in rows}
    assert {asset: holding.total for asset, holding in found.view.state.inventory.items()} == last
    if session is None:
        assert {asset: holding.fills for asset, holding in found.view.state.inventory.items()} == expected


# ---- the picture


def points_of(keeper: Bookkeeper) -> list[CapitalPoint]:
    """The curve of the book."""
    with keeper.database.reading() as connection:
        return curve(connection, BOOK, RLUSD)


def figures_at(keeper: Bookkeeper, at: datetime) -> tuple[Decimal | None, Decimal]:
    """Equity and net basis of what had happened by a time, by the way of `pnl --as-of`."""
    state = view_at(keeper.database, BOOK, Moment(as_of=at)).state
    found = pnl(state, state.marks, RLUSD)
    return found.total_value, found.net_basis


def require_curve_is_the_books(keeper: Bookkeeper) -> None:
    """At each time the last point is what the views say."""
    last: Mapping[datetime, CapitalPoint] = {point.at: point for point in points_of(keeper)}
    assert last
    for at, point in last.items():
        assert (point.equity, point.net_basis) == figures_at(keeper, at)


def test_the_curve_is_what_the_views_say_at_each_time(keeper: Bookkeeper) -> None:
    """The sample log has reversals, a baseline, adjustments, an unknown basis, and a mark that comes late."""
    append_sample(keeper)
    require_curve_is_the_books(keeper)
    found = points_of(keeper)
    assert any(point.equity is None for point in found)
    assert any(point.equity is not None for point in found)
    assert {point.capital for point in found} >= {"deposit", "withdrawal", "basis_commit"}


def test_what_was_recorded_late_stands_at_its_time(keeper: Bookkeeper) -> None:
    it_is(keeper, START + timedelta(hours=2))
    session_of(keeper)
    keeper.append(BOOK, event("mark", asset=XRP, price="1.5", at="2026-01-05T10:30:00Z"))
    keeper.append(BOOK, event("deposit", asset=RLUSD, amount="85", at="2026-01-05T08:00:00Z"))
    assert [point.at for point in points_of(keeper)] == sorted(point.at for point in points_of(keeper))
    require_curve_is_the_books(keeper)


def test_of_many_events_the_last_of_each_stretch_and_all_capital_are_kept(
    keeper: Bookkeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 100
    monkeypatch.setattr(plot, "MAX_POINTS", most)
    start = datetime(2026, 1, 5, tzinfo=UTC)
    marks = [
        event("mark", asset=XRP, price="1.5", at=(start + timedelta(seconds=second)).isoformat())
        for second in range(3 * most)
    ]
    deposits = [event("deposit", asset=RLUSD, amount="1", at=start.isoformat(), key=f"d{n}") for n in range(5)]
    keeper.append_all(BOOK, [*deposits, *marks])
    found = points_of(keeper)
    assert most / 2 < len(found) <= most + len(deposits) + 1
    assert [point.moved for point in found if point.capital] == [1] * 5
    assert found[-1].at == start + timedelta(seconds=3 * most - 1)


def test_an_empty_book_has_no_curve_and_a_picture(keeper: Bookkeeper, tmp_path: Path) -> None:
    assert points_of(keeper) == []
    draw(keeper.database, summarise(keeper.database, BOOK), tmp_path / "empty.png")
    assert (tmp_path / "empty.png").read_bytes().startswith(b"\x89PNG\r\n")


def test_pictures_are_of_the_format_that_their_name_says(tmp_path: Path) -> None:
    with open_paper(tmp_path) as keeper:
        run_all(keeper, write_tape(tmp_path, wandering(60)), session="$x_")  # no formula
        for name, start in (("b.svg", b"<?xml"), ("c.PNG", b"\x89PNG\r\n")):
            draw(keeper.database, summarise(keeper.database, BOOK, "$x_"), tmp_path / name)
            assert (tmp_path / name).read_bytes().startswith(start)


@pytest.mark.parametrize("name", ["$\\frac{$ a_b^c", "帳簿" + "🙂" * 62])
def test_a_name_is_drawn_as_it_is_and_never_a_formula(name: str, keeper: Bookkeeper, tmp_path: Path) -> None:
    keeper.open_book(name, Opened(mode="paper", numeraire="R$U$D"))
    keeper.append(name, event("deposit", asset="R$U$D", amount="85"))
    draw(keeper.database, summarise(keeper.database, name, "$\\bad{$"), tmp_path / "picture.svg")
    assert (tmp_path / "picture.svg").stat().st_size > 5000
