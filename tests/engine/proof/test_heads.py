"""Heads that are kept elsewhere: what is taken for one, the file of them, and which stand in a chain."""

from __future__ import annotations

import base64
import json
import resource
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.proof.heads import (
    ExpectedHead,
    KeptHeads,
    append_head,
    out_of_order,
    parse_head,
    read_heads,
    statement,
    token_of,
)
from ledger.book import Head
from ledger.errors import Refusal, Refused
from tests.support import START

SIGNATURE = bytes(range(64))


def hash_of(version: int) -> bytes:
    """Another hash for each version."""
    return version.to_bytes(32, "big")


def head_at(version: int) -> Head:
    """The head of the chain that these tests imagine."""
    return Head(version, hash_of(version), START)


@given(st.integers(1, 10**18), st.binary(min_size=32, max_size=32), st.none() | st.binary(min_size=64, max_size=64))
def test_a_head_survives_being_written_down(version: int, hashed: bytes, signature: bytes | None) -> None:
    token = token_of(Head(version, hashed, START), signature)
    assert parse_head(token) == ExpectedHead(hashed, version, signature)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "12",
        "12:",
        "abc",
        "g" * 64,
        "0" * 63,
        "0" * 65,
        "-1:" + "0" * 64,
        "1:2:" + "0" * 64,
        "0" * 64 + ":",
        "٣:" + "0" * 64,
    ],
)
def test_what_is_not_a_head(text: str) -> None:
    assert parse_head(text) is None


def test_a_statement_names_book_version_and_hash() -> None:
    assert statement('a"b', 7, hash_of(7)) == (
        b'netbasis head/1\n{"book":"a\\"b","hash":"' + hash_of(7).hex().encode() + b'","version":7}\n'
    )


def test_heads_are_added_to_a_file_once_each(tmp_path: Path) -> None:
    path = tmp_path / "heads.ndjson"
    assert append_head(path, "main", head_at(3), None, now=START)
    assert not append_head(path, "main", head_at(3), None, now=START + timedelta(days=1))
    assert append_head(path, "other", head_at(2), SIGNATURE, now=START)
    assert append_head(path, "main", head_at(9), None, now=START)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [(head.book, head.version, head.signature, head.place) for head in read_heads(path)] == [
        ("main", 3, None, "line 1"),
        ("other", 2, SIGNATURE, "line 2"),
        ("main", 9, None, "line 3"),
    ]


def test_a_head_may_be_signed_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "heads.ndjson"
    assert append_head(path, "main", head_at(3), None, now=START)
    assert append_head(path, "main", head_at(3), SIGNATURE, now=START)
    assert not append_head(path, "main", head_at(3), SIGNATURE, now=START)
    assert not append_head(path, "main", head_at(3), None, now=START)
    assert [head.signature for head in read_heads(path)] == [None, SIGNATURE]


@pytest.mark.parametrize("end", [b"", b"\r", b"\n\n"])
def test_a_head_gets_a_line_of_its_own_whatever_the_file_ends_with(tmp_path: Path, end: bytes) -> None:
    path = tmp_path / "heads.ndjson"
    append_head(path, "main", head_at(3), None, now=START)
    path.write_bytes(path.read_bytes().rstrip() + end)
    append_head(path, "main", head_at(4), None, now=START)
    assert [head.version for head in read_heads(path)] == [3, 4]


@pytest.mark.parametrize("room", [0, 1, 100])
def test_a_line_that_does_not_fit_on_the_disk_is_taken_back(tmp_path: Path, room: int) -> None:
    """A part of a line would be no head, and the file refused from then on."""
    path = tmp_path / "heads.ndjson"
    append_head(path, "main", head_at(3), None, now=START)
    before = path.read_bytes()
    with largest_file(len(before) + room), pytest.raises(OSError, match=r"large|space"):
        append_head(path, "main", head_at(4), None, now=START)
    assert path.read_bytes() == before
    assert append_head(path, "main", head_at(4), None, now=START)


