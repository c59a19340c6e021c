"""`show`: an event whole, whose hash anybody can compute from what is printed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli_support import Cli, assert_refused
from tests.support import SMALLEST


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """Version 2 was reversed by 3 and corrected by 4 and 6; version 5 has digits as its key; the tests only read."""
    folder: Path = tmp_path_factory.mktemp("show")
    cli = Cli(folder)
    cli.append({"type": "deposit", **SMALLEST["deposit"], "key": "d"})
    cli.append({"type": "reversal", "reverses": 2, "key": "r", "reason": "sent twice"})
    note = 'not a field: "corrects":2,'
    cli.append(
        {"type": "deposit", **SMALLEST["deposit"], "corrects": 2, "key": "d#2"},
        {"type": "mark", **SMALLEST["mark"], "key": "2"},
        {"type": "fill", **SMALLEST["fill"], "corrects": 2, "key": "f", "tags": ["a", "b"]},
        {"type": "deposit", **SMALLEST["deposit"], "key": "e", "source_note": note},
        {"type": "fill", **SMALLEST["fill"], "corrects": 2, "key": "g", "fee_asset": "XRP", "fee_amount": "0.01"},
    )
    return cli


def document(cli: Cli, which: str, *more: str) -> Any:
    ran = cli.here("show", which, *more, "-O", "json")
    assert ran.code == 0, ran.err
    return ran.json


def test_the_hash_follows_from_the_body_and_the_predecessor(told: Cli) -> None:
    previous = bytes(32).hex()
    for version in range(1, told.head() + 1):
        found = document(told, str(version))
        assert found["previous_hash"] == previous
        previous = hashlib.sha256(bytes.fromhex(previous) + found["body"].encode()).hexdigest()
        assert found["hash"] == previous
        body = json.loads(found["body"])
        assert (body["version"], body["type"], body["key"]) == (version, found["form"], found["key"])
        kept = {name: value for name, value in body.items() if name in found["event"] and name != "type"}
        assert kept == {name: value for name, value in found["event"].items() if name != "type"}


def test_what_reverses_and_corrects_it(told: Cli) -> None:
    first = document(told, "2")
    assert (first["reversed_by"], first["corrected_by"], first["reverses"]) == (3, [4, 6, 8], None)
    assert document(told, "3")["reverses"] == 2
    assert document(told, "4")["corrects"] == 2
    assert document(told, "7")["corrected_by"] == []
    assert "reversed by version 3, corrected by version 4 and 6 and 8" in told.here("show", "2").lines[0]


def test_digits_are_a_version_and_with_key_a_key(told: Cli) -> None:
    assert document(told, "2")["key"] == "d"
    assert document(told, "2", "--key")["version"] == 5
    assert document(told, "d#2")["version"] == 4


def test_what_it_moved(told: Cli) -> None:
    fill = document(told, "g")
    assert fill["postings"] == [
        {"asset": "XRP", "delta": "10"},
        {"asset": "RLUSD", "delta": "-13.3"},
        {"asset": "XRP", "delta": "-0.01"},
    ]
    assert document(told, "f")["unknown_fees"] == 1
    assert document(told, "3")["basis_delta"] == "-50"
    assert "moves no balance" in told.here("show", "5").out
    assert "tags" in told.here("show", "f").out
    assert "a; b" in told.here("show", "f").out


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("99",), "version_unknown"),
        (("0",), "version_unknown"),
        (("9" * 18,), "version_unknown"),
        (("nobody",), "key_unknown"),
        (("99", "--key"), "key_unknown"),
        (("9" * 19,), "key_unknown"),
        (("",), "key_unknown"),
    ],
)
def test_what_is_not_there(told: Cli, words: tuple[str, ...], error: str) -> None:
    assert_refused(told.here("show", *words), 1, error)
