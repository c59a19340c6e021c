"""The paper session: the same as an obvious loop, the same however it is stopped, and never beside the ledger."""

from __future__ import annotations

import gzip
import logging
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest

from engine.bookkeeper import Bookkeeper
from engine.capital import Movement, inject, withdraw
from engine.paper import session as paper_session
from engine.paper.events import default_session
from engine.paper.session import SESSION_CHARACTERS, run_session
from engine.paper.tape import read_tape
from engine.proof.check import check
from engine.reports.summarising import summarise
from engine.views import RegisterFilter, register
from ledger.amounts import total
from ledger.errors import Refusal, Refused, StorageError, StorageFault, VersionPassed
from ledger.events import Opened
from tests.engine.paper.paper_model import Model, Row
from tests.engine.paper.paper_support import (
    REAL_TAPE,
    SESSION,
    bodies,
    open_paper,
    run_all,
    run_and_kill,
    strategy,
    trades,
    wandering,
    write_tape,
)
from tests.ledger.database.store_support import require_projections_match
from tests.support import BOOK, event, log_of, open_keeper

ROWS, AT_ONCE = 500, 100
NINE = "2026-01-05T09:00:"


def recorded(keeper: Bookkeeper, session: str = SESSION) -> list[Row]:
    """What a session recorded, as the model says it."""
    return [_row(body) for body in bodies(keeper) if body.get("session_id") == session]


def _row(body: dict[str, object]) -> Row:
    row = int(str(body["key"]).split(":")[2])
    if body["type"] == "mark/1":
        return "mark", row, str(body["price"]), "", ""
    base, quote, fee = (str(body[name]) for name in ("base_amount", "quote_amount", "fee_amount"))
    return str(body["side"]), row, base, quote, fee


def stop_after(lots: int) -> Callable[[], bool]:
    """Asks for an end after so many lots of rows."""
    asked = iter(range(lots + 1))
    return lambda: next(asked) == lots


def meanwhile(lot: int, act: Callable[[], object]) -> Callable[[], bool]:
    """Does something before a lot of rows, as somebody else might; never asks for an end."""
    asked = iter(range(10**6))

    def should_stop() -> bool:
        if next(asked) == lot:
            act()
        return False

    return should_stop


