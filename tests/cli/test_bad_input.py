"""Bad input, and a bad disk: a clear error, no traceback, nothing written, the right exit code."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cli.main import exit_code
from engine.bookkeeper import Bookkeeper
from ledger.errors import StorageError, StorageFault
from ledger.parsing import LINE_BYTES
from tests.cli_support import ON_A_FILE, Cli, Ran, assert_refused, deposit, ndjson, sha256
from tests.engines import ENGINES, forget
from tests.script_server import run_program
from tests.support import event

# Lines

START = '{"type": "deposit", "key": "k", "asset": "RLUSD", "amount": '
GOOD = (START + '"1"').encode()
BAD_LINES: dict[str, tuple[bytes, str, tuple[str, ...]]] = {
    "an unknown type": (b'{"type": "desposit", "key": "k"}', "type_unknown", ("'desposit'", "deposit")),
    "no type": (b'{"key": "k"}', "type_unknown", ("missing",)),
    "a type that is no text": (b'{"type": ["fill"], "key": "k"}', "type_unknown", ()),
    "an unknown field": (GOOD + b', "amuont": "1"}', "field_unknown", ("'amuont'", "amount")),
    "a field of another type": (GOOD + b', "side": "buy"}', "field_unknown", ("'side'",)),
    "a field is missing": (b'{"type": "deposit", "key": "k", "asset": "RLUSD"}', "field_required", ("amount",)),
    "a field that is null": ((START + "null}").encode(), "number_not_quoted", ("amount",)),
    "not quoted, whole": ((START + "5}").encode(), "number_not_quoted", ("actual 5", "in quotes")),
    "not quoted, a fraction": ((START + "0.10}").encode(), "number_not_quoted", ("actual 0.10", "in quotes")),
    "not quoted, long": ((START + "9" * 30 + "}").encode(), "number_not_quoted", ("9" * 30,)),
    "not quoted, very long": ((START + "9" * 100_000 + "}").encode(), "number_not_quoted", ("100000 characters",)),
    "not quoted, NaN": ((START + "NaN}").encode(), "number_not_quoted", ("NaN",)),
    "not quoted, 1e400": ((START + "1e400}").encode(), "number_not_quoted", ("1e400",)),
    "NaN": ((START + '"NaN"}').encode(), "amount_malformed", ("'NaN'",)),
    "Infinity": ((START + '"Infinity"}').encode(), "amount_malformed", ("'Infinity'",)),
    "1e400": ((START + '"1e400"}').encode(), "amount_out_of_range", ("'1e400'", "20 digits")),
    "1e-400": ((START + '"1e-400"}').encode(), "amount_too_precise", ("'1e-400'", "36 digits")),
    "an underscore": ((START + '"1_000"}').encode(), "amount_malformed", ("'1_000'",)),
    "a comma": ((START + '"1,000"}').encode(), "amount_malformed", ("'1,000'",)),
    "blanks": ((START + '" 1 "}').encode(), "amount_malformed", ("' 1 '",)),
    "a plus": ((START + '"+1"}').encode(), "amount_malformed", ("'+1'",)),
    "hexadecimal": ((START + '"0x10"}').encode(), "amount_malformed", ("'0x10'",)),
    "nothing": ((START + '""}').encode(), "amount_malformed", ("''",)),
    "fullwidth digits": ((START + '"１２"}').encode(), "amount_malformed", ("'１２'",)),
    "arabic digits": ((START + '"١٢"}').encode(), "amount_malformed", ("'١٢'",)),
    "37 decimals": (
        (START + '"0.1234567890123456789012345678901234567"}').encode(),
        "amount_too_precise",
        ("never rounds",),
    ),
    "21 digits": ((START + '"123456789012345678901"}').encode(), "amount_out_of_range", ("20 digits",)),
    "0": ((START + '"0"}').encode(), "amount_must_be_positive", ("amount",)),
    "less than 0": ((START + '"-1"}').encode(), "amount_must_be_positive", ("'-1'",)),
    "a duplicate key": ((START + '"1", "amount": "2"}').encode(), "field_duplicate", ("'amount'",)),
    "a time without zone": (GOOD + b', "at": "2026-01-05T09:00:00"}', "time_without_zone", ("09:00:00Z",)),
    "a day": (GOOD + b', "at": "2026-01-05"}', "time_malformed", ("'2026-01-05'",)),
    "no such day": (GOOD + b', "at": "2026-02-30T09:00:00Z"}', "time_malformed", ("'2026-02-30T09:00:00Z'",)),
    "a nanosecond": (GOOD + b', "at": "2026-01-05T09:00:00.123456789Z"}', "time_too_precise", ("microsecond",)),
    "a number for a time": (GOOD + b', "at": 1767603600}', "time_malformed", ("1767603600",)),
    "another book": (GOOD + b', "book": "paper"}', "book_differs", ("'paper'", "main")),
    "a control character": (GOOD + b', "source_note": "a\\u0000b"}', "text_has_control_character", ("a\\x00b",)),
    "half a character": (GOOD + b', "source_note": "\\ud800"}', "text_has_lone_surrogate", ()),
    "a key too long": (GOOD.replace(b'"k"', b'"' + b"k" * 201 + b'"') + b"}", "text_too_long", ("200", "201")),
    "cut off": (b'{"type": "deposit", "key": "k", "asse', "not_json", ("cut off",)),
    "cut off in a character": (GOOD + b', "source_note": "\xe2\x82', "not_json", ("UTF-8",)),
    "two objects": (GOOD + b"}" + GOOD + b"}", "not_json", ("column",)),
    "no JSON": (b"deposit 5 RLUSD", "not_json", ("deposit 5 RLUSD",)),
    "a list": (b"[]", "not_an_object", ()),
    "a text": (b'"deposit"', "not_an_object", ()),
    "null": (b"null", "not_an_object", ()),
    "nested deeply": (b"[" * 200_000, "not_json", ("nested",)),
    "another encoding": ("deposit".encode("utf-16"), "not_json", ("UTF-8",)),
    "a binary file": (bytes(range(128, 256)), "not_json", ("UTF-8",)),
    "a line of 1 MiB and a byte": (b'"' + b"x" * LINE_BYTES, "line_too_long", (str(LINE_BYTES),)),
}


@pytest.mark.parametrize("how", [(), ("--batch", "10")], ids=["whole", "batch"])
def test_a_bad_line_is_refused_and_named(how: tuple[str, ...], cli: Cli, tmp_path: Path) -> None:
    """It is the third line, the second being blank; the good first line is not written either."""
    before = cli.unchanged()
    for name, (line, error, words) in BAD_LINES.items():
        path = tmp_path / cli.write("given.ndjson", ndjson([deposit("good")]) + b"\n" + line)
        ran = cli.here("append", "--file", str(path), *how)
        assert_refused(ran, 1, error, f"error[{error}]: line 3: ", *words)
        assert len(ran.err) < 1000, "an error is read by a person"
        assert cli.unchanged() == before, name


@pytest.mark.parametrize("how", [(), ("--batch", "1")], ids=["whole", "batch"])
def test_a_line_of_10_mb_is_refused_through_a_pipe(how: tuple[str, ...], cli: Cli) -> None:
    line = b'{"type": "deposit", "key": "' + b"x" * 10_000_000 + b'"}\n'
    with cli.start("append", "--file", "-", *how) as child:
        _, err = child.communicate(line)
    assert_refused(Ran(child.returncode, "", err.decode()), 1, "line_too_long", "line 1", "one event a line")
    assert cli.head() == 1


def test_look_alike_digits_are_refused_by_the_script(cli: Cli) -> None:
    before = cli.unchanged()
    ran = cli.run("append", "deposit", "--asset", "RLUSD", "--amount", "１２")
    assert_refused(ran, 1, "amount_malformed", "amount: not a decimal number", "'１２'", "without blanks")
    assert cli.unchanged() == before


# A disk that refuses


def limit_files(size: int) -> str:
    """For the child: no file may grow beyond that many bytes, which is what a full disk looks like to it."""
    return f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))"


FILLS = ndjson(deposit(f"k{i}") for i in range(2000))


@ON_A_FILE
def test_a_full_disk_leaves_nothing_of_a_file(cli: Cli, tmp_path: Path) -> None:
    before = cli.contents()
    cli.write("fills.ndjson", FILLS)
    ran = cli.run("append", "--file", "fills.ndjson", first=limit_files(200_000))
    assert_refused(ran, 4, "database_failed", "disk", "nothing was written")
    assert cli.contents() == before
    assert cli.here("check").code == 0
    assert cli.here("append", "--file", str(tmp_path / "fills.ndjson")).code == 0


@ON_A_FILE
def test_a_full_disk_leaves_the_batches_that_were_answered(cli: Cli) -> None:
    limit = limit_files(600_000)
    ran = cli.run("append", "--file", "-", "--batch", "200", stdin=FILLS, first=limit)
    answered = len(ran.lines)
    assert answered > 0
    assert ran.code == 4
    assert ran.err.startswith("error[database_failed]: ")
    assert ran.err.endswith(f"; lines 1 to {200 * answered} are committed\n")
    assert cli.head() == 1 + 200 * answered
    assert cli.here("check").code == 0


def test_no_room_to_copy_standard_input_aside(cli: Cli) -> None:
    before = cli.contents()
    ran = cli.run("append", "--file", "-", stdin=FILLS, first=limit_files(50_000))
    assert_refused(ran, 4, "input_output_failed", "too large", "no event was written")
    assert cli.contents() == before


@ON_A_FILE
def test_no_room_for_a_new_ledger(empty_cli: Cli) -> None:
    ran = empty_cli.run("init", first=limit_files(20_000))
    assert_refused(ran, 4, "database_failed", "nothing was written")
    # What is left of it does not stand in the way of the next try.
    assert empty_cli.run("init").code == 0
    assert empty_cli.here("check").code == 0


# Permissions


# For the child: also as root it has to ask the file's mode, as everybody has to. No set of capabilities has a bit.
WITHOUT_PRIVILEGES = (
    "import ctypes; ctypes.CDLL(None).capset((ctypes.c_uint32 * 2)(0x20080522), (ctypes.c_uint32 * 6)())"
)


@contextmanager
def mode(path: Path, bits: int) -> Iterator[None]:
    """The path with other permissions for a while. Skips where they do not bind a process."""
    old = path.stat().st_mode
    path.chmod(bits)
    try:
        probe = f"{WITHOUT_PRIVILEGES}; import os, sys; sys.exit(os.access(sys.argv[1], os.W_OK))"
        if run_program(probe, path).returncode:
            pytest.skip("permissions do not bind this user")
        yield
    finally:
        path.chmod(old)


LINE = ("append", "deposit", "--asset", "RLUSD", "--amount", "1")


@ON_A_FILE
def test_a_folder_without_write_permission(cli: Cli, tmp_path: Path) -> None:
    before = cli.unchanged()
    with mode(tmp_path, 0o555):
        refused = cli.run(*LINE, first=WITHOUT_PRIVILEGES)
        assert_refused(refused, 4, "database_not_writable", "who owns the file and its folder")
        new = cli.run("init", target=("--db", "new.db"), first=WITHOUT_PRIVILEGES)
        assert_refused(new, 4, "database_unreadable", "who owns the file and its folder")
        # Reading needs no permission to write, and leaves nothing beside the file.
        assert cli.run("balance", first=WITHOUT_PRIVILEGES).code == 0
    assert cli.unchanged() == before
    assert [path.name for path in tmp_path.iterdir()] == [cli.db.name]


@ON_A_FILE
def test_a_file_without_write_permission(cli: Cli) -> None:
    before = cli.unchanged()
    with mode(cli.db, 0o444):
        assert_refused(cli.run(*LINE, first=WITHOUT_PRIVILEGES), 4, "database_not_writable", "who owns the file")
        assert cli.run("balance", first=WITHOUT_PRIVILEGES).code == 0
    assert cli.unchanged() == before


@ON_A_FILE
def test_a_file_without_read_permission(cli: Cli, tmp_path: Path) -> None:
    input_file = tmp_path / cli.write("given.ndjson", ndjson([deposit("k")]))
    with mode(input_file, 0o000):
        ran = cli.run("append", "--file", "given.ndjson", first=WITHOUT_PRIVILEGES)
        assert_refused(ran, 2, "usage", "'given.ndjson'", "Permission denied")
    with mode(cli.db, 0o000):
        ran = cli.run("balance", first=WITHOUT_PRIVILEGES)
        assert_refused(ran, 4, "database_unreadable", "who owns the file")


# A damaged file


@pytest.fixture(scope="module")
def ledger_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a ledger of a few hundred events."""
    cli = Cli(tmp_path_factory.mktemp("ledger"))
    cli.append(*(deposit(f"k{i}") for i in range(300)))
    return cli.db.read_bytes()


