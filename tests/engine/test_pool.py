"""A pool of books: its figures are those of one book that holds all that its books hold, without transfers between them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.bookkeeper import Bookkeeper
from engine.cost_basis import BasisView, CostMethod, basis_at, standing_events
from engine.pool import pnl_of_period, pool_at
from engine.views import NOW, Moment
from ledger.errors import Refused
from ledger.events import Opened
from projections.lots import METHODS
from projections.pnl import pnl
from projections.returns import Returns, ReturnsFold
from tests.projections.test_cost_basis import AMOUNTS, ASSETS, Fields, mark, steps_
from tests.support import START, TickingClock, event, open_keeper

ALONE, BOOKS = "m", ("a", "b", "c")
CLOCK = START + timedelta(days=100)
D = Decimal


def at(hours: float) -> str:
    return (START + timedelta(hours=hours)).isoformat()


def timed(step: Fields) -> Fields:
    fields = {name: value for name, value in step.items() if name != "hours"}
    return {**fields, "at": at(step["hours"])}


@contextmanager
def a_desk() -> Iterator[Bookkeeper]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        path.write_bytes(_opened())
        with Bookkeeper.open(str(path), clock=TickingClock(CLOCK)) as keeper:
            yield keeper


@cache
def _opened() -> bytes:
    """A ledger in which the books are open; made once, and copied."""
    with tempfile.TemporaryDirectory() as folder:
        with open_keeper(Path(folder), book=None) as keeper:
            for name in (ALONE, *BOOKS):
                keeper.open_book(name, Opened(mode="live"))
        return (Path(folder) / "ledger.db").read_bytes()


@st.composite
def transfers(draw: st.DrawFn) -> Fields:
    """From which book to which, of what; when it left and when it came."""
    asset = draw(st.sampled_from(ASSETS))
    return {
        "books": tuple(draw(st.permutations(BOOKS))[:2]),
        "hours": (draw(st.integers(1, 40)), draw(st.integers(1, 40))),
        "asset": asset,
        "amount": draw(AMOUNTS),
        **({} if asset == "RLUSD" else {"price": draw(AMOUNTS)}),
    }


def carry_out(keeper: Bookkeeper, number: int, given_: Fields, *, is_reversed: bool) -> None:
    """Both sides of a transfer, each at its own time; and their reversals, hours later."""
    (sender, receiver), (left, came) = given_["books"], given_["hours"]
    what = {name: given_[name] for name in ("asset", "amount", "price") if name in given_} | {"key": f"t{number}"}
    sides = [
        event("withdrawal", **what, at=at(left), basis_delta="-1", transfer={"id": f"t{number}", "book": receiver}),
        event("deposit", **what, at=at(came), basis_delta="1", transfer={"id": f"t{number}", "book": sender}),
    ]
    with keeper.transactions(sender, receiver) as books:
        done = [book.append(side) for book, side in zip(books, sides, strict=True)]
    if is_reversed:
        with keeper.transactions(sender, receiver) as books:
            for book, side, hours in zip(books, done, (left, came), strict=True):
                book.append(event("reversal", key=f"r{number}", reverses=side.stored.version, at=at(hours + 5)))


def play(keeper: Bookkeeper, steps: Sequence[tuple[str, Fields]], moved: Sequence[tuple[Fields, bool]]) -> None:
    """Each step in its own book, and all of them, by time and book, in one book of their own, which knows no transfer."""
    in_order = sorted(enumerate(steps), key=lambda each: (each[1][1]["hours"], each[1][0], each[0]))
    for name in BOOKS:
        own = [timed(step) | {"key": f"k{number}"} for number, (book, step) in in_order if book == name]
        keeper.append_all(name, [event(each.pop("type"), **each) for each in own])
    together = [timed(step) | {"key": f"k{number}"} for number, (_, step) in in_order]
    keeper.append_all(ALONE, [event(each.pop("type"), **each) for each in together])
    for number, (transfer, is_reversed) in enumerate(moved):
        carry_out(keeper, number, transfer, is_reversed=is_reversed)


def figures(found: BasisView) -> Any:
    """What is held, what it cost, what was realised; without versions and books, which are each book's own."""
    state, basis = found.pool.state, found.basis
    profit = pnl(state, state.marks, "RLUSD")
    names = ("total_value", "net_deposits", "net_basis", "starting_value", "total_pnl", "retained_profit")
    return (
        {asset: held.total for asset, held in state.inventory.items() if held.total},
        [getattr(profit, name) for name in (*names, "withdrawn_profit", "transferred_profit", "unknown_fees")],
        {asset: fee for asset, fee in profit.fees.items() if fee},
        [(lot.asset, lot.quantity, lot.cost, lot.origin.at) for lot in basis.open_lots()],
        [(each.asset, each.quantity, each.proceeds, each.cost, each.opened.at) for each in basis.disposals],
        {reason: sums.whole for reason, sums in basis.income.items()},
        basis.fees,
        [(each.reason, each.amount, each.worth) for each in basis.receipts],
    )


