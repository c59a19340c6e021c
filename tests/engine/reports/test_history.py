"""The course of a book: what happened by each point, whatever the order of the log, however much is read at once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.bookkeeper import Bookkeeper
from engine.reports import history
from engine.reports.history import History, Point
from engine.reports.plot import curve
from engine.views import NOW, Moment, view_at
from ledger.amounts import subtract
from ledger.events import event_from
from projections.basis import INITIAL_BASIS_KEY
from projections.pnl import pnl
from tests.ledger.database.store_support import append_sample, fill
from tests.support import BOOK, START, event, log_of, open_keeper

LATER = datetime(2026, 2, 1, tzinfo=UTC)
EVENTS = 40


@pytest.fixture(scope="module")
def keeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bookkeeper]:
    """A log that is not in the order of time, with reversed marks and fills."""
    with open_keeper(Path(tmp_path_factory.mktemp("history"))) as opened:
        append_sample(opened)
        for number in range(EVENTS):
            at = f"{START - timedelta(days=3) + timedelta(minutes=(number * 37) % 101):%Y-%m-%dT%H:%M:%SZ}"
            if number % 4 == 0:
                opened.append(BOOK, event("mark", asset="XRP", price=f"1.{number + 10}", key=f"m{number}", at=at))
            elif number % 4 == 1:
                opened.append(BOOK, fill(f"f{number}", at=at, fee_asset="XRP", fee_amount="0.01"))
            elif number % 4 == 2:
                opened.append(BOOK, event("deposit", asset="RLUSD", amount=str(number), key=f"d{number}", at=at))
            else:
                version = opened.view(BOOK).head.version
                opened.append(BOOK, event("reversal", reverses=version - number % 3, key=f"r{number}"))
        yield opened


def course(keeper: Bookkeeper, moment: Moment = NOW, *, at_once: int = 1_000) -> History:
    found = History(keeper.terms(BOOK), moment)
    while found.take_in(keeper.database, at_once):
        pass
    return found


def all_points(found: History, *, start: datetime | None = None, end: datetime | None = None) -> list[Point]:
    return found.points(start=start, end=end, now=LATER, most=10_000)


def test_each_point_is_what_a_view_of_that_time_says(keeper: Bookkeeper) -> None:
    """A view by time counts what had happened by then; a mark's reversal counts at every moment of the course."""
    points = all_points(course(keeper))
    assert [point.at for point in points] == sorted({point.at for point in points})
    reversed_marks = {stored.reverses for stored in log_of(keeper) if stored.effects.effect_of == "mark"}
    assert len(points) > EVENTS / 2
    for point in points:
        view = view_at(keeper.database, BOOK, Moment(as_of=point.at), now=LATER)
        assert (point.net_basis, point.is_known) == (view.state.basis.net_basis, view.state.basis.is_known)
        standing = [
            stored
            for stored in log_of(keeper)
            if stored.type == "mark" and stored.at <= point.at and stored.version not in reversed_marks
        ]
        if not standing:
            continue
        newest = max(standing, key=lambda stored: (stored.at, stored.version))
        assert newest.price is not None
        held = view.state.inventory
        worth = held.balance("RLUSD") + (held.balance("XRP") * newest.price).quantize(Decimal("1e-18"))
        assert point.equity == worth, point.at


def test_the_last_point_is_the_present(keeper: Bookkeeper) -> None:
    view = view_at(keeper.database, BOOK, now=LATER)
    figures = pnl(view.state, view.state.marks, "RLUSD")
    last = all_points(course(keeper))[-1]
    assert (last.equity, last.net_basis) == (figures.total_value, figures.net_basis)
    assert last.equity is not None
    assert figures.total_value is not None
    assert subtract(last.equity, last.net_basis) == subtract(figures.total_value, figures.net_basis)


@given(at_once=st.integers(1, 60))
def test_it_does_not_matter_how_much_is_read_at_once(keeper: Bookkeeper, at_once: int) -> None:
    assert all_points(course(keeper, at_once=at_once)) == all_points(course(keeper))


@given(most=st.integers(2, 40))
def test_memory_is_bounded_and_the_ends_stay_right(keeper: Bookkeeper, most: int) -> None:
    whole = all_points(course(keeper))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "MOST_STRETCHES", most)
        found = course(keeper)
    assert len(found._stretches) <= most
    points = all_points(found)
    assert points[-1] == whole[-1]
    assert set(points) <= set(whole), "a point of a wider stretch is one of the narrower ones"


