"""`netbasis property-test` as a user meets it: what it prints, what it leaves alone, and how it ends."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import typer

from cli.commands.property_test import report
from cli.shared.options import Output
from engine.bookkeeper import Bookkeeper
from engine.proof.invariants import INVARIANTS, Step
from engine.rehearsal.playing import Verdict
from engine.rehearsal.playing import property_test as run_property_test
from engine.rehearsal.simulation import present_of
from ledger.integrity.findings import Finding
from tests.cli_support import ON_A_FILE, Cli, Ran, assert_refused, clean_environment
from tests.engines import Engine, forget
from tests.ledger.database.store_support import append_sample, tamper
from tests.script_server import GIVE_UP_S, SCRIPT
from tests.support import open_keeper

FEW = ("property-test", "--examples", "2", "--seed", "7")


@pytest.fixture
def cli(empty_cli: Cli) -> Cli:
    """A ledger with the sample log."""
    with open_keeper(empty_cli.folder, location=empty_cli.location) as keeper:
        append_sample(keeper)
    return empty_cli


def test_it_prints_what_was_invented_and_that_all_holds(cli: Cli) -> None:
    ran = cli.run("property-test", "--examples", "20", "--seed", "7")
    assert (ran.code, ran.err) == (0, "")
    assert ran.lines[-1] == "every invariant holds in 20 futures from version 17, seed 7"
    names = [line.split()[0] for line in ran.lines[1:-1]]
    for name in ("futures", "events.fill", "withdrawals.mixed", "withdrawals.in_drawdown", "rebates", "unknown_fees"):
        assert name in names
    for name in ("reversals.of_the_log", "dust", "negative_balances", "refused.exceeds_equity"):
        assert name in names


def test_the_default_is_200_futures(cli: Cli) -> None:
    assert "[default: 200" in cli.here("property-test", "--help").out


def test_json_has_the_figures_by_group_and_nothing_is_written_neither_to_the_ledger_nor_beside_it(cli: Cli) -> None:
    before = cli.unchanged()
    document = cli.here(*FEW, "-O", "json").json
    assert cli.unchanged() == before
    assert_nothing_beside(cli)
    assert list(document) == ["book", "version", "seed", "ok", "statistics", "findings", "events"]
    assert (document["book"], document["version"], document["seed"]) == ("main", 17, 7)
    assert set(document["statistics"]["withdrawals"]) == {"pure_profit", "mixed", "in_drawdown", "all_principal"}
    assert (document["findings"], document["events"]) == ([], [])


@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_the_other_forms_have_a_figure_a_line(cli: Cli, form: str) -> None:
    ran = cli.here(*FEW, "-O", form)
    assert ran.code == 0
    lines = (
        ran.lines[1:] if form == "csv" else [f"{row['invented']},{row['count']}" for row in map(json.loads, ran.lines)]
    )
    assert lines[0] == "futures,2"


def test_the_same_seed_prints_the_same_in_another_process(cli: Cli) -> None:
    first, again, other = cli.run(*FEW), cli.run(*FEW), cli.run(*FEW[:-1], "8")
    assert first == again
    assert first.out.replace("seed 7", "") != other.out.replace("seed 8", "")


def test_without_a_seed_it_says_which_one_repeats_it(cli: Cli) -> None:
    first = cli.run("property-test", "--examples", "1")
    seed = first.lines[-1].rpartition(" ")[2]
    assert cli.run("property-test", "--examples", "1", "--seed", seed) == first


def assert_nothing_beside(cli: Cli) -> None:
    """In the folder there is at most the ledger, as a file."""
    assert {path.name for path in cli.folder.iterdir()} <= {"ledger.db", "ledger.db-wal", "ledger.db-shm"}


def test_it_leaves_nothing_in_the_current_folder_which_may_be_closed(cli: Cli) -> None:
    """Hypothesis would keep notes there. In a process of which all is new: where they are kept is settled once in each."""
    (cli.folder / "closed").mkdir(mode=0o555)
    done = subprocess.run(
        [SCRIPT, "--db", cli.location, *FEW],
        cwd=cli.folder / "closed",
        env=clean_environment(cli.folder),
        capture_output=True,
        timeout=GIVE_UP_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert list((cli.folder / "closed").iterdir()) == []


@pytest.mark.parametrize("wrong", [("--examples", "0"), ("--seed", "-1"), ("--examples", "many")])
def test_a_wrong_number_is_a_wrong_command_line(cli: Cli, wrong: tuple[str, str]) -> None:
    assert_refused(cli.here("property-test", *wrong), 2, "usage", wrong[0])


def test_a_book_that_is_not_there_is_refused(cli: Cli) -> None:
    assert_refused(cli.here(*FEW, target=("--db", cli.location, "--book", "other")), 1, "book_unknown", "'other'")


@ON_A_FILE
def test_a_log_that_does_not_hold_itself_is_a_finding_without_a_sequence(cli: Cli) -> None:
    tamper(cli.db, "UPDATE events SET basis_delta = '86' WHERE version = 2")
    ran = cli.here(*FEW)
    assert (ran.code, ran.out) == (1, "")
    lines = ran.err.splitlines()
    assert any(line.startswith("basis_floor") or " at version " in line for line in lines)
    assert lines[-1] == "in the log itself, so no future was invented; run `netbasis check`"


# A failure. The command has no wrong invariant to offer, so one is planted in the library, and the outcome reported.


class _NoReversal:
    name = "no_reversal"

    def observe(self, step: Step) -> Iterator[Finding]:
        """A finding for every reversal: it takes an event before it, so the shortest sequence has two."""
        if step.sign < 0:
            yield Finding(self.name, step.stored.version, "reversed", "0", "1", "1")


PLANTED = {**INVARIANTS, _NoReversal.name: _NoReversal}


@pytest.fixture
def fresh(tmp_path: Path, engine: Engine) -> Iterator[Cli]:
    """A new ledger."""
    folder = tmp_path / "fresh"
    folder.mkdir()
    made = Cli(folder, engine)
    yield made
    forget(made.location)


@pytest.fixture
def failed(tmp_path: Path) -> Verdict:
    """The outcome of a property test of a new ledger, in which something planted does not hold."""
    ledger = Cli(tmp_path).db.read_bytes()
    return _failed(ledger)


@cache
def _failed(ledger: bytes) -> Verdict:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        path.write_bytes(ledger)
        with Bookkeeper.open(str(path), "read") as keeper:
            return run_property_test(keeper.database, "main", seed=6, invariants=PLANTED)  # found soon


def _reported(verdict: Verdict, output: Output, capsys: pytest.CaptureFixture[str]) -> Ran:
    with pytest.raises(typer.Exit) as ended:
        report(verdict, output)
    captured = capsys.readouterr()
    return Ran(ended.value.exit_code, captured.out, captured.err)


@pytest.mark.parametrize("output", [Output.TEXT, Output.NDJSON, Output.CSV])
def test_a_failure_is_a_sequence_that_append_takes_and_a_finding_on_stderr(
    failed: Verdict, output: Output, fresh: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = _reported(failed, output, capsys)
    count = len(ran.lines)
    assert ran.code == 1
    finding = f"no_reversal at version {1 + count}: reversed; expected 0, actual 1, difference 1"
    assert ran.err.splitlines()[0] == finding
    assert f"after {count} events; before that, every invariant held in " in ran.err

    fresh.write("shortest.ndjson", ran.out)
    assert fresh.run("append", "--file", "shortest.ndjson").code == 0
    assert fresh.run("check").code == 0
    with Bookkeeper.open(fresh.location, "read") as keeper, keeper.database.reading() as connection:
        assert present_of(connection, "main", PLANTED).findings[0].version == 1 + count


def test_a_failure_in_json_is_one_document(failed: Verdict, capsys: pytest.CaptureFixture[str]) -> None:
    ran = _reported(failed, Output.JSON, capsys)
    assert (ran.code, ran.json["ok"]) == (1, False)
    assert ran.json["findings"][0]["invariant"] == "no_reversal"
    assert [event["type"] for event in ran.json["events"]][-1] == "reversal"
    assert ran.json["statistics"]["futures"] == failed.statistics.futures


# On a terminal


def _until(terminal: int, wanted: bytes) -> bytes:
    """What the terminal showed up to and with the wanted text."""
    seen = b""
    while wanted not in seen:
        seen += os.read(terminal, 4096)
    return seen


def _rest(terminal: int) -> bytes:
    """What the terminal shows until nobody writes to it any more."""
    seen = b""
    try:
        while arrived := os.read(terminal, 4096):
            seen += arrived
    except OSError:  # Linux says so when the other end was closed
        pass
    return seen


def test_ctrl_c_ends_it_cleanly_while_a_terminal_shows_its_progress(cli: Cli) -> None:
    terminal, end = pty.openpty()
    environment = clean_environment(cli.folder, {"TERM": "xterm"})
    with cli.start(
        "property-test", "--examples", "1000000", env=environment, stdin=subprocess.DEVNULL, stderr=end
    ) as child:
        os.close(end)
        assert child.stdout is not None
        shown = _until(terminal, b"inventing")
        child.send_signal(signal.SIGINT)
        shown += _rest(terminal)
        out = child.stdout.read()
        assert child.wait(GIVE_UP_S) == 130
    os.close(terminal)
    assert out == b""
    assert b"error[interrupted]" in shown
    assert b"Traceback" not in shown
    assert_nothing_beside(cli)
