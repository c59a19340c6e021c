"""Sealing: whole ranges only, going on where it was; what the manifest says is what the pure fold gives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import orjson
import pytest

from engine.bookkeeper import Bookkeeper
from engine.columns.figures import decode_state, encode_state
from engine.columns.manifest import Segment, segments_of
from engine.columns.sealing import Sealing, SealReport, seal
from engine.columns.segment_file import segment_name
from engine.columns.stores import open_store
from engine.proof.check import check
from ledger.book import Book
from ledger.errors import StorageError, StorageFault
from ledger.stored import StoredEvent
from projections.combining import plus
from projections.marks import EMPTY as NO_MARKS
from projections.marks import Selection
from projections.state import EMPTY, BookState, fold
from tests.cli_support import Cli
from tests.ledger.database.store_support import SAMPLE_VERSIONS, append_sample, fill
from tests.support import BOOK, START, event, log_of, open_keeper

pytest.importorskip("pyarrow", reason="the extra netbasis[columns] is not installed")


@pytest.fixture
def sample(keeper: Bookkeeper) -> Bookkeeper:
    """Every kind of event, and marks of which the newest is taken back later."""
    append_sample(keeper)
    keeper.append_all(
        BOOK,
        [
            event("mark", asset="XRP", price="1.6", key="m:2"),
            event("mark", asset="EUR", price="1.1", key="m:3"),
            event("reversal", reverses=SAMPLE_VERSIONS + 1, key="r:m"),
            event("reversal", reverses=7, key="r:basis"),
            event("basis_commit", basis_delta="3", key="synthetic_initial_basis#2"),
            event("reversal", reverses=SAMPLE_VERSIONS + 2, key="r:m3"),
        ],
    )
    return keeper


def how(folder: Path, events: int) -> Sealing:
    return Sealing(str(folder / "segments"), lambda: START, events)


def _terms(keeper: Bookkeeper) -> Book:
    return keeper.view(BOOK).book


def _reversed(log: list[StoredEvent]) -> Selection:
    return Selection(frozenset(each.reverses for each in log if each.reverses is not None))


def _state(segment: Segment, keeper: Bookkeeper) -> BookState:
    state = decode_state(segment.state, _terms(keeper))
    assert state is not None
    return state


@pytest.mark.both_engines
@pytest.mark.parametrize("events", [4, 7])
def test_the_manifest_says_what_the_fold_gives(sample: Bookkeeper, tmp_path: Path, events: int) -> None:
    log = log_of(sample)
    sealed = seal(sample.database, BOOK, how(tmp_path, events))
    assert [each.versions for each in sealed.new] == [
        f"{first}–{first + events - 1}" for first in range(1, len(log) + 2 - events, events)
    ]
    for segment in sealed.new:
        until = log[: segment.last_version]
        own = until[segment.first_version - 1 :]
        assert _state(segment, sample) == fold(until, standing=_reversed(until))
        sums = decode_state(segment.sums, _terms(sample))
        folded = fold(own, standing=Selection(range(10**6)))
        assert sums == replace(folded, marks=NO_MARKS, basis=replace(folded.basis, initial_basis_version=None))
        assert (segment.least_at, segment.greatest_at) == (min(each.at for each in own), max(each.at for each in own))
        before = log[segment.first_version - 2].hash if segment.first_version > 1 else bytes(32)
        assert (segment.start_hash, segment.end_hash) == (before, own[-1].hash)
        store = open_store(str(segment.location))
        assert store.digest(segment_name(BOOK, segment.first_version, segment.last_version)) == segment.sha256


def test_it_goes_on_where_it_was(sample: Bookkeeper, tmp_path: Path) -> None:
    first = seal(sample.database, BOOK, how(tmp_path, 10))
    assert seal(sample.database, BOOK, how(tmp_path, 20)).new == []
    sample.append_all(BOOK, [fill(f"more:{index}") for index in range(20)])
    again = seal(sample.database, BOOK, how(tmp_path, 5))
    assert [each.first_version for each in again.new] == list(range(first.sealed_until + 1, again.head_version - 3, 5))
    assert again.all == [*first.all, *again.new]
    written = orjson.loads((tmp_path / "segments" / "book=main" / "_manifest.json").read_bytes())
    assert written["segments"] == [each.as_document() for each in again.all]
    assert [each["rows"] for each in written["segments"]] == [each.count for each in again.all]
    assert check(sample.database, BOOK).findings == []
    elsewhere = replace(again.all[0], location="s3://key:secret@bucket/segments?region=eu")
    assert elsewhere.as_document()["location"] == "s3://bucket/segments"


_KILLED = """
import os, signal, sys
from engine.columns.sealing import Sealing, seal
from ledger.database.connections import Database