PAGE = 4096
DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut in half": (lambda good: good[: len(good) // 2], "database_damaged"),
    "cut within its header": (lambda good: good[:100], "database_damaged"),
    "cut at a page": (lambda good: good[: 5 * PAGE], "database_damaged"),
    "zeros": (lambda good: bytes(len(good)), "not_a_database"),
    "its header overwritten": (lambda good: b"#!/bin/sh\n".ljust(100) + good[100:], "not_a_database"),
    "all but its header overwritten": (lambda good: good[:PAGE] + bytes(len(good) - PAGE), "database_damaged"),
    "its end overwritten": (lambda good: good[: 8 * PAGE] + b"\xab" * (len(good) - 8 * PAGE), "database_damaged"),
}
COMMANDS = [
    LINE,
    ("balance",),
    ("pnl",),
    ("audit", "basis"),
    ("check",),
    ("rebuild",),
    ("rebuild", "--dry-run"),
    ("head",),
    ("init",),
    ("db", "current"),
    ("db", "history"),
    ("db", "upgrade"),
]


@ON_A_FILE
@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_file_is_not_trusted(name: str, ledger_bytes: bytes, empty_cli: Cli) -> None:
    damage, error = DAMAGES[name]
    empty_cli.db.write_bytes(damage(ledger_bytes))
    before = sha256(empty_cli.db)
    assert_refused(empty_cli.run("check"), 4, error, empty_cli.db.name)
    failed = [command for command in COMMANDS if empty_cli.here(*command).code == 4]
    # A command that reads only what was not damaged may answer; what writes must have found out.
    assert {LINE, ("check",), ("rebuild",)} <= set(failed)
    assert sha256(empty_cli.db) == before


