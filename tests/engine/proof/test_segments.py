"""`check` proves the segments again; with `--engine columns` it finds what it finds by rows, and reads few of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, pairwise, zip_longest
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from engine.bookkeeper import Bookkeeper
from engine.columns.figures import encode_state
from engine.columns.manifest import segments, segments_of
from engine.columns.sealing import Sealing, seal
from engine.columns.segment_file import Stretch, difference, segment_name, write_segment
from engine.columns.stores import open_store
from engine.proof.check import CheckReport, check_ledger
from engine.proof.request import NAMES, CheckRequest, ExpectedHead
from ledger.errors import Refusal, Refused
from ledger.events import Opened
from ledger.mapper import encode_row
from ledger.stored import chain_hash
from projections.state import EMPTY, fold
from tests.cli_support import Cli
from tests.engine.columns.test_views import DAMAGES
from tests.engine.proof.test_fast_lane import NOW
from tests.engines import intruding
from tests.ledger.database.store_support import fill
from tests.support import BOOK, EVERYTHING, START, event, it_is, log_of

pytest.importorskip("duckdb", reason="the extra netbasis[columns] is not installed")
parquet = pytest.importorskip("pyarrow.parquet", reason="the extra netbasis[columns] is not installed")

ENGINES: tuple[Any, ...] = ("rows", "columns")


COMMON = 9
SELDOM = ("opened", "deposit", "reversal")


def sealed(keeper: Bookkeeper, folder: Path, events: int = 10) -> None:
    """Ten events of seldom types, 27 common ones with one of a seldom type among them, and a tail that is not sealed."""
    it_is(keeper, START.replace(year=2027))
    at = {"at": START.isoformat()}
    seldom = [event("deposit", asset="XRP", amount="90", price="1.25", **at, key=f"d:{index}") for index in range(8)]
    common = [
        [
            fill(f"f:{index}", **at),
            event("mark", asset="XRP", price=f"1.{index + 1}", **at, key=f"m:{index}"),
            event("adjustment", asset="XRP", amount="-0.25", reason="fee", **at, key=f"a:{index}"),
        ]
        for index in range(COMMON)
    ]
    common[4].append(event("deposit", asset="RLUSD", amount="5", **at, key="d:9"))
    keeper.append_all(BOOK, [*seldom, event("reversal", reverses=7, key="r:1", **at), *chain.from_iterable(common)])
    keeper.append(BOOK, event("reversal", reverses=15, key="r:2", **at))
    seal(keeper.database, BOOK, Sealing(str(folder / "segments"), lambda: START, events))


@contextmanager
def put_back(keeper: Bookkeeper, folder: Path) -> Iterator[None]:
    """For a case that changes files or the manifest: afterwards both are what they were."""
    files = {path: path.read_bytes() for path in folder.rglob("*.parquet")}
    with keeper.database.reading() as connection:
        manifest = connection.execute(segments.select()).all()
    yield
    for path, content in files.items():
        path.write_bytes(content)
    with keeper.database.writing() as connection:
        connection.execute(segments.delete())
        connection.execute(segments.insert(), [row._asdict() for row in manifest])


def checked(keeper: Bookkeeper, engine: Any, **more: Any) -> CheckReport:
    ledger = check_ledger(keeper.database, None, CheckRequest(engine=engine, now=NOW, **more))
    assert ledger.findings == []
    return ledger.books[0]


def told(report: CheckReport) -> list[tuple[str, int | None]]:
    return [(finding.invariant, finding.version) for finding in report.findings]


@pytest.mark.parametrize(("engine", "events"), [("sqlite", 13), ("postgres", 7)], indirect=["engine"])
def test_a_sound_ledger_is_found_sound_and_few_rows_are_read(keeper: Bookkeeper, tmp_path: Path, events: int) -> None:
    sealed(keeper, tmp_path, events)
    by_rows = checked(keeper, "rows")
    progress: list[int] = []
    by_columns = checked(keeper, "columns", on_progress=progress.append)
    assert by_rows.findings == by_columns.findings == []
    assert by_rows.head.hash == by_columns.head.hash
    *notes, unread = by_columns.notes
    assert notes == by_rows.notes
    # All sealed rows but those of seldom types, whose segments are read from the rows.
    log = log_of(keeper)
    whole = [log[start : start + events] for start in range(0, len(log) - events + 1, events)]
    used = [part for part in whole if sum(each.type in SELDOM for each in part) <= 1 + 0.05 * events]
    assert int(unread.split()[0]) == sum(each.type not in SELDOM for part in used for each in part) > 0
    assert progress == sorted(progress)


def test_a_damaged_segment_is_a_finding_and_a_missing_one_a_note(keeper: Bookkeeper, tmp_path: Path) -> None:
    """Some of the damages; that a view finds each of them is in `test_views.py`."""
    sealed(keeper, tmp_path)
    by_both = ("flipped", "lost", "no state")
    for damage in DAMAGES if EVERYTHING else (*by_both, "another hash", "another range", "another place"):
        do, is_finding = DAMAGES[damage]
        for engine in ENGINES if damage in by_both else ENGINES[:1]:
            with put_back(keeper, tmp_path):
                do(keeper, tmp_path)
                report = checked(keeper, engine)
            # A place that was edited is passed over; the manifest file in the true one tells of it.
            is_told = is_finding or damage.endswith(" place")
            assert {name for name, _ in told(report)} == ({"segments"} if is_told else set()), (damage, engine)
            assert any("11–20 is passed over" in note for note in report.notes) == (not is_finding), (damage, engine)
    assert checked(keeper, "rows").ok


def _edited_state(keeper: Bookkeeper) -> dict[str, Any]:
    log = log_of(keeper)[:20]
    book = keeper.view(BOOK).book
    richer = fold([*log, log[1]], EMPTY)
    return {"state": encode_state(replace(richer, version=20), book)}


def _edited_figures(keeper: Bookkeeper) -> dict[str, Any]:
    return {
        "sums": segments_of_book(keeper)[0].sums.replace('"version":10', '"version":20'),
        "least_at": "2020-01-01T00:00:00.000000Z",
        "greatest_at": "2030-01-01T00:00:00.000000Z",
        "recorded_until": "2030-01-01T00:00:00.000000Z",
    }


def segments_of_book(keeper: Bookkeeper) -> list[Any]:
    with keeper.database.reading() as connection:
        return list(segments_of(connection, BOOK))


def test_an_edited_manifest_is_found(keeper: Bookkeeper, tmp_path: Path) -> None:
    """A state that was edited is found though it is well-formed and its file is what was sealed."""
    sealed(keeper, tmp_path)
    for values_of, engine in ((_edited_state, "rows"), (_edited_state, "columns"), (_edited_figures, "rows")):
        values = values_of(keeper)
        with put_back(keeper, tmp_path):
            for column, value in values.items():
                edit_segment(keeper, f"{column} = :value", value=value)
            report = checked(keeper, engine)
        # Of the row, and of the manifest file, which still says what was sealed.
        assert set(told(report)) == {("segments", 20), ("segments", 11)}, (values, engine)
        for edit in values:
            assert any(edit in finding.detail for finding in report.findings if finding.version == 20), (edit, engine)


def edit_segment(keeper: Bookkeeper, change: str, first: int = 11, **values: Any) -> None:
    """Change what the manifest says of a segment, of 11–20 if no other is named."""
    with keeper.database.writing() as connection:
        connection.execute(text(f"UPDATE segments SET {change} WHERE first_version = {first}"), values)


MANIFEST_FILES: dict[str, tuple[Callable[[dict[str, Any]], Any], int | None]] = {
    "as it was": (lambda document: document, None),
    "a segment lacks at the end": (lambda document: {**document, "segments": document["segments"][:-1]}, None),
    "a segment lacks in between": (lambda document: {**document, "segments": document["segments"][1:]}, 1),
    "a segment more": (lambda document: {**document, "segments": [*document["segments"], document["segments"][0]]}, 21),
    "other terms": (lambda document: {**document, "terms": {}}, 1),
    "no document": (lambda document: [], 1),
}


def test_the_manifest_file_says_what_the_database_says(keeper: Bookkeeper, tmp_path: Path) -> None:
    """Or lacks the newest segments, which a run of `seal` that was killed has not entered into it: a note."""
    sealed(keeper, tmp_path)
    file = tmp_path / "segments" / "book=main" / "_manifest.json"
    written = json.loads(file.read_bytes())
    for case, (change, version) in MANIFEST_FILES.items():
        file.write_text(json.dumps(change(written)))
        report = checked(keeper, "rows")
        assert told(report) == ([] if version is None else [("segments", version)]), case
        assert any("lacks the segments" in note for note in report.notes) == ("at the end" in case), case


@pytest.mark.both_engines
def test_what_else_the_manifest_says_is_held_against_the_file(keeper: Bookkeeper, tmp_path: Path) -> None:
    sealed(keeper, tmp_path)
    edit_segment(keeper, "size = size + 1, unfit = 1, widest = 7.5")
    details = [finding.detail for finding in checked(keeper, "rows").findings]  # the rows are read and hold
    for name in ("size", "unfit", "widest"):
        assert f"{name} of the segment 11–20 is not what its file gives" in details


def test_a_forged_file_with_its_forged_hash_is_found(keeper: Bookkeeper, tmp_path: Path) -> None:
    """Columns that were changed in the file, and the manifest's hash with it: rows and file add up to different figures."""
    sealed(keeper, tmp_path)
    with _rewritten(keeper, tmp_path, 21) as rows:
        next(row for row in rows if row["type"] == "fill")["asset_delta_decimal"] += 1
    for engine in ENGINES:
        report = checked(keeper, engine)
        assert ("segments", 30) in told(report), engine


