"""`check` finds every change made behind the program's back, at its version and nowhere else."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from engine.bookkeeper import Bookkeeper
from engine.proof.check import CheckReport, check
from engine.proof.request import NAMES, ExpectedHead
from engine.upkeep.rebuild import rebuild
from ledger import store
from ledger.book import GENESIS_HASH
from ledger.database.tables import books, events
from ledger.errors import Refused, StorageError
from ledger.integrity.findings import Finding
from ledger.stored import chain_hash
from tests.ledger.database.store_support import (
    SAMPLE_VERSIONS,
    VERSION_OF,
    append_sample,
    column_of,
    content,
    fill,
    findings_of,
    sample_file,
    tamper,
    tampering,
    versions_found,
)
from tests.support import BOOK, SequentialIds, TickingClock, a_share_of, event, log_of, open_keeper

COLUMNS = [column.name for column in events.columns]
NULLABLE = [column.name for column in events.columns if column.nullable]
# What a row is found by: changing one of these moves the event, so that its place is found empty.
PLACE = ["book", "version"]
BODIES = ["body", "hash"]
COPIES = [name for name in COLUMNS if name not in PLACE + BODIES]
LAST = SAMPLE_VERSIONS
# Versions of every type. Those of one group are changed at once: none lies beside another or rests on it, so that each is
# found by itself, and what lies behind it or rests on it would be blamed.
APART = ((2, 5, 9), (1, 8, 10, 12), (7, 11))


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """A closed ledger with the sample log."""
    return sample_file(tmp_path)


def another(value: object, if_none: str = "1") -> object:
    """A value of the same type that is not the same."""
    if value is None:
        return if_none
    if isinstance(value, int):
        return value + 1000
    if isinstance(value, bytes):
        return bytes([value[0] ^ 1]) + value[1:]
    assert isinstance(value, str)
    return ("8" if value[0] == "9" else "9") + value[1:]


def change_column(ledger: Path, version: int, column: str, to: object) -> None:
    tamper(ledger, f'UPDATE events SET "{column}" = ? WHERE version = ?', to, version)


def test_the_sample_is_sound_and_has_every_type_where_the_tests_look_for_it(ledger: Path) -> None:
    assert findings_of(ledger) == []
    for kind, version in VERSION_OF.items():
        assert column_of(ledger, "events", "type", f"version = {version}") == kind


def stored_in(ledger: Path, column: str) -> dict[int, Any]:
    """What stands in a column of the sample log, at each version."""
    sample_file(ledger.parent)
    with closing(sqlite3.connect(ledger)) as connection:
        return dict(connection.execute(f'SELECT version, "{column}" FROM events'))


def found_of(ledger: Path, column: str, values: Mapping[int, object]) -> list[Finding]:
    """What is found of the sample log with other values in a column of some events, and nothing else changed."""
    return found_of_columns(ledger, {(column, version): value for version, value in values.items()})


def found_of_columns(ledger: Path, values: Mapping[tuple[str, int], object]) -> list[Finding]:
    """What is found of the sample log with other values in some columns of some events, by column and version."""
    sample_file(ledger.parent)
    with tampering(ledger) as connection:
        for (column, version), value in values.items():
            changed = connection.execute(f'UPDATE events SET "{column}" = ? WHERE version = ?', (value, version))
            assert changed.rowcount == 1
    return findings_of(ledger)


def require_named(ledger: Path, values: Mapping[tuple[str, int], object]) -> None:
    """Each changed column is named at its version, and there is no other finding."""
    named = {
        ("chain", version, f"the column {column} is not what the event's bytes give") for column, version in values
    }
    assert {(found.invariant, found.version, found.detail) for found in found_of_columns(ledger, values)} == named


def places_of(findings: Iterable[Finding]) -> set[tuple[str, int | None]]:
    return {(finding.invariant, finding.version) for finding in findings}


def test_a_changed_column_is_found_at_its_version_only(ledger: Path) -> None:
    """Also where later events look back at the changed one: its reversal and baselines after it stay unblamed."""
    assert {version for group in APART for version in group} == set(VERSION_OF.values())
    stored = {column: stored_in(ledger, column) for column in COPIES}
    for start in range(5):
        for group in APART:
            places = [(column, version) for column in COPIES[start::5] for version in group]
            others = {(column, at): another(stored[column][at], str(1000 + at)) for column, at in places}
            # No two events may have the same key, or reverse the same.
            others |= {(column, at): f"key {at}" for column, at in places if column == "key"}
            require_named(ledger, others)


def test_each_column_set_to_null_is_found_at_its_version_only(ledger: Path) -> None:
    tried = 0
    stored = {column: stored_in(ledger, column) for column in NULLABLE}
    for start in range(3):
        for group in APART:
            places = [(column, version) for column in NULLABLE[start::3] for version in group]
            filled = [(column, version) for column, version in places if stored[column][version] is not None]
            require_named(ledger, dict.fromkeys(filled))
            tried += len(filled)
    assert tried > 20


GARBAGE: dict[str, object] = {
    "text": "garbage",
    "blob": b"\xff\x00",
    "float": 7.25,
    "huge": "1e9999",
    "empty": "",
    "unicode digits": "１２",
    "nan": "NaN",
    "long": "9" * 500,
    "the word for null": "None",
}


def test_garbage_in_any_column_is_found_at_its_version_and_raises_nothing(ledger: Path) -> None:
    """In a share of the columns, in others for the next garbage and the next event. SQLite takes text for a whole number."""
    for number, garbage in enumerate(GARBAGE.values()):
        for together in (("opened", "reversal"), ("fill",)):
            columns = {kind: a_share_of(COPIES, number + 4 * row, parts=11) for row, kind in enumerate(together)}
            places = [(column, VERSION_OF[kind]) for kind, of in columns.items() for column in of]
            found = found_of_columns(ledger, dict.fromkeys(places, garbage))
            assert places_of(found) == {("chain", version) for _, version in places}, (garbage, places)


def test_text_that_is_not_utf_8_is_found_at_its_version(ledger: Path) -> None:
    for column in ("session_id", "asset_delta", "recorded_at", "unknown_fees"):
        stored = column_of(ledger, "events", column, "version = 5")
        tamper(ledger, f"UPDATE events SET {column} = CAST(x'ff41' AS TEXT) WHERE version = 5")
        found = findings_of(ledger)
        assert {(finding.invariant, finding.version) for finding in found} == {("chain", 5)}, column
        "".join(finding.actual or "" for finding in found).encode("utf-8")  # can be printed
        change_column(ledger, 5, column, stored)


@pytest.mark.parametrize("column", PLACE)
def test_an_event_moved_to_another_place_leaves_a_gap_that_is_found(ledger: Path, column: str) -> None:
    stored = stored_in(ledger, column)
    for number, (kind, version) in enumerate(VERSION_OF.items()):
        for to in a_share_of((another(stored[version]), "garbage", b"\xff\x00"), number, parts=3):
            found = found_of(ledger, column, {version: to})
            assert ("chain", version) in places_of(found), (kind, to)


@pytest.mark.parametrize("column", BODIES)
def test_a_flipped_bit_of_body_or_hash_is_found_at_its_version_only(ledger: Path, column: str) -> None:
    """Every 59th byte is tried, and of it one bit; later events are proved by the hash that they were built on."""
    stored = stored_in(ledger, column)
    for group in APART:
        longest = max(len(stored[version]) for version in group)
        for place in {*range(0, longest, 59), longest - 1}:
            flipped = {version: flipped_at(stored[version], place) for version in group}
            found = {finding.version for finding in found_of(ledger, column, flipped) if not_of_marks(finding)}
            assert found == set(group), (place, flipped)


def flipped_at(stored: bytes, place: int) -> bytes:
    """Bytes with one bit flipped at a place; at their end where they end before it."""
    flipped = bytearray(stored)
    flipped[min(place, len(stored) - 1)] ^= 1 << (place % 8)
    return bytes(flipped)


def not_of_marks(finding: Finding) -> bool:
    """A mark's price is in its bytes alone, so of a changed one the stored projection cannot be proved any more."""
    return "the stored projection marks" not in finding.detail