def returns(keeper: Bookkeeper, names: Sequence[str], moment: Moment) -> Any:
    with keeper.database.reading() as connection:
        found = standing_events(connection, names, moment, now=CLOCK)
    fold = ReturnsFold("RLUSD", START + timedelta(hours=9), CLOCK, timedelta(hours=12), by_evidence=False)
    result: Returns = fold.run(found)
    flows = [(flow.at, flow.value) for flow in result.flows]
    return result.time_weighted, result.drawdown, flows, result.sub_periods, result.missing


MOMENTS = st.one_of(
    st.just(NOW), st.integers(0, 45).map(lambda hours: Moment(as_of=START + timedelta(hours=hours, minutes=30)))
)
STEPS = st.lists(st.tuples(st.sampled_from(BOOKS), steps_()), max_size=20)
TRANSFERS = st.lists(st.tuples(transfers(), st.booleans()), max_size=4)
PRICED = [("a", mark("2", hours=0)), ("b", mark("30000", "BTC", hours=0))]


def without_baselines(steps: Sequence[tuple[str, Fields]]) -> list[tuple[str, Fields]]:
    """A baseline moves its book's own starting value, which is another one in a book that holds all. Groups are a book's."""
    return [
        (book, step | {"group": f"{book}{step['group']}"} if "group" in step else step)
        for book, step in steps
        if step["type"] != "baseline"
    ]