@contextmanager
def _rewritten(keeper: Bookkeeper, folder: Path, first: int) -> Iterator[list[dict[str, Any]]]:
    """The rows of the file from a version on, to be changed; its hash and size in the manifest fit it again."""
    path = folder / "segments" / "book=main" / f"{first}-{first + 9}.parquet"
    table = parquet.read_table(path, partitioning=None)
    rows = table.to_pylist()
    yield rows
    any_value = table.schema
    for place, field in enumerate(any_value):
        any_value = any_value.set(place, field.with_nullable(True))
    parquet.write_table(table.from_pylist(rows, schema=any_value), path)
    digest = hashlib.sha256(path.read_bytes()).digest()
    edit_segment(keeper, "sha256 = :hash, size = :size", first, hash=digest, size=path.stat().st_size)


# By the first version of a segment: the place of a row, and what it says instead. The one at place 5 of 21–30 is a deposit,
# which no statement proves.
FORGED: dict[int, list[tuple[int, dict[str, Any]]]] = {
    1: [(3, {"version": 12}), (3, {"type": None}), (3, {"session_id": "forged"}), (3, {"body": b"{}"})],
    11: [(3, {"version": None}), (3, {"recorded_at": START.replace(year=2020)}), (0, {"hash": b"0" * 32})],
    21: [
        (4, {"version": 28}),
        (3, {"at": START.replace(year=2020)}),
        (9, {"previous_hash": b"0" * 32}),
        (5, {"event_id": "forged"}),
        (5, {"previous_hash": b"0" * 32}),
        (5, {"basis_delta": "6"}),
    ],
}


