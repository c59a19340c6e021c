"""SIGTERM and SIGHUP, as a machine that is shut down and a terminal that is closed send them: an orderly end."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.cli.test_append_file import is_writing_much, kept_from_committing, more_than_a_cache
from tests.cli_support import (
    ON_A_FILE,
    Cli,
    Ran,
    assert_refused,
    clean_environment,
    deposit,
    ended,
    ndjson,
)
from tests.engine.importers.legacy.legacy_databases import EXACT, snapshot
from tests.restartable_postgres import eventually
from tests.script_server import COMMAND_LINE, ForkedScript
from tests.support import is_stopped

pytestmark = pytest.mark.both_engines

SIGNALS = [signal.SIGTERM, signal.SIGHUP]
by_signal = pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)


def is_copying(aside: Path) -> bool:
    """Whether a copy has begun to be written to a temporary folder."""
    try:
        return any(file.stat().st_size > 0 for file in aside.glob("netbasis-*/*"))
    except FileNotFoundError:  # it has gone meanwhile
        return False


def stopped_while_it_copies(cli: Cli, aside: Path, arguments: list[str]) -> ForkedScript:
    """A command that is held, by SIGSTOP, at a moment at which its copy lies in the temporary folder.

    A child that was through before it could be held is let go, and another one started.
    """
    environment = clean_environment(cli.folder, {"TMPDIR": str(aside)})
    for _ in range(20):
        child = cli.start(*arguments, env=environment)
        while child.poll() is None and not is_copying(aside):
            pass
        child.send_signal(signal.SIGSTOP)
        while child.poll() is None and not is_stopped(child.pid):
            pass
        if child.poll() is None and is_copying(aside):
            return child
        child.kill()
        child.communicate()
        for file in sorted(aside.rglob("*"), reverse=True):
            file.rmdir() if file.is_dir() else file.unlink()
    raise AssertionError("no child could be held")


@pytest.mark.parametrize(
    ("command", "number"),
    [
        (["verify-injection", "1"], signal.SIGTERM),
        (["import", "legacy-db", "old.db", "--dry-run"], signal.SIGHUP),
    ],
    ids=["verify-injection", "import"],
)
def test_no_copy_of_a_ledger_outlives_its_command(
    command: list[str], number: signal.Signals, cli: Cli, tmp_path: Path
) -> None:
    cli.append(*(deposit(f"k{i}", source_note="x" * 500) for i in range(500)))
    EXACT["several_sessions"](cli.folder / "old.db")
    aside = tmp_path / "aside"
    aside.mkdir()
    before = cli.contents(), snapshot(cli.folder / "aside")
    with stopped_while_it_copies(cli, aside, command) as child:
        child.send_signal(number)
        child.send_signal(signal.SIGCONT)
        ran = ended(child)
    assert_refused(ran, 128 + number, "interrupted", f"stopped by {number.name}")
    assert (cli.contents(), snapshot(aside)) == before


def test_a_signal_during_the_transaction_leaves_nothing_half_done(cli: Cli) -> None:
    number = signal.SIGTERM
    before = cli.contents()
    cli.write("many.ndjson", ndjson(more_than_a_cache()))
    with kept_from_committing(cli), cli.start("append", "--file", "many.ndjson") as child:
        eventually(lambda: is_writing_much(cli) or child.poll() is not None)
        assert child.poll() is None, "the child ended before it was stopped"
        child.send_signal(number)
        ran = ended(child)
    assert_refused(ran, 128 + number, "interrupted", f"stopped by {number.name}", "no event was written")
    assert cli.contents() == before


@by_signal
def test_a_signal_to_a_stream_leaves_what_was_answered_and_says_so(number: signal.Signals, cli: Cli) -> None:
    with cli.start("append", "--file", "-", "--batch", "1") as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(ndjson([deposit("a")]))
        child.stdin.flush()
        child.stdout.readline()
        child.send_signal(number)
        ran = ended(child)
    assert_refused(ran, 128 + number, "interrupted", number.name, "version 2 of the book main (key a) is committed")
    assert cli.head() == 2


@ON_A_FILE
def test_under_nohup_a_terminal_that_is_closed_is_no_end(cli: Cli) -> None:
    ignoring = f"import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); {COMMAND_LINE}"
    with cli.start("append", "--file", "-", "--batch", "1", program=ignoring) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for key in ("a", "b"):
            child.stdin.write(ndjson([deposit(key)]))
            child.stdin.flush()
            assert child.stdout.readline().startswith(b"appended 1")
            child.send_signal(signal.SIGHUP)
        child.stdin.close()
        assert ended(child) == Ran(0, "", "")