@pytest.fixture(autouse=True)
def _few_rows_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that short tapes are several transactions."""
    monkeypatch.setattr(paper_session, "ROWS_AT_ONCE", AT_ONCE)


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    """A tape that wanders."""
    return write_tape(tmp_path, wandering(ROWS))


@pytest.fixture
def paper(tmp_path: Path) -> Iterator[Bookkeeper]:
    """A paper book with 85 RLUSD and 39.27 XRP, at version 3."""
    with open_paper(tmp_path) as keeper:
        yield keeper


# ---- what is recorded


@pytest.mark.parametrize(
    ("seed", "settings"),
    [
        (1, {}),
        (2, {"maker_fee_bps": "2"}),
        (3, {"maker_fee_bps": "-1", "half_spread_bps": "3"}),
        (4, {"anchor_window_s": "60", "anchor_max_divergence_bps": "3", "mark_interval_s": "60"}),
        (5, {"base_size_rlusd": "40", "max_rlusd_exposure": "100"}),
    ],
)
def test_a_session_records_what_an_obvious_loop_makes(
    seed: int, settings: dict[str, Any], tmp_path: Path, location: str
) -> None:
    text, plan = wandering(ROWS, seed), strategy(**settings)
    model = Model(plan, rlusd="85", xrp="39.27")
    expected = model.run(text)
    assert sum(side != "mark" for side, *_ in expected) > 20, "the tape fills too little to prove anything"
    with open_paper(tmp_path, location=location) as keeper:
        done = run_all(keeper, write_tape(tmp_path, text), plan)
        assert recorded(keeper) == expected
        inventory = keeper.view(BOOK).state.inventory
        assert (
            inventory.balance("RLUSD")
            == done.balances.quote
            == Decimal(model.rlusd.numerator) / model.rlusd.denominator
        )
        assert inventory.balance("XRP") == done.balances.base
        assert check(keeper.database, BOOK).ok


def test_the_fields_of_a_fill_and_of_a_mark(paper: Bookkeeper, tmp_path: Path) -> None:
    tape = write_tape(tmp_path, trades((0, "1.33", "9"), (5, "1.32", "7.0000009"), (9, "1.32", "1")))
    run_all(paper, tape, strategy(maker_fee_bps="2"))
    prefix = f"s:{read_tape(tape).sha256[:16]}:00000000000"
    common = {"book": BOOK, "session_id": SESSION}
    first, bought, last = bodies(paper)[3:]
    price = {"type": "mark/1", "asset": "XRP", "price_source": "tape"}
    assert first == common | price | {
        "at": "2026-01-05T09:00:00.000000Z",
        "key": f"{prefix}2:mark",
        "price": "1.33",
        "version": 4,
    }
    assert bought == common | {
        "type": "fill/2",
        "at": "2026-01-05T09:00:05.000000Z",
        "key": f"{prefix}3:buy",
        "version": 5,
        "side": "buy",
        "base_asset": "XRP",
        "base_amount": "7",
        "quote_asset": "RLUSD",
        "quote_amount": "9.305345",
        "fee_asset": "RLUSD",
        "fee_amount": "0.001861069",
        "liquidity": "maker",
    }
    assert last["key"] == f"{prefix}4:mark"


def test_no_fee_is_a_fee_of_nothing_and_not_an_unknown_one(paper: Bookkeeper, tape: Path) -> None:
    run_all(paper, tape)
    assert {fee for side, *_, fee in recorded(paper) if side != "mark"} == {"0"}
    assert paper.view(BOOK).state.fees.unknown == 0


def test_a_tape_of_the_top_of_the_book_is_traded(paper: Bookkeeper, tmp_path: Path) -> None:
    rows = ("at,bid,ask", f"{NINE}00Z,1.3299,1.3301", f"{NINE}01Z,1.3280,1.3290", f"{NINE}02Z,1.33,1.34")
    run_all(paper, write_tape(tmp_path, "\n".join(rows)))
    assert [row[:3] for row in recorded(paper)] == [
        ("mark", 2, "1.33"),
        ("buy", 3, "11.283837"),  # 15 ÷ (1.33 × 0.9995), filled by the ask of 1.329
        ("sell", 4, "11.285286"),  # at 1.3285 × 1.0005, by the bid of 1.33
        ("mark", 4, "1.335"),
    ]


def test_the_same_again_gives_the_same_bodies(tape: Path, tmp_path: Path) -> None:
    """Another file name, compressed, and other clocks: nothing but the text, the strategy and the balances goes in."""
    compressed = tmp_path / "other.gz"
    compressed.write_bytes(gzip.compress(tape.read_bytes()))
    with open_paper(tmp_path) as one, open_paper(tmp_path, name="two.db") as two:
        run_all(one, tape)
        two.now()
        run_all(two, compressed)
        assert bodies(one) == bodies(two)


def test_how_many_rows_a_transaction_takes_changes_nothing(
    paper: Bookkeeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tape = write_tape(tmp_path, wandering(200))
    run_all(paper, tape)
    for rows in (1, 7, 250):
        monkeypatch.setattr(paper_session, "ROWS_AT_ONCE", rows)
        with open_paper(tmp_path, name=f"{rows}.db") as other:
            run_all(other, tape)
            assert bodies(paper) == bodies(other), rows


def test_fills_are_recorded_in_small_transactions(paper: Bookkeeper, tape: Path) -> None:
    """Events of a transaction are recorded at the same time; the clock moves on with each."""
    run_all(paper, tape)
    times = {stored.recorded_at for stored in log_of(paper, after=3)}
    assert len(times) == -(-ROWS // AT_ONCE)


def test_without_capital_nothing_is_traded_and_the_marks_are_there(tape: Path, tmp_path: Path, location: str) -> None:
    with open_paper(tmp_path, location=location, rlusd=None, xrp=None) as keeper:
        done = run_all(keeper, tape)
        assert (done.fills, done.is_finished) == (0, True)
        assert {side for side, *_ in recorded(keeper)} == {"mark"}


# ---- stopped and started again


def test_a_session_that_is_done_has_nothing_left(paper: Bookkeeper, tape: Path) -> None:
    run_all(paper, tape)
    before = paper.view(BOOK).head
    again = run_all(paper, tape)
    assert (again.fills, again.marks, again.resumed_after, again.is_finished) == (0, 0, ROWS + 1, True)
    assert paper.view(BOOK).head == before


def test_a_session_that_is_done_stays_so_when_capital_comes_in_later(paper: Bookkeeper, tape: Path) -> None:
    run_all(paper, tape)
    inject(paper, BOOK, Movement("1000"))
    assert run_all(paper, tape).fills == 0


def test_an_end_that_is_asked_for_comes_between_transactions(paper: Bookkeeper, tape: Path, tmp_path: Path) -> None:
    run_all(paper, tape)
    for lots in (0, 1, 4):
        with open_paper(tmp_path, name=f"{lots}.db") as other:
            done = run_session(other, BOOK, tape, strategy(), SESSION, should_stop=stop_after(lots))
            assert (done.row, done.is_finished) == (lots * AT_ONCE + 1 if lots else 0, False)
            assert check(other.database, BOOK).ok
            run_all(other, tape)
            assert bodies(paper) == bodies(other), lots


def test_stopped_after_any_row_it_goes_on_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stood when it stopped is filled by the very next row; the anchor knows the rows before."""
    random = Random(5)  # noqa: S311 - repeatable, not secret
    rows = [(20 * row, f"1.3{random.randrange(200, 400)}", "30") for row in range(16)]
    tape, plan = write_tape(tmp_path, trades(*rows)), strategy(anchor_max_divergence_bps="35")
    with open_paper(tmp_path) as one:
        one.database.backup_to(opened := sqlite3.connect(tmp_path / "opened.db"))
        opened.close()
        run_all(one, tape, plan)
        expected = bodies(one)
        assert {side for side, *_ in recorded(one)} == {"buy", "sell", "mark"}
        assert len(expected) > len(rows) / 2
    for cut in range(1, len(rows)):
        path = shutil.copy(tmp_path / "opened.db", tmp_path / f"{cut}.db")
        with Bookkeeper.open(str(path)) as two:
            monkeypatch.setattr(paper_session, "ROWS_AT_ONCE", cut)
            assert not run_session(two, BOOK, tape, plan, SESSION, should_stop=stop_after(1)).is_finished
            monkeypatch.undo()
            run_all(two, tape, plan)
            assert bodies(two) == expected, f"cut after row {cut + 1}"