@pytest.mark.parametrize("column", BODIES)
def test_garbage_for_body_or_hash_is_found_at_its_version_only(ledger: Path, column: str) -> None:
    """In the first event, a mark and a reversal at once."""
    for garbage in (b"", b"{}", b"[]", b"null", "text", 7, b"{" * 2000, b'{"type":"fill/1"}'):
        found = found_of(ledger, column, dict.fromkeys((1, 8, 12), garbage))
        assert {finding.version for finding in found if finding.invariant == "chain"} == {1, 8, 12}, garbage


@pytest.mark.parametrize("column", BODIES)
def test_bytes_kept_as_text_are_found_although_they_are_the_same(ledger: Path, column: str) -> None:
    tamper(ledger, f"UPDATE events SET {column} = CAST({column} AS TEXT) WHERE version = 9")
    assert versions_found(ledger) == {9}


def test_two_changed_neighbours_are_found_and_nothing_after_them(ledger: Path) -> None:
    for version in (5, 6):
        change_column(ledger, version, "hash", bytes(32))
    assert versions_found(ledger) == {5, 6}


def test_a_changed_body_with_its_hash_made_anew_is_found_at_the_next_version(ledger: Path) -> None:
    """The forger's event is whole in itself; it is the successor that was not built on it."""
    with tampering(ledger) as connection:
        (previous,) = connection.execute("SELECT hash FROM events WHERE version = 8").fetchone()
        (body,) = connection.execute("SELECT body FROM events WHERE version = 9").fetchone()
        forged = body.replace(b'"amount":"20"', b'"amount":"21"')
        assert forged != body
        connection.execute(
            "UPDATE events SET body = ?, hash = ? WHERE version = 9", (forged, chain_hash(previous, forged))
        )
    assert {9, 10} <= versions_found(ledger)  # 9: its columns still tell the old amount


