"""Returns: worked examples, what is unknown and why, and that capital movements do not change a rate."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from projections.cost_basis import standing_order
from projections.returns import DAY, Returns, ReturnsFold, earned
from tests.projections.in_memory import log_of
from tests.support import START

D = Decimal
Fields = dict[str, Any]


def returns(
    steps: list[Fields], *, days: float = 400, age: timedelta = 1000 * DAY, start: float | None = None
) -> Returns:
    began = None if start is None else START + timedelta(days=start)
    fold = ReturnsFold("RLUSD", began, START + timedelta(days=days), age)
    return fold.run(standing_order(log_of(steps)))


def on(day: float, **fields: Any) -> Fields:
    return {**fields, "hours": day * 24}


def deposit(day: float, amount: str, **more: Any) -> Fields:
    return on(day, type="deposit", asset="RLUSD", amount=amount, **more)


def withdraw(day: float, amount: str) -> Fields:
    return on(day, type="withdrawal", asset="RLUSD", amount=amount, basis_delta="0")


def earn(day: float, amount: str) -> Fields:
    """What trading earned, in the numeraire."""
    return on(day, type="adjustment", asset="RLUSD", amount=amount, reason="reward")


def mark(day: float, price: str) -> Fields:
    return on(day, type="mark", asset="XRP", price=price)


def test_a_deposit_before_a_loss_does_not_hide_the_gain_before_it() -> None:
    """100 gain 10 %, 1,000 more come in, 5.45 % are lost: 1.1 × 1049.5/1110 − 1."""
    found = returns([deposit(1, "100"), earn(2, "10"), deposit(3, "1000"), earn(4, "-60.5")])
    assert [each.end_value for each in found.sub_periods] == [D(110), D("1049.5")]
    assert found.time_weighted is not None
    assert abs(found.time_weighted - D("0.0400450450")) < D("1e-9")
    assert earned(found) == D("-50.5")


def test_the_gap_between_a_movements_price_and_the_mark_is_earned() -> None:
    """10 XRP at 1.00 where the mark is 1.10: the sub-period begins at 10 and is worth 11."""
    steps = [mark(0.5, "1.10"), on(1, type="deposit", asset="XRP", amount="10", price="1")]
    assert returns(steps).time_weighted == D("0.1")


def test_a_withdrawal_is_no_drawdown_and_a_fall_is_one() -> None:
    steps = [deposit(1, "100"), earn(2, "100"), withdraw(3, "150"), earn(4, "-10"), deposit(5, "1")]
    found = returns(steps)
    assert found.drawdown == D("-0.2")


def test_a_fall_between_movements_shows_at_a_mark() -> None:
    steps = [mark(0.5, "2"), on(1, type="deposit", asset="XRP", amount="10", price="2"), mark(2, "1"), mark(3, "2")]
    found = returns(steps)
    assert (found.time_weighted, found.drawdown) == (D(0), D("-0.5"))


def test_marks_of_one_moment_are_taken_together() -> None:
    """BTC falls by as much as XRP rises: nothing was lost, whichever mark comes first."""

    def fill(asset: str) -> Fields:
        pair = {"base_asset": asset, "base_amount": "10", "quote_asset": "RLUSD", "quote_amount": "50"}
        return on(1.1, type="fill", side="buy", **pair)

    held = [deposit(1, "100"), fill("XRP"), fill("BTC")]
    first = [on(2, type="mark", asset=asset, price="5") for asset in ("XRP", "BTC")]
    then = [on(3, type="mark", asset="BTC", price="1"), on(3, type="mark", asset="XRP", price="9")]
    for marks in (then, then[::-1]):
        found = returns([*held, *first, *marks])
        assert (found.drawdown, found.time_weighted) == (D(0), D(0))
    assert returns([*held, *first, then[0], on(4, type="mark", asset="XRP", price="9")]).drawdown == D("-0.4")


def test_a_moment_without_a_fresh_mark_is_listed_and_nothing_is_interpolated() -> None:
    steps = [
        mark(0.5, "2"),
        on(1, type="deposit", asset="XRP", amount="10", price="2"),
        deposit(10, "5"),
        mark(399.9, "2"),
    ]
    found = returns(steps, age=DAY)
    assert found.time_weighted is None
    assert found.missing == [(START + timedelta(days=10), ("XRP",))]
    assert found.end_value == D(25)


def test_a_period_begins_with_the_equity_that_was_there() -> None:
    found = returns([deposit(1, "100"), earn(2, "100"), earn(12, "20")], start=10, days=20)
    assert (found.start_value, found.flows, found.time_weighted) == (D(200), [], D("0.1"))


def test_a_sub_period_that_begins_at_0_or_less_has_no_rate() -> None:
    found = returns([earn(1, "-10"), deposit(2, "10"), earn(3, "5")])
    assert [each.rate for each in found.sub_periods] == [None]
    assert found.time_weighted is None


def test_an_opening_is_a_movement_and_a_baseline_is_none() -> None:
    steps = [on(1, type="adjustment", asset="RLUSD", amount="100", reason="opening"), earn(2, "10")]
    steps.append(on(3, type="baseline", starting_value="7"))
    assert returns(steps).time_weighted == D("0.1")


UNKNOWN_OPENING = on(1, type="adjustment", asset="XRP", amount="10", reason="opening")


def test_an_opening_without_a_mark_leaves_what_hangs_on_it_unknown() -> None:
    """10 XRP and 100 RLUSD come in, and 130 are there at the end: 30 were not earned, since the 10 XRP had some worth."""
    found = returns([UNKNOWN_OPENING, mark(4, "2"), deposit(5, "100"), mark(35, "3")])
    assert (found.flowed, found.end_value, earned(found)) == (None, D(130), None)
    assert [each.start_value for each in found.sub_periods] == [D(120)]
    assert found.missing == [(START + DAY, ("XRP",))]
    known = returns([mark(1, "2"), UNKNOWN_OPENING, mark(4, "2"), deposit(5, "100"), mark(35, "3")])
    assert (known.flowed, earned(known), known.missing) == (D(120), D(10), [])


TRADED = [
    on(1, type="fill", side="buy", base_asset="XRP", base_amount="10", quote_asset="RLUSD", quote_amount="10"),
    on(2, type="fill", side="sell", base_asset="XRP", base_amount="10", quote_asset="RLUSD", quote_amount="15"),
]


def test_what_a_book_without_capital_earned_is_not_0() -> None:
    found = returns(TRADED)
    assert (found.start, found.end_value, earned(found), found.time_weighted) == (None, D(5), D(5), None)


def test_what_was_earned_before_the_first_movement_is_there_when_the_period_begins() -> None:
    found = returns([*TRADED, deposit(3, "95"), earn(4, "10")])
    assert (found.start_value, found.end_value, earned(found)) == (D(5), D(110), D(10))
    assert found.time_weighted == D("0.1")
    assert found.cash_flows()[0][1] == D(-100)


AMOUNT = st.integers(1, 10_000).map(str)


@given(
    earnings=st.lists(st.tuples(st.integers(1, 90), st.integers(-40, 60)), min_size=1, max_size=6),
    movements=st.lists(st.tuples(st.integers(1, 90), st.integers(1, 5_000)), max_size=5),
)
def test_what_comes_in_does_not_change_the_rate(
    earnings: list[tuple[int, int]], movements: list[tuple[int, int]]
) -> None:
    """Each day earns a percentage of what is there; deposits of any size at any time leave the rate as it was."""

    def played(flows: list[tuple[int, int]]) -> Returns:
        equity, steps = D(1000), [deposit(0.1, "1000")]
        moments = sorted(
            [(day, "earn", percent) for day, percent in earnings] + [(day + 0.5, "in", x) for day, x in flows]
        )
        for day, kind, number in moments:
            if kind == "earn":
                gain = (equity * number / 100).quantize(D("1e-12"))
                equity += gain
                steps += [earn(day, f"{gain:f}")] if gain else []
            else:
                equity += number
                steps.append(deposit(day, str(number)))
        return returns(steps)

    plain, moved = played([]), played(movements)
    assert plain.time_weighted is not None
    assert moved.time_weighted is not None
    assert abs(plain.time_weighted - moved.time_weighted) < D("1e-9")


@given(
    steps=st.lists(st.tuples(st.integers(1, 89), st.integers(-40, 60), st.booleans()), max_size=8),
    ends=st.lists(st.integers(1, 89), max_size=4, unique=True).map(sorted),
)
def test_the_rates_of_periods_chain_to_the_rate_of_the_whole(
    steps: list[tuple[int, int, bool]], ends: list[int]
) -> None:
    """At each time something is earned or lost, or comes in; the periods end anywhere."""
    log = standing_order(
        log_of(
            [deposit(0.1, "1000")]
            + [(deposit(day, "500") if is_in or not gain else earn(day, str(gain))) for day, gain, is_in in steps]
        )
    )
    whole = ReturnsFold("RLUSD", START, START + 90 * DAY, DAY).run(log)
    assert whole.time_weighted is not None
    times = [START + day * DAY for day in (*ends, 90)]
    fold, taken, chained = ReturnsFold("RLUSD", START, times[0], DAY), 0, D(1)
    for number, end in enumerate(times):
        if number:
            fold.go_on(end)
        upto = sum(stored.at < end for stored in log)
        part = fold.run(log[taken:upto])
        taken = upto
        assert (part.start, part.end) == (([START, *times])[number], end)
        assert part.time_weighted is not None
        chained *= 1 + part.time_weighted
    assert abs(chained - 1 - whole.time_weighted) < D("1e-20")