def test_killed_at_any_event_a_session_goes_on_with_nothing_twice_and_nothing_missing(tmp_path: Path) -> None:
    """SIGKILL in the middle of transactions, at the first event and at some that a seed chooses; then it runs to its end."""
    random = Random(7)  # noqa: S311 - repeatable, not secret
    tape = write_tape(tmp_path, wandering(2 * ROWS))
    with open_paper(tmp_path) as one:
        run_all(one, tape)
        expected = bodies(one)
    open_paper(tmp_path, name="killed.db").close()
    ledger, versions = tmp_path / "killed.db", []
    for events in (0, *random.sample(range(20, 60), 4)):
        assert run_and_kill(ledger, tape, events) == -signal.SIGKILL
        with Bookkeeper.open(str(ledger)) as keeper:
            versions.append(keeper.view(BOOK).head.version)
            assert bodies(keeper) == expected[: versions[-1]]
            require_projections_match(keeper)
    assert versions[0] == 3 < versions[-1] < len(expected)
    with Bookkeeper.open(str(ledger)) as keeper:
        assert run_all(keeper, tape).resumed_after > 0
        assert bodies(keeper) == expected
        assert check(keeper.database, BOOK).ok


def test_a_correction_of_an_early_fill_does_not_set_the_session_back(paper: Bookkeeper, tape: Path) -> None:
    """The newest event of the session is then of an early row, under a key that begins as the session's own do."""
    run_session(paper, BOOK, tape, strategy(), SESSION, should_stop=stop_after(2))
    stored = log_of(paper)
    early = next(each for each in stored if each.type == "fill")
    paper.append(BOOK, event("reversal", reverses=early.version))
    fields = {name: value for name, value in early.event.model_dump().items() if value is not None}
    paper.append(BOOK, type(early.event).model_validate(fields | {"corrects": early.version, "key": f"{early.key}#2"}))
    done = run_all(paper, tape)
    assert done.resumed_after == int(stored[-1].key.split(":")[2])
    rows = [row for _, row, *_ in recorded(paper) if row != int(early.key.split(":")[2])]
    assert rows == sorted(rows), "only the correction stands out of order"