@ON_A_FILE
@pytest.mark.parametrize("seed", range(12))
def test_changed_bytes_anywhere_in_the_file_are_never_a_traceback(seed: int, cli: Cli) -> None:
    """In the schema's text too, which SQLite quotes in its errors though it can no longer be decoded."""
    chance = random.Random(seed)  # noqa: S311
    damaged = bytearray(cli.db.read_bytes())
    used = [place for place, byte in enumerate(damaged) if byte]
    for place in chance.sample(used, chance.choice((1, 5, 50))):
        damaged[place] = chance.randrange(256)
    for command in COMMANDS:
        cli.db.write_bytes(damaged)
        ran = cli.here(*command)
        assert ran.code in (0, 1, 3, 4)
        assert ran.code != 4 or ran.err.startswith("error[")


@ON_A_FILE
def test_a_schema_that_cannot_be_decoded_is_damage(cli: Cli) -> None:
    # The name of a table, which SQLite quotes in its error, is no longer text.
    damaged = cli.db.read_bytes().replace(b"tableeventsevents", b"table\xff\xfeentsevents")
    assert b"\xff\xfeents" in damaged
    cli.db.write_bytes(damaged)
    assert_refused(cli.here("balance"), 4, "database_damaged", "backup")


# A locked database

HOLD_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


