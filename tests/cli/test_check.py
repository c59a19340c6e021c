"""`check`, and `rebuild` of what somebody changed behind the program's back."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import Any

import pytest

from engine.proof.request import NAMES
from tests.cli_support import Cli, Ran, assert_refused, deposit, ended
from tests.engines import intruding, raw_access
from tests.restartable_postgres import eventually
from tests.script_server import COMMAND_LINE

# What is found by reading the database is tried on both engines; what is said of it is the same.
both_engines = pytest.mark.both_engines

FINDING = ["invariant", "version", "expected", "actual", "difference", "detail"]


@pytest.fixture
def cli(cli: Cli) -> Cli:
    """A ledger with three deposits of 1 RLUSD, versions 2 to 4."""
    cli.append(deposit("a"), deposit("b"), deposit("c"))
    return cli


def tamper(cli: Cli, statement: str, *parameters: Any) -> None:
    """Change the ledger behind the program's back."""
    with intruding(cli.location) as raw:
        raw.execute(statement, parameters)


def head(cli: Cli) -> str:
    """The hash of the newest event, in hex."""
    digest = cli.here("head", "-O", "json").json["hash"]
    assert isinstance(digest, str)
    return digest


def assert_found(ran: Ran, *places: str) -> None:
    """The check failed; each line of its text is a finding that begins with one of the places, in order."""
    assert (ran.code, ran.err) == (1, "")
    assert [line.split(": ")[0] for line in ran.lines] == list(places)


def test_check_is_silent_when_all_holds(cli: Cli) -> None:
    assert cli.run("check") == Ran(0, "", "")


@both_engines
def test_check_as_json(cli: Cli) -> None:
    ran = cli.run("check", "-O", "json")
    assert (ran.code, ran.err, list(ran.json)) == (0, "", ["book", "version", "head", "ok", "findings", "notes"])
    assert ran.json == {"book": "main", "version": 4, "head": head(cli), "ok": True, "findings": [], "notes": []}


def test_a_note_is_no_finding(cli: Cli) -> None:
    fill = {"type": "fill", "key": "f", "side": "sell", "base_asset": "XRP", "quote_asset": "RLUSD"}
    cli.append({**fill, "base_amount": "2.5", "quote_amount": "3", "fee_asset": "XRP", "fee_amount": "0"})
    text = cli.run("check")
    assert (text.code, text.out, text.err) == (0, "", "note: the balance of XRP is negative: -2.5\n")
    document = cli.run("check", "-O", "json")
    assert (document.code, document.err) == (0, "")
    assert (document.json["ok"], document.json["notes"]) == (True, ["the balance of XRP is negative: -2.5"])


@both_engines
def test_a_changed_event_is_found_at_its_version(cli: Cli) -> None:
    tamper(cli, "UPDATE events SET asset_delta = '1000' WHERE version = 3")
    ran = cli.run("check")
    assert_found(ran, "chain at version 3")
    assert "asset_delta" in ran.out
    assert "expected 1, actual 1000" in ran.out
    document = cli.run("check", "-O", "json")
    assert (document.code, document.json["ok"], document.json["version"]) == (1, False, 4)
    assert [list(finding) for finding in document.json["findings"]] == [FINDING]
    finding = document.json["findings"][0]
    assert (finding["invariant"], finding["version"], finding["expected"], finding["actual"]) == (
        "chain",
        3,
        "1",
        "1000",
    )


@both_engines
def test_a_changed_projection_is_found_and_rebuilt(cli: Cli) -> None:
    tamper(cli, "UPDATE inventory SET total = '1000000' WHERE asset = 'RLUSD'")
    ran = cli.run("check")
    assert_found(ran, "projections_match at version 4")
    assert "inventory RLUSD.total" in ran.out
    assert "expected 3, actual 1000000, difference 999997" in ran.out
    change = {"projection": "inventory", "key": "RLUSD.total", "stored": "1000000", "rebuilt": "3"}
    damaged = cli.contents()
    dry = cli.run("rebuild", "--dry-run", "-O", "json")
    assert (dry.code, dry.json["changed"], list(dry.json["changed"][0])) == (1, [change], list(change))
    assert cli.contents() == damaged
    done = cli.run("rebuild")
    assert (done.code, done.lines[-1]) == (0, "4 events folded, 1 figure changed")
    assert done.lines[1].split() == ["inventory", "RLUSD.total", "1000000.00", "3.00"]
    assert cli.here("check").code == 0
    assert cli.here("rebuild", "--dry-run").code == 0