def test_a_file_that_adds_up_and_says_something_else_is_found(keeper: Bookkeeper, tmp_path: Path) -> None:
    """A view of the past chooses by these columns, and would show other figures. Several files are forged at once."""
    sealed(keeper, tmp_path)
    assert [each.type for each in log_of(keeper)[20:30]].index("deposit") == 5
    for together in zip_longest(*FORGED.values()):
        forged = {first: case for first, case in zip(FORGED, together, strict=True) if case is not None}
        with put_back(keeper, tmp_path):
            for first, (row, values) in forged.items():
                with _rewritten(keeper, tmp_path, first) as rows:
                    rows[row] |= values
            details = [finding.detail for finding in checked(keeper, "rows", only=["segments"]).findings]
        for first, (_, (name,)) in forged.items():
            told_of = f"the file of the segment {first}–{first + 9} has another {name} between"
            assert any(told_of in detail for detail in details), (name, details)


def test_a_row_without_a_version_stops_no_check(keeper: Bookkeeper, tmp_path: Path) -> None:
    sealed(keeper, tmp_path)
    with _rewritten(keeper, tmp_path, 11) as rows:
        rows[3]["version"] = None
    for engine in ENGINES:
        report = checked(keeper, engine)
        assert report.head.version == len(log_of(keeper)), engine
        assert {finding.invariant for finding in report.findings} == {"segments"}, engine


def test_a_file_with_a_chain_of_its_own_is_found(keeper: Bookkeeper, tmp_path: Path) -> None:
    """A fill with another key, and all hashes from it on made anew: each row is proved by itself, and none is the log's."""
    sealed(keeper, tmp_path)
    with _rewritten(keeper, tmp_path, 21) as rows:
        of_fill = next(row for row in rows if row["type"] == "fill")
        of_fill["body"] = of_fill["body"].replace(b'"key":"f:', b'"key":"f:x', 1)
        of_fill["key"] = "f:x" + of_fill["key"][2:]
        for before, row in pairwise([{"hash": rows[0]["previous_hash"]}, *rows]):
            row["previous_hash"] = before["hash"]
            row["hash"] = chain_hash(before["hash"], row["body"])
    details = [finding.detail for finding in checked(keeper, "rows", only=["segments"]).findings]
    assert "the file of the segment 21–30 has another key between version 21 and 30" in details