@settings(max_examples=settings().max_examples * 4 // 5)
@given(steps=STEPS, moved=TRANSFERS, moment=MOMENTS, method=st.sampled_from(sorted(METHODS)))
def test_a_pool_is_one_book_that_holds_all(
    steps: list[tuple[str, Fields]], moved: list[tuple[Fields, bool]], moment: Moment, method: str
) -> None:
    with a_desk() as keeper:
        play(keeper, [*PRICED, *without_baselines(steps)], moved)
        for fees_in_cost in (False, True):
            how = CostMethod(method, fees_in_cost)
            pooled, alone = (basis_at(keeper.database, names, how, moment, now=CLOCK) for names in (BOOKS, [ALONE]))
            assert figures(pooled) == figures(alone)
        assert returns(keeper, BOOKS, moment) == returns(keeper, [ALONE], moment)


@settings(max_examples=settings().max_examples * 4 // 5)
@given(steps=STEPS, moved=TRANSFERS, moment=MOMENTS)
def test_total_pnl_is_what_it_is_made_of_in_a_pool_and_in_each_book(
    steps: list[tuple[str, Fields]], moved: list[tuple[Fields, bool]], moment: Moment
) -> None:
    with a_desk() as keeper:
        play(keeper, [*PRICED, *steps], moved)
        for names, method in ((BOOKS, "fifo"), (BOOKS, "average"), (BOOKS[:2], "average"), (BOOKS[:1], "fifo")):
            found = basis_at(keeper.database, names, CostMethod(method), moment, now=CLOCK)
            state = found.pool.state
            earned = found.basis.earned({asset: price.price for asset, price in state.marks.items()})
            total_pnl = pnl(state, state.marks, "RLUSD").total_pnl
            assert None in (earned, total_pnl) or earned == total_pnl


def test_a_transfer_between_pooled_books_is_nothing_and_one_to_another_book_is_a_withdrawal() -> None:
    """10 XRP that cost 10 go from a to b at 3, and 4 of them on to c at 4."""
    with a_desk() as keeper:
        bought = {"type": "fill", "side": "buy", "base_amount": "10", "quote_amount": "10", "hours": 1}
        play(keeper, [("a", bought | {"base_asset": "XRP", "quote_asset": "RLUSD"}), ("b", mark("5", hours=9))], [])
        for number, (books, hours, amount, price) in enumerate(
            [(("a", "b"), (2, 4), "10", "3"), (("b", "c"), (6, 6), "4", "4")]
        ):
            given_ = {"books": books, "hours": hours, "asset": "XRP", "amount": amount, "price": price}
            carry_out(keeper, number, given_, is_reversed=False)

        def lots(*names: str, moment: Moment = NOW) -> list[tuple[D, D | None]]:
            found = basis_at(keeper.database, names, CostMethod(), moment, now=CLOCK).basis
            return [(lot.quantity, lot.cost) for lot in found.open_lots()]

        def realised(*names: str) -> D | None:
            return basis_at(keeper.database, names, CostMethod(), now=CLOCK).basis.realised

        assert (lots("a"), lots("b"), lots("c")) == ([], [(D(6), D(18))], [(D(4), D(16))])
        assert (realised("a"), realised("b"), realised("c")) == (D(20), D(4), D(0))
        assert (lots("a", "b"), realised("a", "b")) == ([(D(6), D(6))], D(12))
        assert (lots(*BOOKS), realised(*BOOKS)) == ([(D(10), D(10))], D(0))
        on_the_way = Moment(as_of=START + timedelta(hours=3))
        assert (lots("a", moment=on_the_way), lots("b", moment=on_the_way)) == ([], [])
        assert lots("a", "b", moment=on_the_way) == [(D(10), D(10))]
        assert pool_at(keeper.database, BOOKS, on_the_way, now=CLOCK).state.inventory.balance("XRP") == 10
        outside = pool_at(keeper.database, ("a", "b"), now=CLOCK).state
        assert (outside.basis.net_deposits, outside.inventory.balance("XRP")) == (D(-16), D(6))
        # The transfer to c is in the period, the one within the pool is not there at either end.
        period = pnl_of_period(keeper.database, ("a", "b"), START + timedelta(hours=3), None, None, {}, now=CLOCK)
        assert period.change.net_deposits == D(-16)


def test_books_of_another_numeraire_or_mode_are_no_pool() -> None:
    with a_desk() as keeper:
        keeper.open_book("p", Opened(mode="paper"))
        keeper.open_book("q", Opened(mode="live", numeraire="USD"))
        for other, what in (("p", "mode"), ("q", "numeraire")):
            with pytest.raises(Refused, match=f"differ in {what}") as refused:
                pool_at(keeper.database, ["a", other])
            assert refused.value.code == "pool_mixed"


def test_the_newest_mark_of_any_book_values_and_of_two_of_one_time_the_one_of_the_later_name() -> None:
    with a_desk() as keeper:
        steps = [("a", mark("1", hours=3)), ("b", mark("2", hours=3)), ("a", mark("9", hours=2))]
        play(keeper, steps, [])
        for moment in (NOW, Moment(before=CLOCK)):
            assert pool_at(keeper.database, BOOKS, moment, now=CLOCK).state.marks["XRP"].price == D(2)
