"""Tampering with what was sealed: the manifest's rows, its file, and the segments themselves, with and without their hashes.

Crudely, or so that the file's hash and size in the manifest fit it again: plain `check`, which reads every row, must name
the segment. What it does not name must be without effect: every figure read from segments is that of the rows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
from sqlalchemy import Connection, text

from engine.columns.choosing import fold_log, fold_of
from engine.columns.manifest import Segment, segments, segments_of
from engine.columns.sealing import MANIFEST, Sealing, seal
from engine.columns.segment_file import folder_of, segment_name
from engine.views import Moment, fold_of_rows
from ledger import store
from ledger.database.connections import Database
from ledger.times import END, time_text
from projections.rows import rows_of
from tests.support import BOOK, START
from torture.tampering_table import VALUES, Change, Table

EVENTS = 5  # of a segment


def seal_all(database: Database, folder: Path) -> None:
    """Seal the main book's events, few to a segment."""
    seal(database, BOOK, Sealing(str(folder / "segments"), lambda: START, EVENTS))


def sealed_parts(table: Table, folder: Path, dice: Random) -> None:
    """All of it, at the second of the segments. `dice`: which bits of a file are flipped."""
    files = _Files(table, folder / "segments")
    for kind in (_columns, _rows, _manifest_file, partial(_bytes, dice=dice), _forged):
        kind(files)


class _Files:
    """The files of a ledger's segments: what they were, and whether what is read from them is what the rows give."""

    def __init__(self, table: Table, root: Path) -> None:
        self._table = table
        self.segments = segments_of(table.connection, BOOK)
        self.folder = root / folder_of(BOOK)
        self._before = {path: path.read_bytes() for path in self.folder.iterdir()}

    def path(self, segment: Segment) -> Path:
        return self.folder.parent / segment_name(BOOK, segment.first_version, segment.last_version)

    def restore(self) -> None:
        """Every file as it was."""
        for path in self.folder.iterdir():
            if path not in self._before:
                path.unlink()
        for path, content in self._before.items():
            if not path.exists() or path.read_bytes() != content:
                path.write_bytes(content)

    def is_harmless(self) -> bool:
        """Whether every figure that is read from segments is that of the rows, now and at each version."""
        connection = self._table.connection
        book, head = store.require_book(connection, BOOK)
        database = self._table.moment
        by_columns = fold_of(database, "auto")
        for version in range(1, head.version + 1):
            moment = Moment(as_of=version)
            folds = [fold(connection, book, head, moment, END) for fold in (by_columns, fold_of_rows)]
            if rows_of(folds[0], book) != rows_of(folds[1], book):
                return False
        whole = fold_log(database, connection, book, head, "auto")
        return whole is None or rows_of(whole, book) == rows_of(
            fold_of_rows(connection, book, head, Moment(), END), book
        )

    def tried(self, kind: str, what: str, change: Change, names: str) -> None:
        self._table.tried(kind, what, change, names, is_harmless=self.is_harmless)
        self.restore()


def _columns(files: _Files) -> None:
    """Each column of a row of the manifest."""
    segment = files.segments[1]
    of_the_other = {column.name: getattr(files.segments[0], column.name) for column in segments.columns}
    for column in segments.columns:
        values = [*VALUES, "1", segment.sums, of_the_other[column.name], *_edited(getattr(segment, column.name))]
        for value in values:
            change = _set(segment, **{column.name: value})
            files.tried(
                "manifest columns", f"{column.name} = {str(value)[:60]!r}", change, "segment|book that does not"
            )


def _edited(value: Any) -> Iterator[Any]:
    """A value that is nearly this one."""
    match value:
        case bytes():
            yield bytes([value[0] ^ 1]) + value[1:]
        case int():
            yield from (value + 1, value - 1)
        case Decimal():
            yield str(value + 1)
        case str() if value.startswith("{"):
            for place, character in enumerate(value):
                if character.isdecimal():
                    yield f"{value[:place]}{(int(character) + 1) % 10}{value[place + 1 :]}"


def _rows(files: _Files) -> None:
    """A row removed, all of them, one that overlaps another, two that have changed places."""
    one, other = files.segments[:2]
    for segment in files.segments:
        where = f"WHERE book = '{BOOK}' AND first_version = {segment.first_version}"
        files.tried("manifest row removed", segment.versions, _run(f"DELETE FROM segments {where}"), "segment")
    files.tried("manifest row removed", "all", _run("DELETE FROM segments"), "segment")
    names = ", ".join(column.name for column in segments.columns if column.name != "first_version")
    for first in (one.first_version + 1, other.last_version + 1):
        copied = f"SELECT {first}, {names} FROM segments WHERE first_version = {other.first_version}"
        insert = _run(f"INSERT INTO segments (first_version, {names}) {copied}")
        files.tried("manifest row inserted", str(first), insert, "segment")
    exchanged = {column.name: getattr(one, column.name) for column in segments.columns if not column.primary_key}
    files.tried("manifest rows exchanged", one.versions, _set(other, **exchanged), "segment")