def forge_chain(connection: sqlite3.Connection) -> tuple[int, bytes]:
    """Build every hash anew from the bodies as they are; the head that this gives."""
    digest, version = GENESIS_HASH, 0
    for version, body in connection.execute("SELECT version, body FROM events ORDER BY version").fetchall():
        digest = chain_hash(digest, body)
        connection.execute("UPDATE events SET hash = ? WHERE version = ?", (digest, version))
    connection.execute("UPDATE books SET head_version = ?, head_hash = ?", (version, digest))
    return version, digest


def test_a_rewritten_chain_shows_only_against_a_head_that_was_kept(ledger: Path) -> None:
    kept = column_of(ledger, "events", "hash", f"version = {LAST}")
    assert isinstance(kept, bytes)
    with tampering(ledger) as connection:
        (body,) = connection.execute("SELECT body FROM events WHERE version = 10").fetchone()
        connection.execute(
            "UPDATE events SET body = ?, reason = 'network_fea' WHERE version = 10",
            (body.replace(b"network_fee", b"network_fea"),),
        )
        connection.execute("UPDATE fees SET amount = '0' WHERE asset = 'XRP'")  # it is none any more
        forge_chain(connection)
    assert findings_of(ledger) == []
    assert [finding.version for finding in against(ledger, ExpectedHead(kept, LAST)).findings] == [LAST]
    assert [finding.version for finding in against(ledger, ExpectedHead(kept)).findings] == [None]


def against(ledger: Path, head: ExpectedHead) -> CheckReport:
    """The check of a ledger against a head that was kept elsewhere."""
    with Bookkeeper.open(str(ledger), "read") as keeper:
        return check(keeper.database, BOOK, expected_head=head)


def test_an_expected_head_holds_wherever_it_stands_in_the_chain(ledger: Path) -> None:
    for version in (1, 9, LAST):
        stored = column_of(ledger, "events", "hash", f"version = {version}")
        assert isinstance(stored, bytes)
        assert against(ledger, ExpectedHead(stored)).ok
        assert against(ledger, ExpectedHead(stored, version)).ok
        assert not against(ledger, ExpectedHead(stored, version + 1)).ok


@pytest.mark.parametrize("version", [1, 2, 9, LAST - 1])
def test_a_removed_event_is_found_at_its_version(ledger: Path, version: int) -> None:
    """So are its successor, which no longer follows from what stands before it, and what rested on it; no other is."""
    tamper(ledger, "DELETE FROM events WHERE version = ?", version)
    found = versions_found(ledger)
    assert version in found
    assert found <= {version, version + 1} | resting_on(version)


def resting_on(version: int | None) -> set[int | None]:
    """The versions whose effects were made of an event: its reversal, and the baseline after its deposit or withdrawal."""
    rested: dict[int | None, set[int | None]] = {2: {11, 16}, 3: {11}, 4: {11}, 5: {12}, 9: {11}}
    return rested.get(version, set())


def test_all_events_removed_is_found(ledger: Path) -> None:
    tamper(ledger, "DELETE FROM events")
    assert versions_found(ledger) == {1}


