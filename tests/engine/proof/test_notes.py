"""What is dated ahead of the clock or decided with a later mark: the notes of `check`, and what a decision makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.bookkeeper import Bookkeeper
from engine.capital import Movement, inject, withdraw
from engine.proof.check import check
from engine.views import view_at
from ledger.errors import Refused
from ledger.times import time_text
from tests.engine.capital.capital_support import open_desk, rewrite
from tests.engines import raw_access
from tests.support import BOOK, SMALLEST, START, TickingClock, event, it_is, open_keeper

TOLERANCE = timedelta(minutes=5)
MICROSECOND = timedelta(microseconds=1)
NOW = START + timedelta(hours=1)
FACTS = ("fill", "deposit", "withdrawal", "adjustment")


@pytest.fixture
def desk(keeper: Bookkeeper) -> Bookkeeper:
    """The first user's book; its clock stands at NOW, when XRP has a mark of 1.5, the older one being of 1.3998."""
    open_desk(keeper)
    keeper._clock = TickingClock(NOW, step=timedelta(0))
    keeper.append(BOOK, event("mark", asset="XRP", price="1.5", price_source="newest"))
    return keeper


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Bookkeeper]:
    """A book in a file, with a mark of XRP, so that nothing of it is unusual."""
    with open_keeper(tmp_path) as keeper:
        keeper.append(BOOK, event("deposit", asset="RLUSD", amount="100"))
        yield keeper


def notes(keeper: Bookkeeper, now: datetime = NOW) -> list[str]:
    """The notes of a check, which must find nothing."""
    checked = check(keeper.database, BOOK, now=now)
    assert checked.ok, checked.findings
    return checked.notes


# What lies ahead of the clock


@pytest.mark.parametrize("kind", FACTS)
@pytest.mark.parametrize(("ahead", "is_noted"), [(TOLERANCE, False), (TOLERANCE + MICROSECOND, True)])
def test_a_fact_ahead_of_the_clock_is_recorded_and_noted(
    file: Bookkeeper, kind: str, ahead: timedelta, is_noted: bool
) -> None:
    file.append(BOOK, event(kind, **{**SMALLEST[kind], "at": time_text(NOW + ahead)}))
    file.append(BOOK, event("deposit", asset="XRP", amount="10", price="1"))
    file.append(BOOK, event("basis_commit", basis_delta="100"))
    found = notes(file)
    assert found == ([f"the {kind} at version 3 is dated ahead of the clock"] if is_noted else [])
    assert notes(file, NOW + MICROSECOND) == []  # the clock has come nearer


def test_many_facts_of_a_type_are_one_note(file: Bookkeeper) -> None:
    far = time_text(NOW + timedelta(days=9))
    for version in range(3, 6):
        file.append(BOOK, event("deposit", asset="RLUSD", amount="1", at=far, key=f"k{version}"))
    file.append(BOOK, event("adjustment", asset="XRP", amount="1", reason="reward", at=far))
    assert notes(file) == [
        "3 events of type deposit are dated ahead of the clock, the first at version 3",
        "the adjustment at version 6 is dated ahead of the clock",
    ]


def test_a_mark_ahead_of_the_clock_is_noted_until_it_is_reversed(desk: Bookkeeper) -> None:
    it_is(desk, NOW + timedelta(days=1))  # a clock that ran ahead
    desk.append(BOOK, event("mark", asset="XRP", price="99"))
    desk.append(BOOK, event("mark", asset="ETH", price="7", at=time_text(NOW + TOLERANCE)))
    it_is(desk, NOW)
    assert notes(desk) == [
        "the mark of XRP at version 7 is dated 2026-01-06T10:00:00.000000Z, ahead of the clock: until then it is passed "
        "over; `netbasis reverse` takes it back"
    ]
    assert notes(desk, NOW + timedelta(days=1)) == []
    desk.append(BOOK, event("reversal", reverses=7))  # by default at the mark's own time, which is not judged
    assert notes(desk) == []


# A decision of before that did not say that it was late