with Database.open(sys.argv[1], "write") as database:
    seal(database, "main", Sealing(None, lambda: os.kill(os.getpid(), signal.SIGKILL), 6))
"""


def test_a_file_without_its_row_is_not_believed_and_is_swept(tmp_path: Path) -> None:
    """Killed when the file was there and its row was not: the clock is asked between the two."""
    with open_keeper(tmp_path) as keeper:
        append_sample(keeper)
        path = tmp_path / "ledger.db"
        ended = subprocess.run([sys.executable, "-c", _KILLED, str(path)], check=False)
        assert ended.returncode == -signal.SIGKILL
        folder = Path(f"{path}.segments") / "book=main"
        assert [each.name for each in folder.iterdir()] == ["1-6.parquet"]
        with keeper.database.reading() as connection:
            assert segments_of(connection, BOOK) == []
        sealed = seal(keeper.database, BOOK, Sealing(None, lambda: START, 5))
        names = {f"{each.first_version}-{each.last_version}.parquet" for each in sealed.all}
        assert {each.name for each in folder.iterdir()} == names | {"_manifest.json"}


def test_what_a_killed_run_was_writing_goes_after_a_day(sample: Bookkeeper, tmp_path: Path) -> None:
    """A younger one may be that of a run on another machine."""
    folder = tmp_path / "segments" / "book=main"
    folder.mkdir(parents=True)
    left = [folder / f".{hours}.tmp" for hours in (25, 23)]
    for hours, path in zip((25, 23), left, strict=True):
        path.write_bytes(b"half")
        written = time.time() - hours * 3600
        os.utime(path, (written, written))
    seal(sample.database, BOOK, Sealing(str(folder.parent), lambda: START, 6))
    assert [path.exists() for path in left] == [False, True]


def test_another_run_that_was_quicker_keeps_its_row(sample: Bookkeeper, tmp_path: Path) -> None:
    quicker: list[SealReport] = []

    def while_it_runs() -> object:
        if not quicker:
            quicker.append(SealReport(BOOK, [], [], 0))  # the quicker run asks the clock, too
            quicker[0] = seal(sample.database, BOOK, how(tmp_path, 3))
        return START

    slower = seal(sample.database, BOOK, replace(how(tmp_path, 4), now=while_it_runs))  # type: ignore[arg-type]
    assert slower.all[: len(quicker[0].all)] == quicker[0].all
    ranges = [(each.first_version, each.last_version) for each in slower.all]
    assert all(last + 1 == first for (_, last), (first, _) in pairwise(ranges))


def test_a_relative_folder_is_meant_as_it_was_given(
    sample: Bookkeeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next run, and whoever reads the segments, may stand in another folder."""
    monkeypatch.chdir(tmp_path)
    seal(sample.database, BOOK, Sealing("here", lambda: START, 8))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    sample.append_all(BOOK, [fill(f"more:{index}") for index in range(8)])
    found = seal(sample.database, BOOK, Sealing(None, lambda: START, 8)).all
    assert {each.location for each in found} == {str(tmp_path / "here")}
    assert len(list(tmp_path.glob("here/book=main/*.parquet"))) == len(found) > 1