@pytest.mark.parametrize("rows_in_group", [3, 50_000])
def test_rows_are_compared_with_their_place_in_the_file_whatever_its_groups(
    keeper: Bookkeeper, tmp_path: Path, rows_in_group: int
) -> None:
    sealed(keeper, tmp_path)
    store = open_store(str(tmp_path / "anew"))
    log = [tuple(encode_row(stored).values()) for stored in log_of(keeper)[20:30]]
    batches = [log[:4], log[4:5], log[5:]]
    write_segment(store, BOOK, batches, first=21, start_hash=log_of(keeper)[19].hash, rows_in_group=rows_in_group)
    name = segment_name(BOOK, 21, 30)

    def found(first: int, *batches: list[tuple[Any, ...]]) -> str | None:
        stretch = Stretch(first, log_of(keeper)[first - 2].hash, batches)
        return difference(store, name, BOOK, 21, 30, [stretch])

    assert found(21, log[:4], log[4:]) is found(26, log[5:6]) is found(30, log[9:]) is None
    other = (*log[5][:7], "forged", *log[5][8:])
    assert found(26, [other]) == "another session_id between version 26 and 26"
    assert found(25, [log[4], other], log[6:]) == "another session_id between version 25 and 26"
    assert difference(store, name, BOOK, 21, 29, []) == "another version between version 21 and 29"


def test_what_is_not_sealed_is_read_and_found_and_what_was_not_read_is_noted(
    keeper: Bookkeeper, tmp_path: Path, location: str
) -> None:
    """The tail, and rows of types that are always left to the prover, are read; a sealed fill is found by rows only."""
    sealed(keeper, tmp_path)
    log = log_of(keeper)
    versions = [3, next(each.version for each in log if each.type == "deposit" and each.version > 20), len(log)]
    unread = next(each.version for each in log if each.type == "fill" and each.version > 10)
    with intruding(location) as raw:
        for version in (*versions, unread):
            raw.execute(f"UPDATE events SET strategy = 'x' WHERE version = {version}")
    by_columns = checked(keeper, "columns")
    assert set(told(by_columns)) == {("chain", version) for version in versions}
    assert "were not read" in by_columns.notes[-1]
    by_rows = told(checked(keeper, "rows"))  # which finds the files different, too
    assert {place for place in by_rows if place[0] == "chain"} == {("chain", at) for at in (*versions, unread)}


def test_a_head_that_was_kept_elsewhere_stands_in_a_segment(keeper: Bookkeeper, tmp_path: Path) -> None:
    sealed(keeper, tmp_path)
    log = log_of(keeper)
    true = [ExpectedHead(log[34].hash, 35), ExpectedHead(log[-1].hash, len(log))]
    report = checked(keeper, "columns", only=["chain"], expected_head=ExpectedHead(log[24].hash), kept_heads=true)
    assert report.findings == []
    false = [ExpectedHead(bytes(32)), ExpectedHead(log[24].hash, 24)]
    report = checked(keeper, "columns", only=["chain"], kept_heads=[*false, *true])
    assert sorted(told(report), key=str) == [("chain", 24), ("chain", None)]


def test_only_segments_can_be_checked_and_a_book_without_them_is_refused(keeper: Bookkeeper, tmp_path: Path) -> None:
    assert "segments" in NAMES
    with pytest.raises(Refused) as caught:
        checked(keeper, "columns")
    assert caught.value.refusal is Refusal.SEGMENTS_MISSING
    sealed(keeper, tmp_path)
    keeper.open_book("zoo", Opened(mode="paper"))
    ledger = check_ledger(keeper.database, None, CheckRequest(engine="columns", now=NOW))
    assert [(book.book, book.ok, book.notes[-1:] != []) for book in ledger.books] == [
        (BOOK, True, True),
        ("zoo", True, False),
    ]
    DAMAGES["flipped"][0](keeper, tmp_path)
    assert told(checked(keeper, "rows", only=["segments"])) == [("segments", 11)]
    assert told(checked(keeper, "rows", only=["chain"])) == []


def test_the_commands_take_an_engine(cli: Cli, tmp_path: Path) -> None:
    for index in range(4):
        cli.here("append", "deposit", "--asset", "RLUSD", "--amount", "1", "--key", f"d:{index}")
    assert cli.here("balance", "--as-of", "3", "--engine", "columns").code == 1
    assert cli.here("seal", "--events", "2").code == 0
    for command in (
        ("balance", "--as-of", "3"),
        ("pnl", "--as-of", "2", "-O", "json"),
        ("register",),
        ("rebuild", "--dry-run"),
        ("check",),
        ("pnl", "--from", "2026", "--to", "2027", "-O", "json"),
    ):
        by_rows, by_columns = (cli.here(*command, "--engine", engine) for engine in ("rows", "columns"))
        assert (by_rows.code, by_columns.code) == (0, 0), command
        assert by_rows.out.split("folded")[0] == by_columns.out.split("folded")[0], command