def test_the_rows_are_those_of_this_tape_and_this_session(paper: Bookkeeper, tape: Path, tmp_path: Path) -> None:
    """A session may go on to another tape, and a tape may be traded by another session; neither skips a row."""
    other = write_tape(tmp_path, wandering(300, seed=9), "other.csv")
    first = run_all(paper, tape, session="a")
    for path, session in ((other, "a"), (tape, "b"), (tape, "a:x"), (other, None)):
        done = run_session(paper, BOOK, path, strategy(), session)
        assert (done.resumed_after, done.is_finished) == (0, True)
    assert run_all(paper, tape, session="a").resumed_after == first.row
    assert done.session == default_session(read_tape(other))
    assert check(paper.database, BOOK).ok


def test_a_session_whose_name_goes_on_like_anothers_key_is_another(tmp_path: Path, location: str) -> None:
    """Keys are texts: where the hash begins with a digit, the keys of `a:<hash>` lie among those that `a` may have."""
    for seed in range(100):
        tape = write_tape(tmp_path, wandering(20, seed))
        digits = read_tape(tape).sha256[:16]
        if digits[0] in "12345678":
            break
    with open_paper(tmp_path, location=location) as keeper:
        run_all(keeper, tape, session=f"a:{digits}")
        done = run_all(keeper, tape, session="a")
        assert (done.resumed_after, done.marks) == (0, 2)


# ---- somebody else writes


def test_capital_that_comes_in_meanwhile_is_traded_with(tape: Path, tmp_path: Path, location: str) -> None:
    """Nothing is there to trade with; then somebody injects, between the balances being read and the rows being recorded."""
    with open_paper(tmp_path, location=location, rlusd=None, xrp=None) as keeper, Bookkeeper.open(location) as other:
        done = run_session(
            keeper,
            BOOK,
            tape,
            strategy(),
            SESSION,
            should_stop=meanwhile(1, lambda: inject(other, BOOK, Movement("85"))),
        )
        fills = [row for side, row, *_ in recorded(keeper) if side != "mark"]
        assert fills
        assert min(fills) > AT_ONCE
        assert min(fills) <= 2 * AT_ONCE, "the very rows that were in hand are taken again"
        assert keeper.view(BOOK).state.inventory.balance("RLUSD") == done.balances.quote
        assert check(keeper.database, BOOK).ok


def test_capital_that_comes_in_while_there_is_nothing_to_record_is_seen(tmp_path: Path, location: str) -> None:
    """Rows that make no event are recorded by nobody, and those in hand are taken again all the same."""
    rows = [(seconds, "1.33" if seconds < 400 else "1.32", "50") for seconds in range(600)]
    tape, plan = write_tape(tmp_path, trades(*rows)), strategy(anchor_max_divergence_bps="1000")
    with open_paper(tmp_path, location=location, rlusd=None, xrp=None) as keeper, Bookkeeper.open(location) as other:
        act = meanwhile(1, lambda: inject(other, BOOK, Movement("85")))
        run_session(keeper, BOOK, tape, plan, SESSION, should_stop=act)
        assert [row[:2] for row in recorded(keeper)] == [("mark", 2), ("buy", 402), ("mark", 601)]


