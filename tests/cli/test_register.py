"""`netbasis register`: which events show, by type, session and strategy, and in which columns."""

from __future__ import annotations

import csv
import json
from typing import Any

import pytest

from tests.cli_support import Cli

AT = "2026-01-05T12:00:00.000000Z"
FILL = {"type": "fill", "base_asset": "XRP", "base_amount": "10", "quote_asset": "RLUSD", "quote_amount": "13.30"}
FEE = {"fee_asset": "XRP", "fee_amount": "0.01"}
LOG: list[dict[str, Any]] = [
    {"type": "deposit", "key": "d", "asset": "RLUSD", "amount": "85"},
    {**FILL, **FEE, "key": "f1", "side": "buy", "session_id": "s1", "strategy": "grid", "tags": ["slow"]},
    {**FILL, **FEE, "key": "f2", "side": "sell", "session_id": "s2", "strategy": "grid"},
    {**FILL, **FEE, "key": "f3", "side": "buy", "session_id": "s1", "strategy": "taker"},
    {**FILL, "key": "f4", "side": "buy", "session_id": "s1"},
    {"type": "mark", "key": "m", "asset": "XRP", "price": "1.34", "price_source": "venue", "session_id": "s1"},
    {"type": "basis_commit", "key": "b", "basis_delta": "-1.5", "actor": "owner"},
    {"type": "baseline", "key": "l", "starting_value": "90", "reason": "a new start"},
    {"type": "adjustment", "key": "a", "asset": "XRP", "amount": "-0.000012", "reason": "network_fee"},
    {"type": "reversal", "key": "r1", "reverses": 4},
    {"type": "reversal", "key": "r2", "reverses": 7},
]
# The columns of before, then those that came later: what reads the rows by place goes on reading.
BEFORE = "version at type asset delta balance part session_id key reverses reversed_by"
COLUMNS = f"{BEFORE} strategy price basis_delta starting_value reason".split()


@pytest.fixture
def log(cli: Cli) -> Cli:
    """A ledger with an event of each type."""
    cli.append(*({"at": AT, **fields} for fields in LOG))
    return cli


def rows(cli: Cli, *options: str) -> list[dict[str, Any]]:
    """The rows of `register` with the options."""
    ran = cli.here("register", *options, "-O", "json")
    assert (ran.code, ran.err) == (0, "")
    found: list[dict[str, Any]] = ran.json["rows"]
    assert all(list(row) == COLUMNS for row in found)
    return found


def test_each_type_shows_its_events_and_without_one_every_posting(log: Cli) -> None:
    posted = [(row["version"], row["asset"]) for row in rows(log)]
    fill = ["XRP", "RLUSD", "XRP"]
    assert posted == [
        (2, "RLUSD"),
        *((version, asset) for version in (3, 4, 5) for asset in fill),
        (6, "XRP"),
        (6, "RLUSD"),
        (10, "XRP"),
        *((11, asset) for asset in fill),
    ]
    versions = {
        kind: sorted({row["version"] for row in rows(log, "--type", kind)})
        for kind in ("opened", "deposit", "fill", "mark", "basis_commit", "baseline", "adjustment", "reversal")
    }
    assert versions == {
        "opened": [1],
        "deposit": [2],
        "fill": [3, 4, 5, 6],
        "mark": [7],
        "basis_commit": [8],
        "baseline": [9],
        "adjustment": [10],
        "reversal": [11, 12],
    }
    assert rows(log, "--type", "withdrawal") == []


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("mark", {"asset": "XRP", "price": "1.34", "session_id": "s1", "key": "m", "reversed_by": 12}),
        ("basis_commit", {"asset": "RLUSD", "basis_delta": "-1.5", "key": "b"}),
        ("baseline", {"starting_value": "90", "reason": "a new start", "key": "l"}),
        ("opened", {}),
    ],
)
def test_what_moves_no_balance_shows_what_it_says(kind: str, fields: dict[str, Any], log: Cli) -> None:
    (row,) = rows(log, "--type", kind)
    always = {"version": row["version"], "at": row["at"], "type": kind, "key": row["key"]}
    assert row == {**dict.fromkeys(COLUMNS), **always, **fields}


@pytest.mark.parametrize(
    ("options", "versions"),
    [
        (("--strategy", "grid"), [3, 4, 11]),  # 11 reverses 4
        (("--strategy", "grid", "--type", "fill"), [3, 4]),
        (("--strategy", "grid", "--session", "s1"), [3]),
        (("--strategy", "taker"), [5]),
        (("--strategy", "GRID"), []),
        (("--strategy", ""), []),
        (("--session", "s1"), [3, 5, 6]),
        (("--session", "s1", "--type", "mark"), [7]),
        (("--asset", "XRP", "--type", "mark"), [7]),
        (("--asset", "EUR", "--type", "mark"), []),
        (("--type", "mark", "--to", "2026-01-04"), []),
    ],
)
def test_the_options_are_of_all_rows(options: tuple[str, ...], versions: list[int], log: Cli) -> None:
    assert sorted({row["version"] for row in rows(log, *options)}) == versions


def test_a_balance_counts_what_is_not_shown(log: Cli) -> None:
    found = rows(log, "--strategy", "taker", "--asset", "RLUSD")
    assert [(row["delta"], row["balance"], row["strategy"]) for row in found] == [("-13.3", "71.7", "taker")]


@pytest.mark.parametrize(
    ("options", "columns"),
    [
        ((), "version at type asset delta balance part session_id strategy key reverses reversed_by"),
        (("--type", "mark"), "version at type asset price session_id strategy key reverses reversed_by"),
        (("--type", "baseline"), "version at type starting_value reason session_id strategy key reverses reversed_by"),
    ],
)
def test_people_are_shown_the_columns_that_the_type_has(options: tuple[str, ...], columns: str, log: Cli) -> None:
    ran = log.here("register", *options)
    assert ran.lines[0].split() == columns.split()
    assert len(ran.lines) == 1 + len(rows(log, *options))


def test_csv_and_ndjson_have_every_column(log: Cli) -> None:
    expected = rows(log, "--type", "baseline")
    by_ndjson = [json.loads(line) for line in log.here("register", "--type", "baseline", "-O", "ndjson").lines]
    assert by_ndjson == expected
    (row,) = csv.DictReader(log.here("register", "--type", "baseline", "-O", "csv").lines)
    assert list(row) == COLUMNS
    assert (row["delta"], row["starting_value"]) == ("", "90")
