"""`netbasis append --file`: a file in one transaction, a stream in batches, interrupted and cut off."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli_support import Cli, Ran, assert_refused, deposit, ended, ndjson, without_stream
from tests.engines import raw_access, writing_meanwhile
from tests.restartable_postgres import eventually

BOTH = pytest.mark.both_engines

TWO = ndjson([deposit("a"), deposit("b", "2")])
APPENDED_TWO = r"appended 2; version 3, head [0-9a-f]{12}"


# A file


@BOTH
def test_a_file_is_appended_in_order_and_a_second_time_adds_nothing(cli: Cli) -> None:
    file = cli.write("two.ndjson", TWO)
    first = cli.run("append", "--file", file, "-O", "json")
    assert (first.code, first.err, list(first.json)) == (0, "", ["appended", "existed", "version", "head"])
    assert first.json == {"appended": 2, "existed": 0, "version": 3, "head": first.json["head"]}
    before = cli.contents()
    again = cli.run("append", "--file", file, "-O", "json")
    assert (again.code, again.json) == (0, {**first.json, "appended": 0, "existed": 2})
    assert cli.contents() == before


def test_the_text_answer_counts_what_is_new_and_what_existed(cli: Cli) -> None:
    first = cli.run("append", "--file", "-", stdin=TWO)
    assert (first.code, len(first.lines)) == (0, 1)
    assert re.fullmatch(APPENDED_TWO, first.lines[0])
    third = cli.run("append", "--file", "-", stdin=TWO + ndjson([deposit("c")]))
    assert re.fullmatch(r"appended 1, 2 existed; version 4, head [0-9a-f]{12}", third.lines[0])


@pytest.mark.parametrize(
    "content",
    [
        TWO,
        TWO.rstrip(b"\n"),
        TWO.replace(b"\n", b"\r\n"),
        b"\n \t\r\n" + TWO.replace(b"\n", b"\n\n") + b"\n",
        # Some programs begin a UTF-8 file with a byte order mark; it says nothing.
        b"\xef\xbb\xbf" + TWO,
    ],
    ids=["plain", "no end of line", "CRLF", "blank lines", "byte order mark"],
)
@pytest.mark.parametrize("how", [(), ("--batch", "1"), ("--batch", "5")], ids=["whole", "batch 1", "batch 5"])
def test_how_lines_end_does_not_matter(content: bytes, how: tuple[str, ...], cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / cli.write("given.ndjson", content)
    ran = cli.here("append", "--file", str(path), *how)
    assert (ran.code, ran.err, cli.head()) == (0, "", 3)


def test_a_byte_order_mark_elsewhere_is_refused(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / cli.write("given.ndjson", ndjson([deposit("a")]) + b"\xef\xbb\xbf" + TWO)
    assert_refused(cli.here("append", "--file", str(path)), 1, "not_json", "line 2")


@pytest.mark.parametrize("how", [(), ("--batch", "3")], ids=["whole", "batch"])
def test_an_empty_file_adds_nothing(how: tuple[str, ...], cli: Cli) -> None:
    assert cli.run("append", "--file", "-", *how).code == 0
    assert cli.run("append", "--file", os.devnull, *how).code == 0
    assert cli.head() == 1


def test_standard_input_that_was_read_in_part_is_appended_from_there(cli: Cli, tmp_path: Path) -> None:
    cli.write("two.ndjson", TWO)
    with (tmp_path / "two.ndjson").open("rb", buffering=0) as source:
        source.seek(TWO.index(b"\n") + 1)
        with cli.start("append", "--file", "-", stdin=source) as child:
            ran = ended(child)
    assert ran.lines[0].startswith("appended 1; version 2")


def test_a_named_pipe_is_read_like_a_file(cli: Cli, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with cli.start("append", "--file", "pipe") as child, (tmp_path / "pipe").open("wb") as pipe:
        pipe.write(TWO)
        pipe.close()
        ran = ended(child)
    assert re.fullmatch(APPENDED_TWO, ran.lines[0])


@pytest.mark.parametrize(
    ("bad", "error", "number"),
    [
        (b'{"type": "deposit"', "not_json", 3),
        (b"\n\n" + ndjson([deposit("c", "x")]), "amount_malformed", 5),
        (b"\n" + ndjson([{"type": "reversal", "key": "r", "reverses": 9}]), "reversed_version_unknown", 4),
        (b"\n" + ndjson([deposit("a", "7")]), "exists_with_different_amount", 4),
    ],
    ids=["cut off", "a field", "against the log", "a key twice in the file"],
)
def test_at_the_first_bad_line_nothing_is_written_and_the_line_is_named(
    bad: bytes, error: str, number: int, cli: Cli, tmp_path: Path
) -> None:
    path = tmp_path / cli.write("given.ndjson", TWO + bad)
    before = cli.unchanged()
    ran = cli.here("append", "--file", str(path))
    assert_refused(ran, 3 if error.startswith("exists") else 1, error, f": line {number}: ")
    assert cli.unchanged() == before


@BOTH
def test_a_long_file_is_one_transaction_too(cli: Cli, tmp_path: Path) -> None:
    """Only the log knows that its last line is bad, when two chunks of events were written before it."""
    good = ndjson(deposit(f"k{i}") for i in range(1200))
    path = tmp_path / cli.write("given.ndjson", good + ndjson([{"type": "reversal", "key": "r", "reverses": 9999}]))
    before = cli.contents()
    assert_refused(cli.here("append", "--file", str(path)), 1, "reversed_version_unknown", ": line 1201: ")
    assert cli.contents() == before


def test_a_line_without_a_key_is_refused(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / cli.write("given.ndjson", TWO + b'{"type": "deposit", "asset": "RLUSD", "amount": "1"}\n')
    assert_refused(cli.here("append", "--file", str(path)), 1, "key_required", "line 3", '"key"')
    assert cli.head() == 1


@BOTH
def test_a_bad_last_line_is_found_without_waiting_for_the_write_lock(cli: Cli) -> None:
    """While somebody holds the lock for longer than anybody waits: the file is validated before the lock is asked for."""
    with writing_meanwhile(cli.location):
        ran = cli.run("append", "--file", "-", stdin=TWO + b"{}")
    assert_refused(ran, 1, "type_unknown", "line 3")


@BOTH
def test_a_book_may_be_read_while_somebody_writes(cli: Cli) -> None:
    with writing_meanwhile(cli.location):
        assert cli.run("head").lines[0].startswith("1:")


@BOTH
def test_the_expected_version_counts_for_the_whole_file(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / cli.write("given.ndjson", TWO)
    line = ["append", "--file", str(path), "--expect-version"]
    assert_refused(cli.here(*line, "0"), 3, "expected_version_passed", "expected 0, actual 1")
    assert cli.here(*line, "1").code == 0
    # All of it is there already: nothing is written, so nothing has passed.
    assert cli.here(*line, "1").code == 0
    cli.write("given.ndjson", TWO + ndjson([deposit("c")]))
    assert_refused(cli.here(*line, "1"), 3, "expected_version_passed", "line 3", "expected 1, actual 3")
    assert cli.head() == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--file", "two.ndjson", "fill", "--side", "buy", "--base-amount", "1", "--quote-amount", "1"), "--file"),
        ((), "--file"),
        (("--batch", "1"), "--file"),
        (("--file",), "--file"),
        (("--file", "two.ndjson", "--batch", "0"), "--batch"),
        (("--file", "two.ndjson", "--batch", "1", "--expect-version", "1"), "--expect-version"),
        (("--file", "missing.ndjson"), "missing.ndjson"),
        (("--file", "missing/two.ndjson", "--batch", "1"), "missing/two.ndjson"),
        (("--file", "x" * 5000), "too long"),
        (("--file", "."), "directory"),
    ],
)
def test_a_wrong_command_line_exits_2_and_writes_nothing(
    arguments: tuple[str, ...], words: str, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.write("two.ndjson", TWO)
    monkeypatch.chdir(tmp_path)
    before = cli.unchanged()
    assert_refused(cli.here("append", *arguments), 2, "usage", words)
    assert (cli.unchanged(), cli.head()) == (before, 1)


# A stream


def test_each_batch_is_answered_while_the_pipe_is_open(cli: Cli) -> None:
    with cli.start("append", "--file", "-", "--batch", "1") as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for version in (2, 3, 4):
            child.stdin.write(ndjson([deposit(f"k{version}")]))
            child.stdin.flush()
            # Only once an answer has come is the next line written, so no batch waits for the end of the pipe.
            assert child.stdout.readline().startswith(f"appended 1; version {version}, head ".encode())
            assert cli.head() == version
        child.stdin.close()
        assert ended(child) == Ran(0, "", "")


def test_what_a_quiet_second_leaves_is_a_batch(cli: Cli) -> None:
    """Two lines of a batch of a hundred are committed and answered though the pipe stays open."""
    with cli.start("append", "--file", "-", "--batch", "100", "-O", "json") as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(TWO)
        child.stdin.flush()
        assert child.stdout.readline().startswith(b'{"appended":2,"existed":0,"version":3,')
        child.stdin.write(ndjson([deposit("c")]))
        child.stdin.close()
        assert ended(child).json["version"] == 4


def test_half_a_line_waits_for_its_end(cli: Cli) -> None:
    """A quiet second commits the lines that are whole; the one that is being written is not judged yet."""
    half = len(TWO) - 20
    with cli.start("append", "--file", "-", "--batch", "100") as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(TWO[:half])
        child.stdin.flush()
        assert child.stdout.readline().startswith(b"appended 1; version 2")
        child.stdin.write(TWO[half:])
        child.stdin.close()
        assert ended(child).lines[0].startswith("appended 1; version 3")


@BOTH
def test_a_file_in_batches_is_answered_per_batch(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / cli.write("given.ndjson", ndjson(deposit(f"k{i}") for i in range(7)))
    ran = cli.here("append", "--file", str(path), "--batch", "3")
    assert [line.split(",")[0] for line in ran.lines] == [
        "appended 3; version 4",
        "appended 3; version 7",
        "appended 1; version 8",
    ]
    again = cli.here("append", "--file", str(path), "--batch", "4")
    assert [line.split(";")[0] for line in again.lines] == ["appended 0, 4 existed", "appended 0, 3 existed"]


@pytest.mark.parametrize("ends", [True, False], ids=["the pipe ends", "the pipe stays open"])
def test_a_bad_line_leaves_the_earlier_batches_committed_and_says_so(ends: bool, cli: Cli) -> None:
    lines = TWO + ndjson([deposit("c")]) + b"\n{}\n" + ndjson([deposit("d")])
    with cli.start("append", "--file", "-", "--batch", "2") as child:
        assert child.stdin is not None
        child.stdin.write(lines)
        child.stdin.flush()
        if ends:
            child.stdin.close()
        ran = ended(child)
    # The third line is in a batch with the blank fourth one; the fifth ends it all.
    assert [line.split(",")[0] for line in ran.lines] == ["appended 2; version 3", "appended 1; version 4"]
    assert_refused(Ran(ran.code, "", ran.err), 1, "type_unknown", ": line 5: ", "lines 1 to 4 are committed")
    assert cli.head() == 4


def test_a_bad_line_in_the_first_batch_leaves_nothing(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / cli.write("given.ndjson", TWO + b"{}")
    ran = cli.here("append", "--file", str(path), "--batch", "100")
    assert_refused(ran, 1, "type_unknown", "line 3")
    assert "committed" not in ran.err
    assert cli.head() == 1


@BOTH
def test_a_key_with_other_content_in_a_batch_names_its_line(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / cli.write("given.ndjson", TWO + b"\n" + ndjson([deposit("b", "3")]))
    ran = cli.here("append", "--file", str(path), "--batch", "2")
    assert ran.code == 3
    assert ran.err.startswith("error[exists_with_different_amount]: line 4: ")
    assert ran.err.endswith("; lines 1 to 2 are committed\n")


# Interrupted


def test_an_interrupt_while_the_input_is_read_leaves_nothing(cli: Cli) -> None:
    """More than a pipe holds is written first, so the child is reading when it is interrupted."""
    before = cli.unchanged()
    with cli.start("append", "--file", "-") as child:
        assert child.stdin is not None
        child.stdin.write(ndjson(deposit(f"k{i}") for i in range(5000)))
        child.send_signal(signal.SIGINT)
        ran = ended(child)
    assert_refused(ran, 130, "interrupted", "no event was written")
    assert cli.unchanged() == before


def more_than_a_cache() -> Iterator[dict[str, object]]:
    """30 MB of events, of which SQLite writes some to the disk before the commit."""
    return (deposit(f"k{i}", source_note="x" * 5_000) for i in range(6_000))


def is_writing_much(cli: Cli) -> bool:
    """Whether a megabyte of what is not committed has gone to the disk."""
    if cli.engine == "sqlite":
        wal = cli.folder / f"{cli.db.name}-wal"
        return wal.exists() and wal.stat().st_size > 1_000_000
    with raw_access(cli.location) as raw:
        ((size,),) = raw.execute("SELECT pg_relation_size('events')")
    return int(size) > 1_000_000


@contextmanager
def kept_from_committing(cli: Cli) -> Iterator[None]:
    """On a server, where rows are written in a moment, a command waits before its commit: nobody may change the basis."""
    if cli.engine == "sqlite":
        yield
        return
    with raw_access(cli.location) as raw:
        raw.execute("BEGIN")
        raw.execute("LOCK TABLE basis IN SHARE MODE")
        yield


@BOTH
def test_an_interrupt_during_the_transaction_leaves_nothing_half_done(cli: Cli, tmp_path: Path) -> None:
    """It is sent when megabytes of new events have gone to the disk, as they do before the one commit at the end."""
    before = cli.contents()
    cli.write("many.ndjson", ndjson(more_than_a_cache()))
    with kept_from_committing(cli), cli.start("append", "--file", "many.ndjson") as child:
        eventually(lambda: is_writing_much(cli) or child.poll() is not None)
        assert child.poll() is None, "the child ended before it was interrupted"
        child.send_signal(signal.SIGINT)
        ran = ended(child)
    assert_refused(ran, 130, "interrupted", "no event was written")
    assert cli.contents() == before
    # And run again it is as if nothing had happened.
    assert cli.run("append", "--file", "-", stdin=TWO).code == 0


@BOTH
def test_an_interrupt_of_a_stream_leaves_what_was_answered(cli: Cli) -> None:
    with cli.start("append", "--file", "-", "--batch", "1") as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(ndjson([deposit("a")]))
        child.stdin.flush()
        child.stdout.readline()
        child.send_signal(signal.SIGINT)
        ran = ended(child)
    assert_refused(ran, 130, "interrupted", "version 2 of the book main (key a) is committed: do not repeat it")
    assert cli.head() == 2


# Streams that are closed or full


def closed_pipe() -> int:
    """The writing end of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def test_a_reader_that_went_away_does_not_stop_a_stream(cli: Cli) -> None:
    """The events are worth more than the answers: `bot | netbasis append … | head -1` goes on recording."""
    writing = closed_pipe()
    with cli.start("append", "--file", "-", "--batch", "1", stdout=writing) as child:
        os.close(writing)
        _, err = child.communicate(TWO)
    assert (child.returncode, cli.head()) == (0, 3)
    assert err.startswith(b"note: nobody reads the answer; 2 events are committed, the last of them version 3 ")


def test_standard_input_that_is_closed_is_said(cli: Cli) -> None:
    ran = cli.run("append", "--file", "-", first=without_stream("stdin"))
    assert_refused(ran, 2, "usage", "standard input", "closed")


def test_an_answer_that_cannot_be_written_is_no_success(cli: Cli) -> None:
    """The events are recorded; the caller did not learn of it, and is told what is committed."""
    with Path("/dev/full").open("wb") as full, cli.start("append", "--file", "-", stdout=full) as child:
        _, err = child.communicate(TWO)
    assert_refused(
        Ran(child.returncode, "", err.decode()), 4, "input_output_failed", "No space left", "2 events are committed"
    )
    assert cli.head() == 3
