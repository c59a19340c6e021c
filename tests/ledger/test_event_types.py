"""Which forms of events a ledger holds: kept and copied with them, refused where one is not known; and upcasting."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from engine import schema
from engine.bookkeeper import Bookkeeper
from engine.proof.check import check
from engine.upkeep.copying import copy_book
from ledger import event_types, upcasting
from ledger.database.connections import Database
from ledger.database.faults import Access
from ledger.errors import KeyConflict, Refused, StorageError
from ledger.event_types import RELEASES
from ledger.events import EVENT_TYPES, Adjustment, Fill, Opened
from ledger.stored import chain_hash, decode_body, encode_body
from ledger.upcasting import UPCASTERS, Fields, upcast
from tests.cli_support import Cli, assert_refused, ndjson
from tests.engines import Engine, contents, forget, new_ledger, raw_access
from tests.migrations.first_schema import first_ledger
from tests.support import BOOK, SMALLEST, START, event, log_of

Form = tuple[str, int, str]
OPENED: Form = ("opened", 1, "0.1.0")
DEPOSIT: Form = ("deposit", 1, "0.1.0")
MARK: Form = ("mark", 1, "0.1.0")
FILL: Form = ("fill", 2, "0.2.0")
GIVE_UP_S = 60


def forms(location: str) -> set[Form]:
    """The rows of `event_types`, read past the program."""
    with raw_access(location) as raw:
        return set(raw.execute("SELECT type, version, release FROM event_types"))


@pytest.fixture
def other(engine: Engine, tmp_path: Path) -> Iterator[str]:
    """Where there is a second ledger without a book, on the same engine."""
    made = new_ledger(engine, tmp_path, "other.db")
    yield made
    forget(made)


# With the events


def test_a_form_is_announced_when_it_is_first_used(keeper: Bookkeeper, location: str) -> None:
    assert forms(location) == {OPENED}
    for _ in range(2):
        keeper.append(BOOK, event("fill", **SMALLEST["fill"]))
        assert forms(location) == {OPENED, FILL}
    keeper.append_all(BOOK, [event(kind, **SMALLEST[kind]) for kind in SMALLEST if kind != "opened"])
    newest = {(kind, of_kind.TYPE_VERSION) for kind, of_kind in EVENT_TYPES.items()}
    assert forms(location) == {(*form, RELEASES[form]) for form in newest}
    assert check(keeper.database, BOOK).ok


def test_a_form_is_announced_in_the_transaction_of_its_event(keeper: Bookkeeper, location: str) -> None:
    """Nobody sees one without the other; with the event it is taken back, and announced with the next one."""

    def append_and_fail() -> None:
        with keeper.transaction(BOOK) as transaction:
            transaction.append(event("fill", **SMALLEST["fill"]))
            inside = transaction.connection.exec_driver_sql("SELECT type FROM event_types").scalars().all()
            assert sorted(inside) == ["fill", "opened"]
            assert forms(location) == {OPENED}
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        append_and_fail()
    assert forms(location) == {OPENED}
    before = contents(location)
    with pytest.raises(Refused):
        keeper.append_all(BOOK, [event("mark", asset="XRP", price="1"), event("mark", asset="RLUSD", price="1")])
    assert contents(location) == before
    keeper.append(BOOK, event("fill", **SMALLEST["fill"]))
    assert forms(location) == {OPENED, FILL}
    assert check(keeper.database, BOOK).ok


def test_what_is_there_already_announces_nothing(keeper: Bookkeeper, location: str) -> None:
    keeper.append(BOOK, event("fill", **SMALLEST["fill"], key="f"))
    before = contents(location)
    with Bookkeeper.open(location) as another:
        assert another.append(BOOK, event("fill", **SMALLEST["fill"], key="f")).existed
        # It is announced once for all: this bookkeeper did not know, or knew from the start.
        another.append(BOOK, event("fill", **SMALLEST["fill"], key="g"))
    assert forms(location) == {OPENED, FILL}
    assert contents(location) != before


def test_a_form_is_announced_by_whichever_bookkeeper_uses_it_first(keeper: Bookkeeper, location: str) -> None:
    """Each knows what was there when it opened the ledger."""
    with Bookkeeper.open(location) as another:
        for number, writer in enumerate((keeper, another, keeper)):
            writer.append(BOOK, event("mark", asset="XRP", price=f"{number}"))
    assert forms(location) == {OPENED, MARK}


@pytest.mark.parametrize("is_kept", [True, False], ids=["kept", "rolled back"])
def test_two_that_use_a_form_first_at_the_same_time_both_succeed(
    keeper: Bookkeeper, location: str, is_kept: bool
) -> None:
    """Of two books, so that on a server neither waits for the other's. Also when the first is rolled back after all."""
    keeper.open_book("second", Opened.model_validate({"mode": "live"}))
    first_has_announced, second_has_begun = threading.Event(), threading.Event()
    failed: list[BaseException] = []

    def second() -> None:
        try:
            with Bookkeeper.open(location) as another:
                assert first_has_announced.wait(GIVE_UP_S)
                second_has_begun.set()
                another.append("second", event("mark", asset="XRP", price="2"))
        except BaseException as error:
            failed.append(error)
            raise

    thread = threading.Thread(target=second)
    thread.start()
    try:
        with keeper.transaction(BOOK) as transaction:
            transaction.append(event("mark", asset="XRP", price="1"))
            first_has_announced.set()
            assert second_has_begun.wait(GIVE_UP_S)
            thread.join(0.2)
            assert thread.is_alive()  # it waits for what becomes of the row
            if not is_kept:
                raise RuntimeError("the first gives up")
    except RuntimeError:
        assert not is_kept
    thread.join(GIVE_UP_S)
    assert failed == []
    assert forms(location) == {OPENED, MARK}
    with Bookkeeper.open(location) as reader:
        for book, versions in ((BOOK, 1 + is_kept), ("second", 2)):
            assert len(log_of(reader, book)) == versions
            assert check(reader.database, book).ok