@both_engines
def test_projections_that_are_gone_are_rebuilt(cli: Cli) -> None:
    """They can be thrown away at any time; that they were is all that is remembered of it."""
    before = cli.contents()
    for table in ("inventory", "basis", "engine_state", "projection_heads"):
        tamper(cli, f"DELETE FROM {table}")
    assert_refused(cli.here("balance"), 4, "projections_behind", "netbasis rebuild")
    line = ("append", "deposit", "--asset", "RLUSD", "--amount", "1")
    assert_refused(cli.here(*line), 4, "projections_behind", "netbasis rebuild")
    assert cli.here("rebuild").code == 0
    assert [row for row in cli.contents() if row[0] != "projection_rebuilds"] == before


@both_engines
def test_only_what_is_named_is_checked(cli: Cli) -> None:
    tamper(cli, "UPDATE inventory SET total = '1000000' WHERE asset = 'RLUSD'")
    tamper(cli, "UPDATE events SET asset_delta = '1000' WHERE version = 3")
    assert_found(cli.here("check", "--only", "projections_match"), "projections_match at version 4")
    assert_found(cli.here("check", "--only", "chain"), "chain at version 3")
    assert_found(
        cli.here("check", "--only", "projections_match,chain"), "chain at version 3", "projections_match at version 4"
    )
    others = sorted(set(NAMES) - {"chain", "projections_match"})
    assert cli.here("check", "--only", ",".join(others)).code == 0


def test_an_expected_head_must_stand_in_the_chain(cli: Cli) -> None:
    digest = head(cli)
    printed = cli.here("head").out.strip()
    assert cli.here("check", "--expect-head", printed).code == 0
    cli.append(deposit("d"))
    # It stands there still, though it is the newest no more.
    assert cli.here("check", "--expect-head", printed).code == 0
    assert cli.here("check", "--expect-head", digest.upper()).code == 0
    ran = cli.run("check", "--expect-head", f"3:{digest}")
    assert_found(ran, "chain at version 3")
    assert digest in ran.out
    assert_found(cli.here("check", "--expect-head", "0" * 64), "chain")


@both_engines
def test_a_tail_that_was_cut_off_shows_against_a_head_that_was_kept(cli: Cli) -> None:
    kept = cli.here("head").out.strip()
    with raw_access(cli.location) as raw:
        raw.execute(f"DROP TRIGGER events_refuse_delete{' ON events' if cli.engine == 'postgres' else ''}")
        ((digest,),) = raw.execute("SELECT hash FROM events WHERE version = 3")
        raw.execute("DELETE FROM events WHERE version = 4")
        raw.execute("UPDATE books SET head_version = 3, head_hash = ?", [digest])
    assert (
        "schema: the trigger events_refuse_delete is missing on events: events can be changed" in cli.here("check").out
    )
    assert f"expected {kept.split(':')[1]}" in cli.here("check", "--expect-head", kept).out


@pytest.mark.parametrize(
    "arguments",
    [
        ("--only", "chains"),
        ("--only", "chain,"),
        ("--expect-head", "12:abc"),
        ("--expect-head", "x" * 64),
        ("--expect-head", "-1:" + "0" * 64),
        ("--expect-head", "9" * 5000 + ":" + "0" * 64),
        ("--expect-head", ""),
    ],
)
def test_a_wrong_command_line_exits_2(arguments: tuple[str, ...], cli: Cli) -> None:
    assert_refused(cli.here("check", *arguments), 2, "usage")


def test_findings_that_nobody_reads_are_findings(cli: Cli) -> None:
    """`check | grep -q …` closes the pipe early: what was found still decides the exit code."""
    tamper(cli, "UPDATE events SET asset_delta = '1000' WHERE version = 3")
    reading, writing = os.pipe()
    with cli.start("check", stdout=writing) as child:
        os.close(writing)
        os.close(reading)
        _, err = child.communicate()
    assert (child.returncode, err) == (1, b"")


# ---- worker processes


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    shown = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in shown.stdout.split()]


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


IN_RANGES_OF_500 = f"import engine.proof.ranges_lane as lane; lane.RANGE = 500; {COMMAND_LINE}"


@both_engines
def test_an_interrupted_check_leaves_no_worker_behind(cli: Cli) -> None:
    """Two that read the log, and one that looks at the whole ledger; a worker takes half a second to begin."""
    cli.append(*(deposit(f"k{index}") for index in range(510)))
    with cli.start("check", "--processes", "2", program=IN_RANGES_OF_500) as child:
        eventually(lambda: len(children(child.pid)) == 3)
        started = children(child.pid)
        child.send_signal(signal.SIGINT)
        ran = ended(child)
    assert_refused(ran, 130, "interrupted")
    assert not any(map(is_there, started))


@pytest.mark.parametrize("processes", ["0", "-1", "two"])
def test_a_number_of_processes_that_is_none(cli: Cli, processes: str) -> None:
    assert cli.here("check", "--processes", processes).code == 2