def test_a_cut_tail_is_found_where_it_was_cut(ledger: Path) -> None:
    tamper(ledger, "DELETE FROM events WHERE version > 14")
    assert versions_found(ledger) == {15}


def cut_cleanly(ledger: Path, last: int) -> None:
    """Cut the tail after `last`, adjust the book's row, and rebuild: what a careful forger leaves."""
    with tampering(ledger) as connection:
        connection.execute("DELETE FROM events WHERE version > ?", (last,))
        connection.execute(
            "UPDATE books SET (head_version, head_hash, head_recorded_at) ="
            " (SELECT version, hash, recorded_at FROM events WHERE version = ?)",
            (last,),
        )
    with Bookkeeper.open(str(ledger)) as keeper:
        rebuild(keeper.database, BOOK)


def test_a_tail_cut_with_the_books_row_adjusted_shows_only_against_a_head_that_was_kept(ledger: Path) -> None:
    kept = column_of(ledger, "events", "hash", f"version = {LAST}")
    assert isinstance(kept, bytes)
    cut_cleanly(ledger, 14)
    assert findings_of(ledger) == []
    for head in (ExpectedHead(kept), ExpectedHead(kept, LAST)):
        (finding,) = against(ledger, head).findings
        assert (finding.invariant, finding.version, finding.expected) == ("chain", head.version, kept.hex())


def _insert(connection: sqlite3.Connection, version: int, **changed: object) -> None:
    """Put a copy of event 6 into the log, at a version of its own, with a key of its own."""
    row = connection.execute("SELECT * FROM events WHERE version = 6").fetchone()
    values = dict(zip(COLUMNS, row, strict=True)) | {"version": version, "key": "forged"} | changed
    places = ", ".join("?" for _ in values)
    connection.execute(f"INSERT INTO events VALUES ({places})", tuple(values.values()))


def test_an_event_put_in_at_the_end_is_found(ledger: Path) -> None:
    with tampering(ledger) as connection:
        _insert(connection, LAST + 1)
    assert versions_found(ledger) == {LAST + 1}


def test_an_event_put_in_at_the_end_with_the_books_row_adjusted_is_found(ledger: Path) -> None:
    with tampering(ledger) as connection:
        _insert(connection, LAST + 1)
        connection.execute("UPDATE books SET head_version = head_version + 1")
    assert versions_found(ledger) == {LAST + 1}


def test_an_event_put_in_beyond_a_gap_is_found_at_the_gap(ledger: Path) -> None:
    with tampering(ledger) as connection:
        _insert(connection, LAST + 5)
    assert min(version or 0 for version in versions_found(ledger)) == LAST + 1


def test_an_event_put_in_before_the_first_is_found(ledger: Path) -> None:
    with tampering(ledger) as connection:
        _insert(connection, 0)
    assert 0 in versions_found(ledger)


def test_an_event_put_in_the_middle_is_found_where_it_stands(ledger: Path) -> None:
    """What comes after it had to move by one, so its place is not what its bytes say: that is found as well."""
    with tampering(ledger) as connection:
        for version in range(LAST, 9, -1):
            connection.execute("UPDATE events SET version = version + 1 WHERE version = ?", (version,))
        _insert(connection, 10)
        connection.execute("UPDATE books SET head_version = head_version + 1")
    assert versions_found(ledger) == set(range(10, LAST + 2))


@pytest.mark.parametrize("what", [[name for name in COLUMNS if name not in PLACE], ["body"], ["hash"], BODIES])
def test_two_events_whose_contents_changed_places_are_found_at_both(ledger: Path, what: list[str]) -> None:
    for left, right in ((2, 3), (5, 6), (4, 10), (LAST - 1, LAST)):
        sample_file(ledger.parent)
        rows = {
            version: [column_of(ledger, "events", name, f"version = {version}") for name in what]
            for version in (left, right)
        }
        with tampering(ledger) as connection:
            connection.execute("UPDATE events SET key = 'aside', reverses = NULL WHERE version = ?", (right,))
            assignments = ", ".join(f'"{name}" = ?' for name in what)
            for version, other in ((left, right), (right, left)):
                connection.execute(f"UPDATE events SET {assignments} WHERE version = ?", (*rows[other], version))
        found = versions_found(ledger)
        assert {left, right} <= found, (left, right)
        assert found <= {left, right, left + 1, right + 1} | resting_on(left) | resting_on(right), (left, right)


