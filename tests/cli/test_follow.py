"""`follow`: every event once, in order, as it comes, from a version on; it ends when told to, and when nobody reads."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import pytest

from engine.bookkeeper import Bookkeeper
from engine.reports.following import EVENTS_AT_ONCE, follow
from ledger.errors import NetbasisError
from tests.cli_support import Cli, assert_refused, deposit, ended
from tests.engines import intruding, raw_access
from tests.script_server import ForkedScript
from tests.support import BOOK, SMALLEST, event, open_keeper

pytestmark = pytest.mark.both_engines


@contextmanager
def following(cli: Cli, *options: str) -> Iterator[tuple[ForkedScript, IO[bytes]]]:
    with cli.start("follow", *options, stdin=subprocess.DEVNULL) as child:
        assert child.stdout is not None
        yield child, child.stdout


def line_of(out: IO[bytes]) -> Any:
    """The next line; the child is killed when it does not come, and the test fails."""
    return json.loads(out.readline())


def test_what_is_there_and_what_comes_is_printed_in_order_and_ctrl_c_ends_it(cli: Cli) -> None:
    cli.append(deposit("d1"), deposit("d2"))
    with following(cli, "--from", "2") as (child, out):
        assert [line_of(out)["key"] for _ in range(2)] == ["d1", "d2"]
        cli.append(deposit("d3", "1.50", source_note="später"))
        found = line_of(out)
        shown = cli.here("show", "4", "-O", "json").json
        assert {name: found.pop(name) for name in ("book", "version", "hash", "event_id", "recorded_at")} == {
            name: shown[name] for name in ("book", "version", "hash", "event_id", "recorded_at")
        }
        assert found == shown["event"]
        child.send_signal(signal.SIGINT)
        ran = ended(child)
    assert (ran.code, ran.out, ran.err) == (0, "", "")


def test_without_a_version_only_what_comes_is_printed_and_a_reader_who_goes_ends_it(cli: Cli) -> None:
    cli.append(deposit("old"))
    with following(cli) as (child, out):
        # Until it has begun to follow, what is appended may be before its beginning.
        number = 0
        os.set_blocking(out.fileno(), False)
        while not (line := out.readline()):
            number += 1
            cli.append(deposit(f"new{number}"))
        assert json.loads(line)["key"].startswith("new")
        out.close()
        code = child.wait(30)  # nothing is appended any more: it notices by itself
        assert child.stderr is not None
        assert (code, child.stderr.read()) == (0, b"")


def test_a_program_goes_on_where_it_was_and_misses_and_doubles_nothing(cli: Cli) -> None:
    versions: list[int] = []
    for number in range(4):
        cli.append(*(deposit(f"{number}-{each}") for each in range(3)))
        start = str(versions[-1] + 1) if versions else "1"
        ran = cli.here("follow", "--from", start, "--once")
        assert ran.code == 0
        versions += [json.loads(line)["version"] for line in ran.lines]
    assert versions == list(range(1, 14))
    assert cli.here("follow", "--from", "14", "--once").out == ""
    assert cli.here("follow", "--once").out == ""


@pytest.mark.parametrize(
    ("options", "error"), [(("--from", "3"), "version_unknown"), (("--from", "99"), "version_unknown")]
)
def test_a_log_that_ends_before_what_is_to_come_is_another_one(cli: Cli, options: tuple[str, ...], error: str) -> None:
    assert_refused(cli.here("follow", *options, "--once"), 1, error, ["an", "older", "copy"][1])
    assert cli.here("follow", "--from", "0", "--once").code == 2
    assert_refused(cli.here("follow", "--once", target=("--db", cli.location, "--book", "no")), 1, "book_unknown")


def test_more_events_than_are_read_at_once(keeper: Bookkeeper) -> None:
    count = EVENTS_AT_ONCE * 2 + 3
    keeper.append_all(BOOK, [event("deposit", **SMALLEST["deposit"], key=str(each)) for each in range(count)])
    batches = list(follow(keeper.database, BOOK, 1, lambda: False))
    assert [stored.version for some in batches for stored in some] == list(range(1, count + 2))
    assert max(map(len, batches)) == EVENTS_AT_ONCE


def test_a_log_that_was_cut_or_changed_behind_the_follower_is_noticed(keeper: Bookkeeper, location: str) -> None:
    keeper.append_all(BOOK, [event("deposit", **SMALLEST["deposit"], key=str(each)) for each in range(3)])
    with Bookkeeper.open(location, "read") as reader:
        found = follow(reader.database, BOOK, 1, lambda: True)
        assert len(next(found)) == 4
        with raw_access(location) as raw:
            raw.execute("UPDATE books SET head_version = 3 WHERE book = ?", [BOOK])
        with pytest.raises(NetbasisError, match="version_unknown"):
            next(found)
        with raw_access(location) as raw:
            raw.execute("UPDATE books SET head_version = 4 WHERE book = ?", [BOOK])


def test_an_event_that_does_not_follow_from_what_was_followed_is_no_part_of_it(
    keeper: Bookkeeper, location: str
) -> None:
    """As after a restore: what was followed is gone, and the log has grown again."""
    keeper.append_all(BOOK, [event("deposit", **SMALLEST["deposit"], key=str(each)) for each in range(3)])
    with Bookkeeper.open(location, "read") as reader:
        found = follow(reader.database, BOOK, 2, lambda: True)
        assert [stored.version for stored in next(found)] == [2, 3, 4]
        keeper.append(BOOK, event("deposit", **SMALLEST["deposit"], key="next"))
        assert [stored.key for stored in next(found)] == ["next"]
        keeper.append(BOOK, event("deposit", **SMALLEST["deposit"], key="grown again"))
        with intruding(location) as raw:
            raw.execute("UPDATE events SET hash = ? WHERE version = 6", [bytes(32)])
        with pytest.raises(NetbasisError, match="database_damaged"):
            next(found)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_file_that_another_one_replaces_is_not_followed_on(keeper: Bookkeeper, location: str, tmp_path: Any) -> None:
    keeper.append(BOOK, event("deposit", **SMALLEST["deposit"], key="d"))
    with Bookkeeper.open(location, "read") as reader:
        found = follow(reader.database, BOOK, 1, lambda: True)
        assert len(next(found)) == 2
        with open_keeper(tmp_path, name="other.db") as other:
            other.append_all(BOOK, [event("deposit", **SMALLEST["deposit"], key=str(each)) for each in range(3)])
        shutil.move(tmp_path / "other.db", location)
        with pytest.raises(NetbasisError, match="database_moved"):
            next(found)