@ON_A_FILE
def test_a_database_that_another_process_keeps_locked_is_busy(cli: Cli) -> None:
    """The command waits half a minute for the lock; the library's caller may say how long, here not at all."""
    before = cli.contents()
    command = [sys.executable, "-c", HOLD_LOCK, str(cli.db)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with Bookkeeper.open(cli.location, busy_timeout_s=0) as keeper, pytest.raises(StorageError) as caught:
            keeper.append("main", event("deposit", asset="RLUSD", amount="1"))
        other.stdin.close()
    assert (caught.value.code, exit_code(caught.value)) == (StorageFault.DATABASE_BUSY, 4)
    assert "nothing was written" in str(caught.value)
    assert cli.contents() == before
    assert cli.here(*LINE).code == 0


@ON_A_FILE
def test_what_a_killed_process_left_is_taken_up(cli: Cli, tmp_path: Path) -> None:
    """It committed an event that is only in the WAL, and left another one uncommitted."""
    with cli.start("append", "--file", "-", "--batch", "1") as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(ndjson([deposit("a")]))
        child.stdin.flush()
        child.stdout.readline()
        child.kill()
    assert (tmp_path / f"{cli.db.name}-wal").stat().st_size > 0
    before = cli.unchanged()
    assert cli.run("balance", "-O", "json").json["version"] == 2
    assert cli.unchanged() == before, "reading does not move the WAL into the file"
    assert cli.here(*LINE).code == 0
    assert cli.here("check").code == 0


# Whatever is typed

WORDS = "-|--|--help|-O|json|1|-1|0|1e400|NaN|main|RLUSD|XRP|XRP=1|XRP=9e99|chain|1:|.|{}|2026-01-05T09:00:00Z"
LONG = ["", "9" * 19, "9" * 5000, "[" * 5000, "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00"]
ANYTHING = st.text(st.characters(exclude_categories=()), max_size=30) | st.sampled_from([*WORDS.split("|"), *LONG])
OPTIONS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("append",): ("--file", "--batch", "--expect-version", "-O"),
    ("append", "fill"): ("--side", "--base-asset", "--base-amount", "--quote-amount", "--fee-amount", "--liquidity"),
    ("append", "deposit"): ("--asset", "--amount", "--price", "--basis-delta", "--key", "--corrects", "--tx-hash"),
    ("append", "withdrawal"): ("--asset", "--amount", "--price", "--basis-delta", "--evidence", "--at"),
    ("append", "basis-commit"): ("--basis-delta", "--asset", "--amount", "--price"),
    ("append", "mark"): ("--asset", "--price", "--price-source", "--at", "--expect-version"),
    ("append", "adjustment"): ("--asset", "--amount", "--reason", "--source-note"),
    ("append", "baseline"): ("--starting-value", "--reason", "--session-id"),
    ("balance",): ("--as-of", "--known-at", "-O"),
    ("pnl",): ("--price", "--as-of", "--known-at", "--from", "--to", "-O"),
    ("audit", "basis"): ("--as-of", "--known-at", "-O"),
    ("rebuild",): ("-O",),
    ("check",): ("--only", "--expect-head", "-O"),
    ("head",): ("-O",),
    ("init",): ("--mode", "--numeraire", "--base-asset", "--policy"),
    ("db",): ("upgrade", "current", "history"),
}


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """A command, options of its own with any text, and sometimes a stray text."""
    command = draw(st.sampled_from(sorted(OPTIONS)))
    given_options = draw(st.lists(st.sampled_from(OPTIONS[command]), unique=True))
    arguments = [part for option in given_options for part in (option, draw(ANYTHING))]
    return [*command, *arguments, *draw(st.lists(ANYTHING, max_size=1))]