def test_capital_that_goes_out_meanwhile_is_not_traded_with(tape: Path, tmp_path: Path, location: str) -> None:
    with open_paper(tmp_path, location=location, xrp=None) as keeper, Bookkeeper.open(location) as other:

        def take_all() -> None:
            everything = str(other.view(BOOK).state.inventory.balance("RLUSD"))
            withdraw(other, BOOK, Movement(everything), max_mark_age=timedelta(days=99_999))

        run_session(keeper, BOOK, tape, strategy(), SESSION, should_stop=meanwhile(2, take_all))
        with register(keeper.database, BOOK) as (_, _, rows):
            assert all(row.balance is not None and row.balance >= 0 for row in rows)
        assert check(keeper.database, BOOK).ok


@pytest.mark.parametrize("lot", [1, 3])
def test_the_same_session_in_two_processes_is_a_conflict(lot: int, tape: Path, tmp_path: Path) -> None:
    with open_paper(tmp_path, name="one.db") as one:
        run_all(one, tape)
        expected = bodies(one)
    with open_paper(tmp_path) as keeper, Bookkeeper.open(str(tmp_path / "ledger.db")) as other:
        act = meanwhile(lot, lambda: run_all(other, tape))
        with pytest.raises(VersionPassed) as passed:
            run_session(keeper, BOOK, tape, strategy(), SESSION, should_stop=act)
        assert "another process runs the session 's'" in str(passed.value)
        assert bodies(keeper) == expected


def test_what_another_process_does_with_the_same_rows_is_found_even_when_it_left_the_same(
    tmp_path: Path, location: str
) -> None:
    """It recorded the very events that are in hand, and was stopped: they exist, and the version is another."""
    rows = [(seconds, "1.33", "50") for seconds in range(0, 4000, 4)]
    tape, plan = write_tape(tmp_path, trades(*rows)), strategy(mark_interval_s="100")
    with open_paper(tmp_path, location=location) as keeper, Bookkeeper.open(location) as other:

        def one_lot() -> None:
            run_session(other, BOOK, tape, plan, SESSION, should_stop=stop_after(1))

        with pytest.raises(VersionPassed):
            run_session(keeper, BOOK, tape, plan, SESSION, should_stop=meanwhile(1, one_lot))


# ---- what is refused, and that nothing is left of it


def test_a_live_book_is_refused_and_left_as_it_is(tape: Path, tmp_path: Path) -> None:
    with open_keeper(tmp_path) as keeper:
        keeper.append(BOOK, event("deposit", asset="RLUSD", amount="85"))
        before = bodies(keeper)
        with pytest.raises(Refused) as refused:
            run_all(keeper, tape)
        assert refused.value.refusal is Refusal.BOOK_IS_LIVE
        assert bodies(keeper) == before


def test_a_paper_session_and_a_live_book_in_one_database_do_not_touch_each_other(tape: Path, tmp_path: Path) -> None:
    """The live book trades on while the session runs: neither has an event, a version or a balance of the other."""
    with open_paper(tmp_path, name="alone.db") as alone:
        run_all(alone, tape)
        expected = bodies(alone)
    with open_paper(tmp_path) as keeper, Bookkeeper.open(str(tmp_path / "ledger.db")) as desk:
        keeper.open_book("live", Opened(mode="live"))
        keeper.append("live", event("deposit", asset="RLUSD", amount="500", key="d"))

        def trade_live() -> None:
            fields = {"base_asset": "XRP", "base_amount": "3", "quote_asset": "RLUSD", "quote_amount": "4"}
            desk.append("live", event("fill", side="buy", session_id=SESSION, key="s:live", **fields))

        done = run_session(keeper, BOOK, tape, strategy(), SESSION, should_stop=meanwhile(2, trade_live))
        assert done.is_finished
        assert bodies(keeper) == expected
        live = keeper.view("live")
        assert live.head.version == 3
        assert (live.state.inventory.balance("RLUSD"), live.state.inventory.balance("XRP")) == (
            Decimal(496),
            Decimal(3),
        )
        assert summarise(keeper.database, "live", SESSION).fills.count == 1
        assert check(keeper.database, BOOK).ok
        assert check(keeper.database, "live").ok


