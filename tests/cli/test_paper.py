"""`netbasis paper run`: what it prints and logs, its exit codes, and signals at any point."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest

from engine.bookkeeper import Bookkeeper
from engine.proof.check import check
from ledger.amounts import amount_text
from tests.cli_support import ON_A_FILE, Cli, Ran, assert_refused
from tests.engine.paper.paper_support import (
    GIVE_UP_S,
    bodies,
    open_paper,
    run_all,
    strategy,
    trades,
    wandering,
    write_tape,
)
from tests.script_server import ForkedScript
from tests.support import BOOK, ROOT

CONFIG = "strategy: {base_size_rlusd: 15.0, max_rlusd_exposure: 120, anchor_max_divergence_bps: 10.0}\n"
PIPE_BYTES = 4096
ROWS = 5_000  # so many that their debug lines do not fit into the pipe: the process waits for its reader


@pytest.fixture
def desk(empty_cli: Cli, tmp_path: Path) -> Cli:
    """A folder with a paper book of 85 RLUSD and 39.27 XRP, a tape of 600 rows, and a configuration."""
    open_paper(tmp_path, location=empty_cli.location).close()
    write_tape(tmp_path, wandering(600))
    empty_cli.write("paper.yaml", CONFIG)
    return empty_cli


def paper(desk: Cli, *more: str) -> Ran:
    """`paper run` on the folder's tape, in this process."""
    files = "--tape", str(desk.folder / "tape.csv"), "--config", str(desk.folder / "paper.yaml")
    return desk.here("paper", "run", *files, *more)


def bodies_of(location: str) -> list[dict[str, object]]:
    """The lasting part of the log, which must hold."""
    with Bookkeeper.open(location) as keeper:
        assert check(keeper.database, BOOK).ok
        return bodies(keeper)


@pytest.mark.both_engines
def test_a_run_through_the_script(desk: Cli) -> None:
    ran = desk.run("paper", "run", "--tape", "tape.csv", "--config", "paper.yaml", "--session", "monday")
    assert ran.code == 0
    assert ran.lines[0] == "session monday: the tape was traded to its end"
    assert ran.lines[1].endswith(f"version {desk.head()}")
    again = desk.run("paper", "run", "--tape", "tape.csv", "--config", "paper.yaml", "--session", "monday")
    assert again.lines[0] == "continued after row 601, where an earlier run had stopped"
    assert again.lines[2].startswith("0 fills and 0 marks recorded")


def test_the_document(desk: Cli) -> None:
    with open_paper(desk.folder, name="other.db") as keeper:
        expected = run_all(keeper, desk.folder / "tape.csv", strategy(), session="s")
    found = paper(desk, "--session", "s", "-O", "json").json
    assert found == {
        "book": BOOK,
        "session": "s",
        "tape_sha256": expected.tape.sha256,
        "rows": 600,
        "resumed_after_row": None,
        "row": 601,
        "finished": True,
        "fills": expected.fills,
        "marks": expected.marks,
        "base_balance": amount_text(expected.balances.base),
        "quote_balance": amount_text(expected.balances.quote),
        "idle_rows": [
            {"side": side, "reason": reason, "rows": rows}
            for (side, reason), rows in sorted(expected.idle_rows.items())
        ],
        "version": expected.version,
    }
    assert expected.fills > 30


def test_without_a_session_it_has_the_tapes_name(desk: Cli) -> None:
    document = paper(desk, "-O", "json").json
    assert document["session"] == f"paper-{document['tape_sha256'][:16]}"
    assert paper(desk, "-O", "json").json["resumed_after_row"] == 601


def test_the_log_is_structured(desk: Cli) -> None:
    text, objects = paper(desk, "--session", "a").err, paper(desk, "--session", "b", "--log-format", "json").err
    first = text.splitlines()[0].split(" ")
    assert first[:3] == ["level=info", "event=session_started", "session=a"]
    assert all(pair.count("=") == 1 for line in text.splitlines() for pair in line.split(" "))
    records = [json.loads(line) for line in objects.splitlines()]
    assert (records[0]["level"], records[0]["event"], records[0]["session"]) == ("info", "session_started", "b")
    assert [record["event"] for record in records][-1] == "session_ended"
    assert all(isinstance(record["mid"], str) for record in records if record["event"].startswith("no_"))


def test_why_there_was_no_quote_is_said_at_the_level_of_warnings(desk: Cli) -> None:
    write_tape(desk.folder, trades((0, "1.33", "100"), (1, "1.34", "1")))
    ran = paper(desk, "--log-level", "warning")
    assert ran.err == (
        "level=warning event=no_quotes bid=anchor_divergence ask=anchor_divergence at=2026-01-05T09:00:01.000000Z row=3"
        " mid=1.34 anchor=1.330099009900990099 base_balance=38.27 quote_balance=86.330665\n"
    )
    assert paper(desk, "--session", "x", "--log-level", "error").err == ""


def test_a_name_steers_no_terminal(desk: Cli) -> None:
    ran = paper(desk, "--session", "a\u202e b")
    assert "\u202e" not in ran.out + ran.err
    assert 'session="a\\\\u202e b"' in ran.err
    assert "session a\\u202e b:" in ran.out


def test_a_live_book_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    live = Cli(tmp_path)
    live.write("paper.yaml", CONFIG)
    write_tape(tmp_path, wandering(5))
    before = live.contents()
    assert_refused(paper(live), 1, "book_is_live", "--mode paper")
    assert live.contents() == before


