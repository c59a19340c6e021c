"""DuckDB itself: what becomes of a signal during a statement."""

from __future__ import annotations

import signal
from types import FrameType

import pytest

pytest.importorskip("duckdb", reason="the extra netbasis[columns] is not installed")

from engine.columns.duck import Duck, duckdb_session

LONG = "SELECT sum(hash(range::VARCHAR) % 7) AS total FROM range(10_000_000)"


def interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def run_and_interrupt(duck: Duck) -> None:
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    duck.rows(LONG)


def test_a_ctrl_c_during_a_statement_is_one() -> None:
    with duckdb_session() as duck:
        before = signal.signal(signal.SIGALRM, interrupt)
        try:
            with pytest.raises(KeyboardInterrupt):
                run_and_interrupt(duck)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert [row.one for row in duck.rows("SELECT 1 AS one")] == [1]