def _manifest_file(files: _Files) -> None:
    """`_manifest.json`: each of its figures changed, one segment left out, cut, empty, gone."""
    path = files.folder / MANIFEST
    whole = json.loads(path.read_bytes())
    contents: dict[str, bytes | None] = {"gone": None, "empty": b"", "cut": path.read_bytes()[:-40], "a list": b"[]"}
    for name in whole["segments"][1]:
        for value in (None, 7, "forged"):
            changed = json.loads(path.read_bytes())
            changed["segments"][1][name] = value
            contents[f"{name} = {value!r}"] = json.dumps(changed).encode()
    for place in range(len(whole["segments"])):
        left = [each for number, each in enumerate(whole["segments"]) if number != place]
        contents[f"without its segment {place}"] = json.dumps({**whole, "segments": left}).encode()
    contents["other terms"] = json.dumps({**whole, "terms": {**whole["terms"], "numeraire": "EUR"}}).encode()
    contents["another book"] = json.dumps({**whole, "book": "other"}).encode()
    for what, content in contents.items():
        files.tried("manifest file", what, _written(path, content), MANIFEST)


def _bytes(files: _Files, dice: Random) -> None:
    """A segment's file gone, empty, cut, another's, with bits flipped; without and with its hash in the manifest."""
    segment = files.segments[1]
    path, other = files.path(segment), files.path(files.segments[0])
    whole = path.read_bytes()
    contents: dict[str, bytes | None] = {"gone": None, "empty": b"", "cut": whole[:-7], "another": other.read_bytes()}
    for _ in range(60):
        place = dice.randrange(len(whole))
        contents[f"byte {place}"] = whole[:place] + bytes([whole[place] ^ 1 << dice.randrange(8)]) + whole[place + 1 :]
    for what, content in contents.items():
        files.tried("segment file", what, _written(path, content), segment.versions)
        if content is not None:
            files.tried(
                "segment file, its hash fits", what, _fitting(segment, path, content), f"{segment.versions}|{MANIFEST}"
            )


def _forged(files: _Files) -> None:
    """Each column of a segment's file changed in one row, rows left out, doubled and exchanged; the hash fits."""
    segment = files.segments[1]
    path = files.path(segment)
    whole = parquet.read_table(path)
    for name in whole.column_names:
        for row in (0, whole.num_rows - 1):
            for number, column in enumerate(_other_values(whole.column(name), row)):
                changed = whole.set_column(
                    whole.column_names.index(name), whole.schema.field(name).with_nullable(True), column
                )
                what = f"{name} of row {row}, way {number}"
                files.tried(
                    "segment rewritten, its hash fits",
                    what,
                    _as_parquet(segment, path, changed),
                    f"{segment.versions}|{MANIFEST}",
                )
    shuffled = {
        "a row left out": whole.slice(1),
        "a row doubled": pa.concat_tables([whole, whole.slice(0, 1)]),
        "rows exchanged": whole.take([1, 0, *range(2, whole.num_rows)]),
        "no row": whole.slice(0, 0),
        "a column left out": whole.drop_columns(["body"]),
    }
    for what, changed in shuffled.items():
        files.tried(
            "segment rewritten, its hash fits",
            what,
            _as_parquet(segment, path, changed),
            f"{segment.versions}|{MANIFEST}",
        )


def _other_values(column: Any, row: int) -> Iterator[Any]:
    """A column with one value that is another, or None."""
    values = column.to_pylist()
    was = values[row]
    others: Sequence[Any]
    match was:
        case None:
            there = next((value for value in values if value is not None), None)
            others = [there] if there is not None else []
        case bytes():
            others = [bytes([was[0] ^ 1]) + was[1:], None]
        case str():
            others = ["7.5", None]
        case int() | Decimal():
            others = [was + 1, None]
        case _:
            others = [START, None]
    for value in others:
        if value != was:
            yield pa.chunked_array([pa.array([*values[:row], value, *values[row + 1 :]], column.type)])


def _as_parquet(segment: Segment, path: Path, table: Any) -> Change:
    def change(connection: Connection) -> None:
        sink = pa.BufferOutputStream()
        parquet.write_table(table, sink, compression="zstd")
        _fitting(segment, path, sink.getvalue().to_pybytes())(connection)

    return change


def _fitting(segment: Segment, path: Path, content: bytes) -> Change:
    """The file, its hash and its size in the manifest, and the manifest file: all fit each other."""

    def change(connection: Connection) -> None:
        path.write_bytes(content)
        digest = hashlib.sha256(content)
        _set(segment, sha256=digest.digest(), size=len(content))(connection)
        manifest = path.with_name(MANIFEST)
        document = json.loads(manifest.read_bytes())
        for each in document["segments"]:
            if each["first_version"] == segment.first_version:
                each.update(sha256=digest.hexdigest(), size=len(content))
        manifest.write_text(json.dumps(document), "utf-8")

    return change


def _written(path: Path, content: bytes | None) -> Change:
    def change(_: Connection) -> None:
        path.unlink()
        if content is not None:
            path.write_bytes(content)

    return change


def _set(segment: Segment, **values: Any) -> Change:
    def change(connection: Connection) -> None:
        sets = ", ".join(f"{name} = :{name}" for name in values)
        where = f"book = '{BOOK}' AND first_version = {segment.first_version}"
        raw = {name: _raw(value) for name, value in values.items()}
        connection.execute(text(f"UPDATE segments SET {sets} WHERE {where}"), raw)

    return change


def _raw(value: Any) -> Any:
    """As the driver of either engine takes it."""
    match value:
        case datetime():
            return time_text(value)
        case Decimal():
            return str(value)
        case _:
            return value


def _run(statement: str) -> Change:
    def change(connection: Connection) -> None:
        connection.exec_driver_sql(statement)

    return change