@pytest.mark.parametrize(
    ("later", "is_noted"), [(TOLERANCE, False), (TOLERANCE + MICROSECOND, True), (timedelta(days=150), True)]
)
def test_a_withdrawal_of_the_first_form_with_a_later_mark_is_noted(
    tmp_path: Path, later: timedelta, is_noted: bool
) -> None:
    at, marked = NOW, NOW + later
    with open_keeper(tmp_path) as keeper:
        open_desk(keeper)
        it_is(keeper, marked)
        keeper.append(BOOK, event("mark", asset="XRP", price="3", price_source="later", at=time_text(marked)))
        inject(keeper, BOOK, Movement("1"))  # so that the withdrawal is late
        it_is(keeper, marked + timedelta(minutes=6))
        done = withdraw(keeper, BOOK, Movement("10", at=time_text(at)), late=True)
        assert done.outcome is not None
        version = done.outcome.version
        assert notes(keeper, marked) == []  # it says that it is late

    def of_before(fields: dict[str, Any]) -> None:
        assert fields["type"] == "withdrawal/3"
        fields["type"] = "withdrawal/1"
        assert fields["evidence"].pop("late")["decided_at"]

    rewrite(tmp_path / "ledger.db", version, of_before)
    with raw_access(str(tmp_path / "ledger.db")) as raw:
        raw.execute("INSERT INTO event_types VALUES ('withdrawal', 1, '0.1.0')")
    with Bookkeeper.open(str(tmp_path / "ledger.db")) as keeper:
        expected = (
            f"the withdrawal at version {version} of {time_text(at)} was decided with a mark of XRP of {time_text(marked)}, "
            "which is later"
        )
        assert notes(keeper, marked) == ([expected] if is_noted else [])


# Clocks that differ


@pytest.mark.parametrize(
    ("slow", "price"),
    [
        (timedelta(0), "1.5"),
        (timedelta(minutes=3), "1.5"),
        (TOLERANCE, "1.5"),
        (TOLERANCE + MICROSECOND, "1.3998"),
        (timedelta(minutes=50), "1.3998"),
    ],
)
def test_a_slow_clock_sees_the_newest_mark_until_it_is_too_slow(desk: Bookkeeper, slow: timedelta, price: str) -> None:
    """Of a decision without a time, and of a view: the tolerance is one."""
    now = NOW - slow
    assert view_at(desk.database, BOOK, now=now).state.marks["XRP"].price == Decimal(price)
    it_is(desk, now)
    for dry_run in (True, False):
        done = withdraw(desk, BOOK, Movement("1"), dry_run=dry_run, max_mark_age=timedelta(hours=2))
        assert done.plan is not None
        (mark,) = done.plan.evidence.marks
        assert mark.price == Decimal(price)
    assert notes(desk, NOW) == []


def test_a_mark_that_is_passed_over_does_not_make_an_old_one_fresh(desk: Bookkeeper) -> None:
    it_is(desk, NOW - timedelta(minutes=6))
    with pytest.raises(Refused, match="mark_stale"):
        withdraw(desk, BOOK, Movement("1"))


def test_a_decision_with_a_time_of_its_own_uses_only_what_was_so_then(desk: Bookkeeper) -> None:
    """No tolerance: its time was given, and not read from a clock."""
    ages = timedelta(hours=2)
    for at, price in ((NOW - MICROSECOND, "1.3998"), (NOW, "1.5")):
        done = withdraw(desk, BOOK, Movement("1", at=time_text(at)), max_mark_age=ages, dry_run=True)
        assert done.plan is not None
        assert [mark.price for mark in done.plan.evidence.marks] == [Decimal(price)]


def test_a_mark_that_is_ahead_and_reversed_leaves_the_one_before(desk: Bookkeeper) -> None:
    """Reversed ones are passed over, ahead or not."""
    it_is(desk, NOW + timedelta(days=1))
    for _ in range(2):
        desk.append(BOOK, event("mark", asset="XRP", price="99"))
    it_is(desk, NOW)
    for version in (7, 6):
        desk.append(BOOK, event("reversal", reverses=version))
    for now, price in ((NOW, "1.3998"), (NOW + timedelta(days=2), "99")):
        assert view_at(desk.database, BOOK, now=now).state.marks["XRP"].price == Decimal(price)
    desk.append(BOOK, event("reversal", reverses=8))
    assert view_at(desk.database, BOOK, now=NOW + timedelta(days=2)).state.marks["XRP"].price == Decimal("1.3998")
    assert notes(desk) == []