@pytest.fixture(scope="module", params=ENGINES[:1])
def playground(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """A ledger that every example of a property starts from anew."""
    cli = Cli(tmp_path_factory.mktemp("playground"), request.param)
    cli.append(deposit("k"))
    yield cli
    forget(cli.location)


@example(line=["balance", "--as-of", "9" * 5000], book=None)
@example(line=["pnl", "--from", "9" * 5000], book=None)
@example(line=["check", "--expect-head", "9" * 5000 + ":" + "0" * 64], book=None)
@given(line=command_lines(), book=st.none() | ANYTHING)
def test_no_argument_whatsoever_is_a_traceback(playground: Cli, line: list[str], book: str | None) -> None:
    with playground.kept():
        before = playground.unchanged()
        target = ("--db", playground.location, *(() if book is None else ("--book", book)))
        ran = playground.here(*line, target=target)
        assert ran.code in (0, 1, 2, 3, 4)
        if ran.code:
            assert ran.err.startswith(("error[", "Usage:"))  # a group without a command shows its help
            assert playground.unchanged() == before
        else:
            assert playground.here("check").code == 0


@given(path=ANYTHING, is_below=st.booleans())
def test_no_path_whatsoever_is_a_traceback(path: str, is_below: bool, playground: Cli) -> None:
    """Of a command that only reads, so that no path can come to harm."""
    location = f"{playground.folder}/missing/{path}" if is_below else path
    ran = playground.here("head", target=("--db", location))
    assert ran.code in (2, 4)
    assert ran.err.startswith("error[")
    assert [found.name for found in playground.folder.iterdir()] == (
        [playground.db.name] if playground.engine == "sqlite" else []
    )