def test_a_bad_tape_is_refused_by_its_line(desk: Cli) -> None:
    write_tape(desk.folder, wandering(300) + "2027-01-01T00:00:00Z,1.33\n")
    before = desk.contents()
    assert_refused(paper(desk), 1, "tape_malformed", "'tape.csv' line 302", "3 cells")
    assert desk.contents() == before


def test_a_bad_configuration_is_refused_by_its_line(desk: Cli) -> None:
    desk.write("paper.yaml", CONFIG.replace("15.0", "fifteen"))
    assert_refused(paper(desk), 1, "amount_malformed", "'paper.yaml' line 1", "base_size_rlusd")


def test_files_that_cannot_be_read_are_a_wrong_command_line(desk: Cli) -> None:
    os.mkfifo(desk.folder / "fifo")
    (desk.folder / "folder").mkdir()
    for tape, word in (
        ("no.csv", "No such file"),
        ("folder", "must be a file"),
        ("fifo", "must be a file"),
        ("x" * 300, ""),
    ):
        ran = desk.here("paper", "run", "--tape", str(desk.folder / tape), "--config", str(desk.folder / "paper.yaml"))
        assert_refused(ran, 2, "usage", "cannot read", word)
    for config in ("no.yaml", "folder"):
        ran = desk.here("paper", "run", "--tape", "tape.csv", "--config", str(desk.folder / config))
        assert_refused(ran, 2, "usage", "cannot read")


@ON_A_FILE
def test_a_ledger_that_is_not_there_is_not_made(desk: Cli) -> None:
    desk.db.unlink()
    assert_refused(paper(desk), 4, "database_missing")
    assert not desk.db.exists()


# ---- signals


@pytest.fixture
def long_desk(desk: Cli) -> Cli:
    """The same with a tape of many rows."""
    write_tape(desk.folder, wandering(ROWS))
    return desk


def start(desk: Cli) -> ForkedScript:
    """The run as a process that cannot come to its end before its log is read."""
    files = "--tape", "tape.csv", "--config", "paper.yaml", "--session", "s", "--log-level", "debug"
    child = desk.start("paper", "run", *files, bufsize=0)
    assert child.stderr is not None
    fcntl.fcntl(child.stderr, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return child


def read_transactions(child: ForkedScript, count: int) -> None:
    """Read the log until so many transactions were recorded."""
    assert child.stderr is not None
    while count:
        line = child.stderr.readline()
        assert line, "the run ended too early"
        count -= b"event=rows_recorded" in line


@cache
def uninterrupted() -> list[dict[str, object]]:
    """The log of a run of the same session, on the tape of many rows, that nobody stops."""
    with TemporaryDirectory() as made:
        folder = Path(made)
        with open_paper(folder) as keeper:
            run_all(keeper, write_tape(folder, wandering(ROWS)), strategy())
        return bodies_of(str(folder / "ledger.db"))


@pytest.mark.skipif(not hasattr(fcntl, "F_SETPIPE_SZ"), reason="the size of a pipe can be set on Linux only")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_cleanly_and_it_goes_on(number: signal.Signals, long_desk: Cli) -> None:
    with start(long_desk) as child:
        read_transactions(child, 2)
        child.send_signal(number)
        out, err = child.communicate(timeout=GIVE_UP_S)
    assert (child.returncode, b"Traceback" in err) == (0, False)
    assert b"run it again to go on" in out
    assert b"event=session_ended" in err
    assert not list(long_desk.folder.glob("*-wal")), "the ledger was closed"
    stopped = bodies_of(long_desk.location)
    expected = uninterrupted()
    assert stopped == expected[: len(stopped)]
    assert 3 < len(stopped) < len(expected)
    assert paper(long_desk, "--session", "s").code == 0
    assert bodies_of(long_desk.location) == expected


@pytest.mark.skipif(not hasattr(fcntl, "F_SETPIPE_SZ"), reason="the size of a pipe can be set on Linux only")
def test_killed_at_any_point_it_goes_on_with_nothing_twice_and_nothing_missing(long_desk: Cli) -> None:
    """Wherever it was when a seed's number of transactions had been logged."""
    random = Random(3)  # noqa: S311 - repeatable, not secret
    expected, so_far = uninterrupted(), 3
    for _ in range(3):
        with start(long_desk) as child:
            read_transactions(child, random.randrange(1, 6))
            child.kill()
            child.communicate(timeout=GIVE_UP_S)
        assert child.returncode == -signal.SIGKILL
        killed = bodies_of(long_desk.location)
        assert killed == expected[: len(killed)]
        assert so_far < len(killed) < len(expected)
        so_far = len(killed)
    assert paper(long_desk, "--session", "s").code == 0
    assert bodies_of(long_desk.location) == expected


# ---- the example


def test_the_example_tape_is_what_its_script_makes() -> None:
    examples = ROOT / "examples"
    done = subprocess.run(
        [sys.executable, examples / "make_tape.py"],
        capture_output=True,
        check=True,
        text=True,
        env={"PATH": os.environ["PATH"]},
    )
    assert done.stdout == (examples / "tape.csv").read_text()


@pytest.mark.parametrize("config", ["paper.yaml", "live_stage1.yaml"])
def test_the_examples_run(config: str, desk: Cli) -> None:
    examples = ROOT / "examples"
    ran = desk.here(
        "paper", "run", "--tape", str(examples / "tape.csv"), "--config", str(examples / config), "-O", "json"
    )
    assert (ran.code, ran.json["rows"], ran.json["finished"]) == (0, 600, True)
    assert ran.json["fills"] > 50
