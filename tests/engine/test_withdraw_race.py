"""Two long-lived processes withdraw against each other: never are both classified against one state.

Both stand at a barrier before each round, so that they ask for the book at the same moment, each having kept what the book
added up to when it last looked. Profit runs out half-way, so that a stale look would take profit that is gone.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from engine.bookkeeper import Bookkeeper
from engine.capital import Movement, inject, withdraw
from engine.proof.check import check
from ledger.events import Opened, Withdrawal
from tests.postgres_support import fresh_database, url_of
from tests.support import BOOK, SequentialIds, TickingClock, event, ledger_file, log_of

ROUNDS = 60
WRITERS = 2
GIVE_UP_S = 60  # a process that hangs fails the test; nothing depends on how long a round takes


@contextmanager
def side(ledger: str, start: Barrier) -> Iterator[Bookkeeper]:
    """One process's side: one open bookkeeper for all rounds. When it fails, the other side is not kept waiting."""
    try:
        with Bookkeeper.open(ledger) as keeper:
            yield keeper
    except BaseException:
        start.abort()
        raise


def withdraw_in_rounds(ledger: str, start: Barrier) -> None:
    """One withdrawal of 1 in each round."""
    with side(ledger, start) as keeper:
        for _ in range(ROUNDS):
            start.wait(GIVE_UP_S)
            withdraw(keeper, BOOK, Movement("1"))


def inject_in_rounds(ledger: str, start: Barrier) -> None:
    """One injection of 1 in each round."""
    with side(ledger, start) as keeper:
        for _ in range(ROUNDS):
            start.wait(GIVE_UP_S)
            inject(keeper, BOOK, Movement("1"))


def run_against_each_other(ledger: str, *programs: object) -> None:
    """Run the programs as processes that share nothing but a barrier; all of them must end well."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    start = context.Barrier(len(programs))
    processes = [
        context.Process(target=program, args=(ledger, start))  # type: ignore[arg-type]
        for program in programs
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(GIVE_UP_S)
        process.kill()  # one that hangs; no harm to one that has ended
        process.join()
    assert [process.exitcode for process in processes] == [0] * len(programs)


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A migrated database without a book."""
    return str(ledger_file(tmp_path)) if request.param == "SQLite" else url_of(fresh_database())


def open_book(location: str, capital: int, profit: int) -> None:
    """A book at version 3: so much capital in RLUSD, and so much profit."""
    with Bookkeeper.open(location, clock=TickingClock(), new_id=SequentialIds(1000)) as keeper:
        keeper.open_book(BOOK, Opened(mode="live"))
        keeper.append(BOOK, event("deposit", asset="RLUSD", amount=str(capital)))
        keeper.append(BOOK, event("adjustment", asset="RLUSD", amount=str(profit), reason="reward"))


def test_no_two_withdrawals_are_classified_against_one_state(location: str) -> None:
    open_book(location, capital=2 * ROUNDS, profit=ROUNDS)
    run_against_each_other(location, withdraw_in_rounds, withdraw_in_rounds)
    with Bookkeeper.open(location, "read") as keeper:
        log, view = log_of(keeper, after=3), keeper.view(BOOK)
        checked = check(keeper.database, BOOK)
    assert checked.findings == []
    assert [stored.version for stored in log] == list(range(4, 4 + WRITERS * ROUNDS))
    equity, basis = Decimal(3 * ROUNDS), Decimal(2 * ROUNDS)
    for stored in log:
        taken = stored.event
        assert isinstance(taken, Withdrawal)
        assert taken.evidence is not None
        assert (taken.evidence.equity_before, taken.evidence.basis_before) == (equity, basis)
        assert taken.evidence.profit == (1 if equity > basis else 0)
        equity -= 1
        basis += taken.basis_delta
    assert equity == basis == ROUNDS
    assert view.state.basis.withdrawn_profit == ROUNDS
    assert view.state.basis.net_basis == ROUNDS


def test_a_withdrawal_sees_each_injection_that_came_before_it(tmp_path: Path) -> None:
    """Equity stays below the basis, so each withdrawal of 1 is principal, and each injection of 1 makes up for one."""
    location = str(ledger_file(tmp_path))
    open_book(location, capital=2 * ROUNDS, profit=-ROUNDS)
    run_against_each_other(location, withdraw_in_rounds, inject_in_rounds)
    with Bookkeeper.open(location, "read") as keeper:
        assert check(keeper.database, BOOK).findings == []
        view = keeper.view(BOOK)
    assert view.head.version == 3 + 2 * ROUNDS
    assert view.state.basis.net_basis == 2 * ROUNDS
    assert view.state.basis.withdrawn_profit == 0
    assert view.state.inventory.balance("RLUSD") == ROUNDS