def test_segments_go_to_an_object_store(sample: Bookkeeper) -> None:
    pytest.importorskip("fsspec", reason="fsspec is not installed")
    location = "memory://netbasis-test/segments"
    sealed = seal(sample.database, BOOK, Sealing(location, lambda: START, 8))
    store = open_store(location)
    for each in sealed.all:
        assert store.digest(segment_name(BOOK, each.first_version, each.last_version)) == each.sha256
    assert store.folders() == ["book=main"]
    assert orjson.loads(store.read("book=main/_manifest.json") or b"{}")["book"] == BOOK
    # Without a place of its own, the next run goes on in the one that the last segment is in.
    sample.append_all(BOOK, [fill(f"more:{index}") for index in range(8)])
    assert {each.location for each in seal(sample.database, BOOK, Sealing(None, lambda: START, 8)).all} == {location}


def test_states_that_count_otherwise_are_not_taken(sample: Bookkeeper) -> None:
    book = _terms(sample)
    text = encode_state(fold(log_of(sample), standing=_reversed(log_of(sample))), book)
    assert decode_state(text, book) is not None
    documents = [{**orjson.loads(text), "basis": {"": {"net_basis": "0"}}}, {}, {"strange": {"": {}}}, []]
    texts = [orjson.dumps(each).decode() for each in documents]
    changed = text.replace('"unknown_fees":2', '"unknown_fees":2.0')
    for wrong in (*texts, "", "null", text[:-1], text.replace('"net_basis":"', '"net_basis":"+'), changed):
        assert decode_state(wrong, book) is None


def test_sums_add_up(sample: Bookkeeper) -> None:
    log = log_of(sample)
    nothing = Selection(range(10**6))
    for cut in range(len(log) + 1):
        added = plus(fold(log[:cut], standing=nothing), fold(log[cut:], standing=nothing))
        whole = fold(log, standing=nothing)
        assert added == replace(whole, basis=replace(whole.basis, initial_basis_version=None))
    assert plus(EMPTY, EMPTY) == EMPTY


@pytest.mark.both_engines
def test_the_command(cli: Cli, tmp_path: Path) -> None:
    for index in range(4):
        cli.here("append", "deposit", "--asset", "RLUSD", "--amount", "1", "--key", f"d:{index}")
    place = str(tmp_path / "elsewhere")
    done = cli.here("seal", "--events", "2", "--to", place, "-O", "json")
    document = orjson.loads(done.out)
    assert document["books"] == [{"book": BOOK, "sealed": 2, "sealed_until": 4, "version": 5}]
    assert [each["file"] for each in document["segments"]] == ["book=main/1-2.parquet", "book=main/3-4.parquet"]
    assert cli.here("seal", "--events", "2").out == "main: 0 segments written; sealed up to version 4 of 5\n"
    assert cli.here("check").code == 0


@pytest.mark.both_engines
def test_a_server_has_no_folder_beside_it(keeper: Bookkeeper) -> None:
    if keeper.database.dialect == "sqlite":
        assert seal(keeper.database, BOOK, Sealing(None, lambda: START, 1)).sealed_until == 1
        return
    with pytest.raises(StorageError) as caught:
        seal(keeper.database, BOOK, Sealing(None, lambda: START, 1))
    assert caught.value.fault is StorageFault.URL_NOT_SUPPORTED


@pytest.mark.parametrize("place", ["nonsense://there", "a file"])
def test_a_place_that_cannot_be_used_is_told(tmp_path: Path, place: str) -> None:
    (tmp_path / "a file").write_bytes(b"")
    location = place if "://" in place else str(tmp_path / place)
    with open_keeper(tmp_path) as keeper, pytest.raises(StorageError) as caught:
        seal(keeper.database, BOOK, Sealing(location, lambda: START, 1))
    assert caught.value.fault in (StorageFault.URL_NOT_SUPPORTED, StorageFault.SEGMENTS_UNREACHABLE)