def test_two_events_whose_versions_changed_places_are_found_at_both(ledger: Path) -> None:
    with tampering(ledger) as connection:
        for before, after in ((9, 99), (10, 9), (99, 10)):
            connection.execute("UPDATE events SET version = ? WHERE version = ?", (after, before))
    found = versions_found(ledger)
    assert {9, 10} <= found <= {9, 10, 11}


def test_a_time_of_recording_that_goes_back_is_found_even_in_a_forged_chain(ledger: Path) -> None:
    """Everything else about the forged event is in order."""
    early = "2020-01-01T00:00:00.000000Z"
    with tampering(ledger) as connection:
        stored, body = connection.execute("SELECT recorded_at, body FROM events WHERE version = 9").fetchone()
        forged = body.replace(f'"recorded_at":"{stored}"'.encode(), f'"recorded_at":"{early}"'.encode())
        connection.execute("UPDATE events SET body = ?, recorded_at = ? WHERE version = 9", (forged, early))
        forge_chain(connection)
    (finding,) = findings_of(ledger)
    assert (finding.invariant, finding.version) == ("chain", 9)
    assert finding.actual == early


def test_a_changed_column_of_the_books_row_is_found(ledger: Path) -> None:
    """The terms at version 1, where the book was opened; the head at the last version. No other event is blamed."""
    columns = [column.name for column in books.columns if column.name != "book"]
    terms = [column for column in columns if not column.startswith("head_")]
    for head in (column for column in columns if column not in terms):
        for number in range(4):
            sample_file(ledger.parent)
            for place, column in enumerate((*terms, head), number):
                to = (another(column_of(ledger, "books", column)), "garbage", b"\xff\x00", 1.5)[place % 4]
                tamper(ledger, f"UPDATE books SET {column} = ?", to)
            found = findings_of(ledger)
            assert {finding.invariant for finding in found} == {"chain"}, (head, number)
            for column in terms:
                assert any(finding.version == 1 and column in finding.detail for finding in found), (column, number)
            others = [finding for finding in found if finding.version != 1]
            assert {finding.version for finding in others} <= {LAST, LAST + 1}, (head, number)
            assert any(head.removeprefix("head_") in finding.detail for finding in others), (head, number)


def test_a_renamed_book_is_found(ledger: Path) -> None:
    tamper(ledger, "UPDATE books SET book = 'other'")
    found = [finding for finding in findings_of(ledger, "other") if finding.invariant == "chain"]
    assert any("'main'" in finding.detail for finding in found)  # its events have no book any more
    with pytest.raises(Refused, match="book_unknown"):
        findings_of(ledger)


def test_an_event_moved_to_an_unknown_book_is_found_there_and_where_it_was(ledger: Path) -> None:
    tamper(ledger, "UPDATE events SET book = 'nowhere' WHERE version = 10")
    found = findings_of(ledger)
    assert any(finding.version == 10 and "'nowhere'" in finding.detail for finding in found)
    assert any(finding.version == 10 and "missing" in finding.detail for finding in found)


def test_an_event_moved_to_another_book_is_found_in_both(tmp_path: Path) -> None:
    with open_keeper(tmp_path) as keeper:
        append_sample(keeper)
        keeper.open_book("paper", event("opened", mode="paper"))  # type: ignore[arg-type]
        keeper.append("paper", event("deposit", asset="RLUSD", amount="7", key="p:1"))
    ledger = tmp_path / "ledger.db"
    tamper(ledger, "UPDATE events SET book = 'paper', version = 3 WHERE book = 'main' AND version = 10")
    assert 10 in versions_found(ledger, book="main")
    assert versions_found(ledger, book="paper") == {3}


def test_only_the_named_invariants_are_reported(ledger: Path) -> None:
    change_column(ledger, 5, "session_id", "s9")
    tamper(ledger, "UPDATE inventory SET fills = '1' WHERE asset = 'XRP'")
    with Bookkeeper.open(str(ledger), "read") as keeper:
        for name, expected in (
            ("chain", {"chain"}),
            ("projections_match", {"projections_match"}),
            ("basis_sum", set()),
        ):
            findings = check(keeper.database, BOOK, only=[name]).findings
            assert {finding.invariant for finding in findings} == expected
    assert {finding.invariant for finding in findings_of(ledger)} == {"chain", "projections_match"}
    assert {"chain", "conservation", "basis_sum", "basis_bridge", "projections_match"} <= set(NAMES)


