"""Files as they come: packed, with a byte order mark, in another encoding, damaged; and copies of databases."""

from __future__ import annotations

import gzip
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from engine.importers.items import Unreadable
from engine.importers.sources import FileSource, sample_of

TEXT = "a,ß,💶\r\n1,2,3\n"


@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_the_text_is_unpacked_and_without_a_mark(tmp_path: Path, mark: bytes, is_packed: bool) -> None:
    content = mark + TEXT.encode()
    path = tmp_path / "given.csv"
    path.write_bytes(gzip.compress(content, mtime=0) if is_packed else content)
    source = FileSource(str(path))
    assert sample_of(source).head == TEXT.encode()
    for _ in range(2):
        with source.text() as text:
            assert text.read() == TEXT


def test_bytes_that_are_not_utf_8_do_not_spoil_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "given.csv"
    path.write_bytes(b"good\nb\xe4d\ngood\n")
    with FileSource(str(path)).text() as text:
        assert text.read().splitlines() == ["good", "b\udce4d", "good"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("a,b\n".encode("utf-16"), "UTF-16"),
        (b"PK\x03\x04\x14\x00ledgers.csv", "unpack it"),
        (gzip.compress(TEXT.encode() * 1000, mtime=0)[:-20], "damaged or cut short"),
        (b"\x1f\x8bnonsense", "damaged or cut short"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "given"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Unreadable, match=reason), FileSource(str(path)).text() as text:
        text.read()


@pytest.mark.parametrize("name", ["", "\0", "x" * 5000])
def test_odd_names_are_unreadable(name: str) -> None:
    with pytest.raises(Unreadable), FileSource(name).text():
        pass


@pytest.mark.parametrize("is_packed", [False, True])
def test_a_database_is_copied_and_stays_untouched(tmp_path: Path, is_packed: bool) -> None:
    path = tmp_path / "bot.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t AS SELECT 7 AS a")
        connection.commit()
    if is_packed:
        path.write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    before = path.read_bytes()
    with FileSource(str(path)).database() as copy, closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT a FROM t").fetchall() == [(7,)]
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    assert not Path(copy).exists()


def test_what_is_no_database_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("a,b\n")
    with pytest.raises(Unreadable, match="not a SQLite database"), FileSource(str(path)).database():
        pass