def test_an_adjustment_of_before_stands_alone_and_is_no_conflict_with_one_in_a_group(keeper: Bookkeeper) -> None:
    """Its bytes say nothing of a group, and reading them in the newest form changes none of them."""
    made = event("adjustment", **SMALLEST["adjustment"], key="a", at=START)
    body = encode_body(made, book=BOOK, version=2, event_id="id", recorded_at=START, type_version=1)
    read = decode_body(body)
    assert isinstance(read.event, Adjustment)
    assert (read.type_version, read.event.group) == (1, None)
    assert encode_body(read.event, book=BOOK, version=2, event_id="id", recorded_at=START, type_version=1) == body
    sealed = keeper.append(BOOK, event("adjustment", **SMALLEST["adjustment"], key="b", group="9A0F")).stored
    assert decode_body(sealed.body).type_version == 2
    assert keeper.append(BOOK, event("adjustment", **SMALLEST["adjustment"], key="b", group="9A0F")).existed
    with pytest.raises(KeyConflict, match="another group"):
        keeper.append(BOOK, event("adjustment", **SMALLEST["adjustment"], key="b", group="9A10"))


# Copied


def test_a_copy_has_the_forms_of_what_was_copied(keeper: Bookkeeper, other: str) -> None:
    keeper.append(BOOK, event("fill", **SMALLEST["fill"]))
    keeper.open_book("second", Opened.model_validate({"mode": "live"}))
    keeper.append("second", event("mark", asset="XRP", price="2"))
    with Database.open(other, "write") as target:
        for book, expected in ((BOOK, {OPENED, FILL}), ("second", {OPENED, FILL, MARK})):
            copy_book(keeper.database, target, book)
            assert forms(other) == expected
            assert check(target, book).ok


def test_a_copy_of_what_the_first_release_wrote_has_the_first_forms(engine: Engine, tmp_path: Path, other: str) -> None:
    """Although what reads it sees the newest forms."""
    location = first_ledger(engine, tmp_path)
    with Database.open(location, "create") as database, database.writing() as connection:
        schema.upgrade(connection)
    with Database.open(location, "read") as source, Database.open(other, "write") as target:
        copy_book(source, target, "main")
        assert ("fill", 1, "0.1.0") in forms(other)
        assert {version for _, version, _ in forms(other)} == {1}
        assert check(target, "main").ok
    forget(location)


# Newer than the program


NEWER = {"a newer version": ("fill", 3, "fill/3"), "a new type": ("loan", 1, "loan/1")}


def put_newer(location: str, what: str) -> None:
    """As a later release would have it."""
    kind, version, _ = NEWER[what]
    with raw_access(location) as raw:
        raw.execute("INSERT INTO event_types VALUES (?, ?, '0.9.3')", [kind, version])


@pytest.mark.parametrize("what", NEWER)
def test_a_ledger_with_a_form_that_is_not_known_is_not_opened(keeper: Bookkeeper, location: str, what: str) -> None:
    put_newer(location, what)
    before = contents(location)
    access: Access
    for access in get_args(Access):
        with pytest.raises(StorageError) as error:
            Bookkeeper.open(location, access)
        assert (error.value.code, NEWER[what][2] in error.value.what) == ("event_type_newer", True)
        assert error.value.expected == "netbasis '0.9.3' or newer"
    assert contents(location) == before


COMMANDS = (
    ["head"],
    ["check"],
    ["check", "--only", "schema"],
    ["balance"],
    ["pnl"],
    ["register"],
    ["audit", "basis"],
    ["rebuild"],
    ["append", "mark", "--asset=XRP", "--price=1"],
    ["append", "--file", "some.ndjson"],
    ["inject", "5"],
    ["withdraw", "5", "--dry-run"],
    ["init"],
)


