"""What fails after a commit names what is committed; a command that only reads never speaks of writing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.cli_support import Cli, Ran, deposit, ndjson

WRITING = {
    "append": ("append", "deposit", "--asset", "RLUSD", "--amount", "50", "--key", "k:1"),
    "inject": ("inject", "50", "--key", "k:1"),
    "withdraw": ("withdraw", "10", "--key", "k:1"),
    "reverse": ("reverse", "2", "--key", "k:1"),
    "backfill-basis": ("backfill-basis", "5", "--even-so"),
}
KEYS = {"backfill-basis": "synthetic_initial_basis"}
READING = (("balance",), ("pnl",), ("register",), ("audit", "basis"), ("head",), ("check",))


@pytest.fixture
def desk(cli: Cli) -> Cli:
    """A book at version 2 with 100 RLUSD."""
    cli.append(deposit("d:1", "100"))
    return cli


def with_full_stdout(cli: Cli, *arguments: str) -> Ran:
    """The command with a stdout that takes nothing."""
    with Path("/dev/full").open("wb") as full, cli.start(*arguments, stdout=full) as child:
        _, err = child.communicate()
    return Ran(child.returncode, "", err.decode())


@pytest.mark.both_engines
@pytest.mark.parametrize("command", WRITING)
def test_an_answer_that_cannot_be_printed_names_what_is_committed(desk: Cli, command: str) -> None:
    ran = with_full_stdout(desk, *WRITING[command])
    key = KEYS.get(command, "k:1")
    assert ran.code == 4
    assert f"version 3 of the book main (key {key}) is committed: do not repeat it" in ran.err
    assert "again" not in ran.err
    assert desk.head() == 3


@pytest.mark.parametrize("command", READING, ids=lambda command: command[0])
def test_a_command_that_reads_never_speaks_of_writing(desk: Cli, command: tuple[str, ...]) -> None:
    ran = with_full_stdout(desk, *command)
    if command == ("check",):  # it is silent, so that nothing fails
        assert (ran.code, ran.err) == (0, "")
        return
    assert ran.code == 4
    assert ran.err == "error[input_output_failed]: [Errno 28] No space left on device\n"


def test_a_reader_that_went_away_leaves_the_committed_version_on_stderr(desk: Cli) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with desk.start("inject", "50", "--key", "k:1", stdout=writing) as child:
        os.close(writing)
        _, err = child.communicate()
    assert child.returncode == 0
    assert b"version 3 of the book main (key k:1) is committed: do not repeat it" in err


def test_a_closed_stdout_leaves_the_committed_version_on_stderr(desk: Cli) -> None:
    ran = desk.run("inject", "50", "--key", "k:1", before_exec=lambda: os.close(1))
    assert ran.code == 0
    assert "version 3 of the book main (key k:1) is committed: do not repeat it" in ran.err


@pytest.mark.parametrize("command", ["append", "inject", "withdraw", "reverse"])
def test_a_key_makes_a_repeat_safe(desk: Cli, command: str) -> None:
    assert desk.here(*WRITING[command]).code == 0
    again = desk.here(*WRITING[command])
    assert (again.code, desk.head()) == (0, 3)
    assert again.out.startswith("exists: ")
    assert again.out.endswith("at version 3, key k:1; nothing was written\n")


@pytest.mark.parametrize("command", ["append", "inject", "withdraw"])
def test_a_key_with_another_content_is_a_conflict(desk: Cli, command: str) -> None:
    assert desk.here(*WRITING[command]).code == 0
    other = [word if word not in ("50", "10") else "7" for word in WRITING[command]]
    ran = desk.here(*other)
    assert (ran.code, desk.head()) == (3, 3)
    assert ran.err.startswith("error[exists_with_different_amount]: ")


@pytest.mark.parametrize("command", ["inject", "withdraw", "backfill-basis", "verify-injection"])
def test_the_amount_is_an_argument_or_an_option(desk: Cli, command: str) -> None:
    more = ["--even-so"] if command == "backfill-basis" else []
    dry = [] if command == "verify-injection" else ["--dry-run"]
    one, other = (desk.here(command, *amount, *more, *dry) for amount in (["5"], ["--amount", "5"]))
    assert (one.code, one.out) == (0, other.out)
    for wrong in ([], ["5", "--amount", "5"]):
        ran = desk.here(command, *wrong, *more)
        assert ran.code == 2
        assert ran.err.startswith("error[usage]: ")


# ---- bad lines aside

BAD = [
    json.dumps(deposit("a", "1")).encode(),
    b"junk",
    b"",
    json.dumps({"type": "deposit", "asset": "RLUSD", "amount": "1"}).encode(),
    json.dumps(deposit("d:1", "7")).encode(),  # the key is there with another amount
    json.dumps(deposit("b", "2")).encode(),
]


@pytest.mark.both_engines
@pytest.mark.parametrize("batch", [[], ["--batch", "1"], ["--batch", "4"]])
@pytest.mark.parametrize("source", ["file", "stdin"])
def test_bad_lines_are_written_aside_and_the_others_appended(desk: Cli, batch: list[str], source: str) -> None:
    lines = b"\n".join(BAD) + b"\n"
    file = desk.write("in.ndjson", lines) if source == "file" else "-"
    ran = desk.run("append", "--file", file, "--rejects", "bad.ndjson", *batch, stdin=lines)
    assert (ran.code, desk.head()) == (1, 4)
    assert ran.err == "rejected: 3 lines, written to bad.ndjson\n"
    aside = [json.loads(line) for line in (desk.folder / "bad.ndjson").read_text().splitlines()]
    assert {(line["line"], line["code"]) for line in aside} == {
        (2, "not_json"),
        (4, "key_required"),
        (5, "exists_with_different_amount"),
    }
    for line in aside:
        assert line["given"].encode() == BAD[line["line"] - 1]
        assert line["reason"].startswith(f"error[{line['code']}]: line {line['line']}: ")


def test_with_json_a_refusal_is_an_object_on_stdout(desk: Cli) -> None:
    lines = b"\n".join(BAD) + b"\n"
    ran = desk.run("append", "--file", "-", "--batch", "1", "--rejects", "bad", "-O", "json", stdin=lines)
    answers = [json.loads(line) for line in ran.lines]
    assert [answer.get("code") or answer["appended"] for answer in answers] == [
        1,
        "not_json",
        "key_required",
        "exists_with_different_amount",
        1,
    ]
    assert set(answers[1]) == {"line", "code", "field", "expected", "actual"}


def test_without_rejects_a_bad_line_leaves_nothing(desk: Cli) -> None:
    before = desk.unchanged()
    ran = desk.run("append", "--file", "-", "-O", "json", stdin=b"\n".join(BAD))
    assert (ran.code, desk.unchanged()) == (1, before)
    assert ran.json == {
        "line": 2,
        "code": "not_json",
        "field": None,
        "expected": "one JSON object on the line",
        "actual": "'junk'",
    }


def test_a_line_that_is_too_long_is_one_bad_line(desk: Cli) -> None:
    long = b'{"type":"deposit","source_note":"' + b"x" * (3 << 20) + b'"}'
    lines = ndjson([deposit("a")]) + long + b"\n" + ndjson([deposit("b")])
    for number, batch in enumerate(([], ["--batch", "2"])):
        ran = desk.run("append", "--file", "-", "--rejects", f"bad{number}", *batch, stdin=lines)
        assert (ran.code, desk.head()) == (1, 4)
        (line,) = (desk.folder / f"bad{number}").read_text().splitlines()
        assert (json.loads(line)["line"], json.loads(line)["code"]) == (2, "line_too_long")


def test_rejects_that_cannot_be_written_are_a_wrong_command_line(desk: Cli) -> None:
    ran = desk.run("append", "--file", "-", "--rejects", "nowhere/bad", stdin=b"junk\n")
    assert (ran.code, desk.head()) == (2, 2)
    assert "nowhere/bad" in ran.err