@contextmanager
def largest_file(most: int) -> Iterator[None]:
    """Within it this process cannot write a file beyond so many bytes, as on a disk that is nearly full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)


def test_heads_that_are_added_at_once_all_stand_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "heads.ndjson"
    books = [f"book{number}" for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda book: append_head(path, book, head_at(3), None, now=START), books))
    assert sorted(str(head.book) for head in read_heads(path)) == books


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_a_file_without_a_head_proves_nothing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "heads.ndjson"
    path.write_bytes(content)
    with pytest.raises(Refused, match="no head") as refused:
        read_heads(path)
    assert refused.value.refusal is Refusal.HEADS_MALFORMED


@pytest.mark.parametrize("later", [Head(2, hash_of(2), START), Head(3, hash_of(4), START)], ids=["cut", "rewritten"])
def test_a_head_that_falls_back_is_not_added(tmp_path: Path, later: Head) -> None:
    path = tmp_path / "heads.ndjson"
    append_head(path, "main", head_at(3), None, now=START)
    before = path.read_bytes()
    with pytest.raises(Refused) as refused:
        append_head(path, "main", later, None, now=START)
    assert refused.value.refusal is Refusal.HEAD_FELL_BACK
    assert path.read_bytes() == before


GOOD = {"at": "2026-01-05T09:00:00.000000Z", "book": "main", "hash": "0" * 64, "version": 3}
BAD_LINES: list[Any] = [
    "no head",
    [],
    {**GOOD, "version": "3"},
    {**GOOD, "version": True},
    {**GOOD, "hash": "xyz"},
    {**GOOD, "hash": 7},
    {**GOOD, "book": None},
    {**GOOD, "signature": "§"},
    {**GOOD, "more": 1},
    {name: value for name, value in GOOD.items() if name != "hash"},
]


@pytest.mark.parametrize("line", BAD_LINES, ids=repr)
def test_a_line_that_is_no_head_is_named(tmp_path: Path, line: object) -> None:
    path = tmp_path / "heads.ndjson"
    path.write_text(json.dumps(GOOD) + "\n\n" + json.dumps(line) + "\n")
    with pytest.raises(Refused, match="line 3") as refused:
        read_heads(path)
    assert refused.value.refusal is Refusal.HEADS_MALFORMED


@given(st.binary(max_size=200))
def test_whatever_stands_in_a_file_is_taken_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "heads"
    path.write_bytes(content)
    with suppress(Refused):
        assert len(read_heads(path)) <= len(content.splitlines())


def test_plain_lines_are_heads_of_the_one_book(tmp_path: Path) -> None:
    path = tmp_path / "heads.txt"
    signed = f"{head_at(4)}:{base64.b64encode(SIGNATURE).decode()}"
    path.write_text(f"{head_at(3)}\n{signed}\n{hash_of(5).hex()}\n")
    assert [(head.version, head.signature, head.book) for head in read_heads(path)] == [
        (3, None, None),
        (4, SIGNATURE, None),
        (None, None, None),
    ]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 6)), max_size=8))
def test_the_order_of_a_file_is_that_of_each_chain(kept: list[tuple[str, int]]) -> None:
    heads = [ExpectedHead(hash_of(version), version, book=book) for book, version in kept]
    of_each = [[version for book, version in kept if book == name] for name in "ab"]
    expected = sum(later < before for versions in of_each for before, later in pairwise(versions))
    assert len(list(out_of_order(heads))) == expected


@given(st.integers(0, 9), st.lists(st.tuples(st.none() | st.integers(1, 12), st.integers(1, 12)), max_size=8))
def test_those_that_do_not_stand_are_named(length: int, kept: list[tuple[int | None, int]]) -> None:
    """Against the model: a head stands when its hash is in the chain, at its version where it has one."""
    watching = KeptHeads([ExpectedHead(hash_of(of), version, place=str(n)) for n, (version, of) in enumerate(kept)])
    for version in range(1, length + 1):
        watching.observe(version, hash_of(version))
    stands = [of <= length and version in (None, of) for version, of in kept]
    assert watching.is_waiting() == (not all(stands))
    details = [finding.detail for finding in watching.findings(head_at(length))]
    assert len(details) == stands.count(False)
    for number, does in enumerate(stands):
        assert does != any(f"({number})" in detail for detail in details)