def test_every_command_names_the_release_and_leaves_the_ledger(cli: Cli) -> None:
    cli.write("some.ndjson", ndjson([{"type": "mark", "asset": "XRP", "price": "1", "key": "m"}]))
    put_newer(cli.location, "a newer version")
    before = cli.unchanged()
    for command in COMMANDS:
        ran = cli.run(*command)
        assert_refused(ran, 4, "event_type_newer", "fill/3", "0.9.3", "install that release")
    assert cli.unchanged() == before


def test_neither_end_of_a_copy_may_have_a_form_that_is_not_known(cli: Cli, other: str) -> None:
    put_newer(other, "a new type")
    assert_refused(cli.here("copy", "--to", other), 4, "event_type_newer", "loan/1", "0.9.3")
    with raw_access(other) as raw:
        assert raw.execute("SELECT count(*) FROM books") == [(0,)]
        raw.execute("DELETE FROM event_types")
    put_newer(cli.location, "a new type")
    before = contents(other)
    assert_refused(cli.here("copy", "--to", other), 4, "event_type_newer", "loan/1", "0.9.3")
    assert contents(other) == before


def test_every_form_has_its_release_and_a_way_to_the_newest() -> None:
    """From each version of a type to the next; none begins at the newest, nor at one that never was."""
    for kind, newest in ((kind, of_kind.TYPE_VERSION) for kind, of_kind in EVENT_TYPES.items()):
        versions = [version for name, version in RELEASES if name == kind]
        assert sorted(versions) == list(range(1, newest + 1))
        assert sorted(version for name, version in UPCASTERS if name == kind) == list(range(1, newest))
    assert RELEASES["opened", 1] == event_types.FIRST_RELEASE


# Upcasting


def _added(name: str) -> Any:
    def step(fields: Fields) -> Fields:
        return {**fields, "steps": [*fields.get("steps", []), name]}

    return step


CHAIN = {("fill", 1): _added("1→2"), ("fill", 2): _added("2→3"), ("fill", 3): _added("3→4"), ("mark", 1): _added("m")}


@pytest.mark.parametrize(
    ("kind", "version", "steps"),
    [
        ("fill", 1, ["1→2", "2→3", "3→4"]),
        ("fill", 2, ["2→3", "3→4"]),
        ("fill", 3, ["3→4"]),
        ("fill", 4, []),
        ("mark", 1, ["m"]),
        ("deposit", 1, []),
    ],
)
def test_the_steps_to_the_newest_version_are_taken_in_order(
    monkeypatch: pytest.MonkeyPatch, kind: str, version: int, steps: list[str]
) -> None:
    monkeypatch.setattr(upcasting, "UPCASTERS", CHAIN)
    given: Fields = {"asset": "XRP"}
    assert upcast(kind, version, given).get("steps", []) == steps
    assert given == {"asset": "XRP"}


def test_the_upcasters_of_the_program_change_no_field_that_was_given() -> None:
    for (kind, version), step in UPCASTERS.items():
        assert step({"key": "k", "asset": kind}) == {"key": "k", "asset": kind}, version


def strategy_of(body: bytes) -> str | None:
    """The strategy of a fill, as its bytes are read."""
    read = decode_body(body).event
    assert isinstance(read, Fill)
    return read.strategy


def test_stored_bytes_and_hashes_stay_whatever_the_newest_form_is(
    monkeypatch: pytest.MonkeyPatch, keeper: Bookkeeper
) -> None:
    """A program with a third form of a fill reads those of today's through its step, and their chain is what it was."""
    keeper.append(BOOK, event("fill", **SMALLEST["fill"], strategy="mine"))
    keeper.append(BOOK, event("deposit", asset="RLUSD", amount="1"))
    before = [(stored.body, stored.hash) for stored in log_of(keeper)]

    def to_3(fields: Fields) -> Fields:
        return {**fields, "strategy": f"{fields.get('strategy', 'none')} of before"}

    monkeypatch.setattr(upcasting, "UPCASTERS", {**UPCASTERS, ("fill", 2): to_3})
    monkeypatch.setattr(Fill, "TYPE_VERSION", 3)
    monkeypatch.setattr(event_types, "RELEASES", {**RELEASES, ("fill", 3): "0.3.0"})
    log = log_of(keeper)
    assert [(stored.body, stored.hash) for stored in log] == before
    assert strategy_of(log[1].body) == "mine of before"
    assert b'"strategy":"mine"' in log[1].body
    previous = bytes(32)
    for stored in log:
        assert stored.hash == chain_hash(previous, stored.body)
        previous = stored.hash
    # What is appended now has the third form, which is not passed through a step.
    newest = keeper.append(BOOK, event("fill", **SMALLEST["fill"], strategy="new")).stored
    assert (decode_body(newest.body).type_version, strategy_of(newest.body)) == (3, "new")
    first = encode_body(
        event("fill", **SMALLEST["fill"], at=START, key="k"),
        book=BOOK,
        version=9,
        event_id="id",
        recorded_at=START,
        type_version=1,
    )
    assert strategy_of(first) == "none of before"