def test_a_tape_that_ends_in_rubbish_is_refused_before_its_first_row(paper: Bookkeeper, tape: Path) -> None:
    with tape.open("a") as file:
        file.write("rubbish\n")
    with pytest.raises(Refused) as refused:
        run_all(paper, tape)
    assert (refused.value.refusal, refused.value.where) == (Refusal.TAPE_MALFORMED, f"'tape.csv' line {ROWS + 2}")
    assert paper.view(BOOK).head.version == 3


def test_a_damaged_file_stops_the_session_before_anything_is_written(tape: Path, tmp_path: Path) -> None:
    """Damage that no read on the session's way would meet: a page of an index that it does not use."""
    open_paper(tmp_path).close()
    path = tmp_path / "ledger.db"
    with closing(sqlite3.connect(path)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'idx_events_capital'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    damaged = bytearray(path.read_bytes())
    damaged[(page - 1) * size : page * size] = bytes(size)
    path.write_bytes(damaged)
    with Bookkeeper.open(str(path)) as keeper, pytest.raises(StorageError) as fault:
        run_all(keeper, tape)
    assert fault.value.fault is StorageFault.DATABASE_DAMAGED
    assert path.read_bytes() == damaged


@pytest.mark.parametrize(
    ("session", "refusal"),
    [
        ("", Refusal.TEXT_EMPTY),
        ("s" * (SESSION_CHARACTERS + 1), Refusal.TEXT_TOO_LONG),
        ("a\nb", Refusal.TEXT_HAS_CONTROL_CHARACTER),
    ],
)
def test_a_session_has_a_name(session: str, refusal: Refusal, paper: Bookkeeper, tape: Path) -> None:
    with pytest.raises(Refused) as refused:
        run_all(paper, tape, session=session)
    assert refused.value.refusal is refusal
    assert paper.view(BOOK).head.version == 3


def test_the_longest_name_and_the_oddest_signs_are_a_name(paper: Bookkeeper, tmp_path: Path) -> None:
    tape = write_tape(tmp_path, wandering(60))
    for session in ("s" * SESSION_CHARACTERS, "%_'\";--", "…/../\\"):
        assert run_all(paper, tape, session=session).resumed_after == 0
        assert run_all(paper, tape, session=session).resumed_after == 61


# ---- the log of why nothing was quoted


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str, dict[str, Any]]]:
    """Level, name and fields of the records on quotes."""
    found = [(each.levelname, each.getMessage(), vars(each)["fields"]) for each in caplog.records]
    return [record for record in found if record[1].startswith("no_")]