@given(most=st.integers(2, 30))
def test_thinned_points_are_some_of_the_points_with_both_ends(keeper: Bookkeeper, most: int) -> None:
    whole = all_points(course(keeper))
    thin = course(keeper).points(start=None, end=None, now=LATER, most=most)
    assert len(thin) <= most
    assert (thin[0], thin[-1]) == (whole[0], whole[-1])
    assert [point for point in whole if point in thin] == thin


def test_a_period_begins_with_what_held_then_and_ends_before_its_end(keeper: Bookkeeper) -> None:
    whole = all_points(course(keeper))
    start, end = whole[5].at + timedelta(seconds=1), whole[20].at
    part = all_points(course(keeper), start=start, end=end)
    assert part[0] == Point(start, whole[5].equity, whole[5].net_basis)
    assert part[1:] == whole[6:20]
    assert all_points(course(keeper), start=LATER) == [Point(LATER, whole[-1].equity, whole[-1].net_basis)]
    assert all_points(course(keeper), end=whole[0].at) == []


def test_what_is_ahead_of_the_clock_is_not_shown(keeper: Bookkeeper) -> None:
    whole = all_points(course(keeper))
    now = whole[9].at
    assert course(keeper).points(start=None, end=None, now=now, most=1_000)[-1].at < now + timedelta(minutes=6)


@pytest.mark.parametrize("version", [1, 5, 12, 30])
def test_as_of_a_version_the_last_point_is_its_view(keeper: Bookkeeper, version: int) -> None:
    points = all_points(course(keeper, Moment(as_of=version)))
    view = view_at(keeper.database, BOOK, Moment(as_of=version), now=LATER)
    assert (points[-1].net_basis if points else 0) == view.state.basis.net_basis
    if points and points[-1].equity is not None:
        assert points[-1].equity == pnl(view.state, view.state.marks, "RLUSD").total_value


def test_a_mark_that_is_reversed_after_it_was_read_makes_a_course_outdated(tmp_path: Path) -> None:
    with open_keeper(tmp_path) as opened:
        append_sample(opened)
        found = course(opened)
        assert found.is_outdated is False, "its reversal was known before it was read"
        opened.append(BOOK, event("mark", asset="XRP", price="9", key="wrong"))
        found.take_in(opened.database)
        assert found.is_outdated is False
        opened.append(BOOK, event("reversal", reverses=opened.view(BOOK).head.version))
        found.take_in(opened.database)
        assert bool(found.is_outdated)
        assert all_points(course(opened))[-1].equity == pnl_now(opened)


def pnl_now(keeper: Bookkeeper) -> Decimal | None:
    view = view_at(keeper.database, BOOK, now=LATER)
    return pnl(view.state, view.state.marks, "RLUSD").total_value


@pytest.mark.both_engines
def test_a_course_is_the_same_on_both_engines(keeper: Bookkeeper, location: str, tmp_path: Path) -> None:
    with open_keeper(tmp_path, location=location) as opened:
        opened.append_all(BOOK, [stored.event for stored in log_of(keeper, after=1)])
        assert all_points(course(opened)) == all_points(course(keeper))


def test_while_a_basis_is_unknown_no_profit_is_known(tmp_path: Path) -> None:
    steps: list[tuple[dict[str, object], bool]] = [
        ({"type": "deposit", "asset": "RLUSD", "amount": "100", "basis_unknown": True}, False),
        ({"type": "basis_commit", "basis_delta": "90", "key": INITIAL_BASIS_KEY}, True),
        ({"type": "reversal", "reverses": 3}, False),
        ({"type": "basis_commit", "basis_delta": "95", "key": f"{INITIAL_BASIS_KEY}#2"}, True),
        ({"type": "reversal", "reverses": 2}, True),
    ]
    with open_keeper(tmp_path) as keeper:
        for second, (fields, _) in enumerate(steps):
            keeper.append(BOOK, event_from({"at": f"2026-01-01T00:00:0{second}Z", **fields}))
        points = all_points(course(keeper))
        assert [point.is_known for point in points] == [is_known for _, is_known in steps]
        assert [point.profit for point in points] == [None, Decimal(10), None, Decimal(5), Decimal(-95)]
        for point in points:
            basis = view_at(keeper.database, BOOK, Moment(as_of=point.at), now=LATER).state.basis
            assert point.is_known == basis.is_known
        with keeper.database.reading() as connection:
            drawn = [(point.is_known, point.profit) for point in curve(connection, BOOK, "RLUSD")]
        assert drawn == [(point.is_known, point.profit) for point in points], "so in the picture of `summary --plot`"