def test_a_finding_about_a_projection_tells_both_figures_and_their_difference(ledger: Path) -> None:
    stored = column_of(ledger, "basis", "net_basis")
    assert stored == "39.39"
    tamper(ledger, "UPDATE basis SET net_basis = '1000'")
    (finding,) = findings_of(ledger)
    assert (finding.invariant, finding.version) == ("projections_match", LAST)
    assert (finding.expected, finding.actual) == (stored, "1000")
    assert finding.difference == "960.61"


def test_what_is_unusual_but_allowed_is_a_note_and_not_a_finding(tmp_path: Path) -> None:
    with open_keeper(tmp_path) as keeper:
        keeper.append(BOOK, event("withdrawal", asset="RLUSD", amount="5", basis_delta="-5"))
        keeper.append(BOOK, event("deposit", asset="RLUSD", amount="1", basis_unknown=True))
        checked = check(keeper.database, BOOK)
    assert checked.ok
    assert any("RLUSD is negative: -4" in note for note in checked.notes)
    assert any("net basis is negative: -5" in note for note in checked.notes)
    assert any("unknown basis" in note for note in checked.notes)


def test_progress_is_told_and_the_check_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred rows are read at once, in place of a thousand."""
    monkeypatch.setattr(store, "ROWS_AT_ONCE", 100)
    reached: list[int] = []
    with open_keeper(tmp_path) as keeper:
        keeper.append_all(BOOK, [fill(f"f:{number}") for number in range(200)])
        before = content(keeper.database)
        assert check(keeper.database, BOOK, on_progress=reached.append).ok
        assert content(keeper.database) == before
    assert reached == [100, 200]


def test_a_book_without_events_is_found(tmp_path: Path) -> None:
    """The row of a book whose opening never came."""
    with open_keeper(tmp_path, book=None):
        pass
    ledger = tmp_path / "ledger.db"
    tamper(
        ledger,
        "INSERT INTO books VALUES ('main', 'live', 'RLUSD', 'XRP', 'profit_first/1', 0, zeroblob(32), ?)",
        "2026-01-05T09:00:00.000000Z",
    )
    assert versions_found(ledger) == {1}


def flips(content: bytes, count: int) -> list[tuple[int, int]]:
    """Places and bits in what a file holds, but for its empty stretches; the same ones on every run."""
    chance = random.Random(20260105)  # noqa: S311 - not for secrets
    filled = [place for place, byte in enumerate(content) if byte]
    return [(chance.choice(filled), 1 << chance.randrange(8)) for _ in range(count)]


def test_a_flipped_bit_anywhere_in_the_file_is_found_or_changes_nothing(tmp_path: Path) -> None:
    """The file's own check, the chain or the projections tell; never a traceback. Unused bytes of a page do not count."""
    ledger = sample_file(tmp_path)
    sound = ledger.read_bytes()
    expected = everything(ledger)
    told = 0
    for place, bit in flips(sound, 40):
        damaged = bytearray(sound)
        damaged[place] ^= bit
        ledger.write_bytes(bytes(damaged))
        if is_told(ledger):
            told += 1
        else:
            assert everything(ledger) == expected, (place, bit)
        for beside in ("-wal", "-shm"):
            ledger.with_name(ledger.name + beside).unlink(missing_ok=True)
    assert told > 32


def is_told(ledger: Path) -> bool:
    """Whether opening or checking the ledger tells of damage."""
    try:
        return findings_of(ledger) != []
    except (StorageError, Refused):
        return True


def everything(ledger: Path) -> list[tuple[object, ...]]:
    """All rows of all tables, in no particular order."""
    with closing(sqlite3.connect(ledger)) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return [row for name in sorted(names) for row in connection.execute(f"SELECT * FROM {name}")]


def test_an_event_recorded_after_a_sound_check_is_checked_by_the_next(tmp_path: Path) -> None:
    """A second check proves anew; nothing is remembered of the first."""
    with Bookkeeper.open(str(sample_file(tmp_path)), clock=TickingClock(), new_id=SequentialIds(1000)) as keeper:
        assert check(keeper.database, BOOK).ok
        keeper.append(BOOK, fill("f:9"))
        checked = check(keeper.database, BOOK)
        assert checked.ok
        assert checked.head == keeper.view(BOOK).head
        assert checked.head.hash == log_of(keeper)[-1].hash