def test_no_quotes_are_a_warning_once_per_reason_and_interval(
    tmp_path: Path, location: str, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [(seconds, "1.33", "1") for seconds in range(0, 1000, 10)]
    tape = write_tape(tmp_path, trades(*rows))
    caplog.set_level(logging.INFO, "netbasis")
    with open_paper(tmp_path, location=location, rlusd=None, xrp=None) as keeper:
        done = run_all(keeper, tape, strategy(log_interval_s="300"))
    records = said(caplog)
    assert [(level, name) for level, name, _ in records] == [("WARNING", "no_quotes")] * 4
    assert [(fields["bid"], fields["ask"]) for *_, fields in records] == [("quote_balance", "base_balance")] * 4
    assert [fields["row"] for *_, fields in records] == [2, 32, 62, 92]
    assert {(side, str(reason)): count for (side, reason), count in done.idle_rows.items()} == {
        ("bid", "quote_balance"): 100,
        ("ask", "base_balance"): 100,
    }


def test_one_side_without_a_quote_is_information(
    tmp_path: Path, location: str, caplog: pytest.LogCaptureFixture
) -> None:
    tape = write_tape(tmp_path, trades((0, "1.33", "1"), (1, "1.33", "1")))
    caplog.set_level(logging.INFO, "netbasis")
    with open_paper(tmp_path, location=location, rlusd="110", xrp="100") as keeper:
        run_all(keeper, tape)
    ((level, name, fields),) = said(caplog)
    assert (level, name, str(fields["reason"]), fields["quote_balance"]) == ("INFO", "no_ask", "exposure_limit", 110)


def test_another_reason_is_said_at_once_and_the_first_is_not_said_again(
    tmp_path: Path, location: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The exposure limit; divergence; none diverges, so the limit again; divergence again; all within the interval."""
    rows = [(0, "1.33", "100"), (1, "1.34", "1"), (2, "1.33", "1"), (3, "1.34", "1")]
    caplog.set_level(logging.INFO, "netbasis")
    with open_paper(tmp_path, location=location, rlusd="110", xrp="100") as keeper:
        done = run_all(keeper, write_tape(tmp_path, trades(*rows)))
    limit, divergence = said(caplog)
    assert (limit[1], str(limit[2]["reason"]), limit[2]["row"]) == ("no_ask", "exposure_limit", 2)
    assert (divergence[1], str(divergence[2]["bid"]), divergence[2]["row"]) == ("no_quotes", "anchor_divergence", 3)
    assert {(side, str(reason)): count for (side, reason), count in done.idle_rows.items()} == {
        ("ask", "exposure_limit"): 2,
        ("bid", "anchor_divergence"): 2,
        ("ask", "anchor_divergence"): 2,
    }


def test_a_library_caller_who_sets_up_no_logging_gets_none(
    paper: Bookkeeper, tape: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run_all(paper, tape)
    assert capfd.readouterr() == ("", "")


# ---- the real tape


@pytest.mark.skipif(not REAL_TAPE.exists(), reason="the real tape is not beside this checkout")
def test_on_a_real_tape_the_summary_ties_to_the_register(tmp_path: Path, location: str) -> None:
    """Its first 4,000 rows, killed on the way by an end that is asked for; to the last digit."""
    text = gzip.decompress(REAL_TAPE.read_bytes()).decode()
    tape = write_tape(tmp_path, "\n".join(text.splitlines()[:4001]))
    plan = strategy(maker_fee_bps="0.7")
    with open_paper(tmp_path, location=location, xrp="154.27") as keeper:
        run_session(keeper, BOOK, tape, plan, SESSION, should_stop=stop_after(5))
        run_all(keeper, tape, plan)
        checked = check(keeper.database, BOOK)
        assert (checked.ok, checked.notes) == (True, [])
        found = summarise(keeper.database, BOOK, SESSION)
        with register(keeper.database, BOOK, shown=RegisterFilter(session=SESSION)) as (_, _, rows):
            postings = [(row.version, row.asset, row.delta) for row in rows if row.delta is not None]
        with register(keeper.database, BOOK) as (_, _, rows):
            balances = {row.asset: row.balance for row in rows}
    assert found.fills.count == len({version for version, _, _ in postings}) > 300
    for asset in ("RLUSD", "XRP"):
        assert found.fills.moved[asset] == total(delta for _, moved, delta in postings if moved == asset)
        assert found.view.state.inventory.balance(asset) == balances[asset]
        assert found.view.state.inventory[asset].fills == found.fills.moved[asset]
    assert found.fills.volumes["buy", "XRP", "RLUSD"].base_amount == total(
        delta for _, moved, delta in postings if moved == "XRP" and delta > 0
    )
    assert found.fills.fees["RLUSD"] > 0
