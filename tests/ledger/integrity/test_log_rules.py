"""What an append refuses is found in a log that was rewritten from end to end, on both engines; nothing stops the check."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any

import orjson
import pytest

from engine.proof.check import CheckReport, check
from ledger.book import GENESIS_HASH
from ledger.database.connections import Database
from ledger.database.postgres import is_url
from ledger.database.tables import events
from ledger.stored import chain_hash
from tests.cli_support import ON_A_FILE
from tests.engines import Raw, intruding
from tests.ledger.database.store_support import SAMPLE_VERSIONS, VERSION_OF, append_sample
from tests.support import BOOK, a_share_of, open_keeper


@pytest.fixture
def ledger(location: str, tmp_path: Path) -> str:
    """The location of a closed ledger with the sample log, on each engine in turn."""
    with open_keeper(tmp_path, location=location) as keeper:
        append_sample(keeper)
    return location


def checked(location: str) -> CheckReport:
    with Database.open(location, "read") as database:
        return check(database, BOOK)


def rehash(raw: Raw) -> None:
    """Build every hash anew from the bodies as they are."""
    digest, version = GENESIS_HASH, 0
    for version, body in raw.execute("SELECT version, body FROM events ORDER BY version"):
        digest = chain_hash(digest, bytes(body))
        raw.execute("UPDATE events SET hash = ? WHERE version = ?", (digest, version))
    raw.execute("UPDATE books SET head_hash = ?", (digest,))


def rewrite(location: str, version: int, **fields: Any) -> None:
    """Give an event other fields, in its bytes and the columns that copy them, and build the chain anew."""
    with intruding(location) as raw:
        ((body,),) = raw.execute("SELECT body FROM events WHERE version = ?", (version,))
        forged = orjson.dumps(orjson.loads(bytes(body)) | fields, option=orjson.OPT_SORT_KEYS)
        raw.execute("UPDATE events SET body = ? WHERE version = ?", (forged, version))
        for name in fields.keys() & {"key", "reverses", "event_id"}:
            if name != "reverses":  # two of the same stand in the way of the index
                raw.execute(f"UPDATE events SET {name} = ? WHERE version = ?", (fields[name], version))
        rehash(raw)


@contextmanager
def rewritten(location: str, version: int, **fields: Any) -> Iterator[None]:
    """As `rewrite`, of fields that no column copies; afterwards the log is what it was."""
    with intruding(location) as raw:
        ((body,),) = raw.execute("SELECT body FROM events WHERE version = ?", (version,))
    rewrite(location, version, **fields)
    yield
    with intruding(location) as raw:
        raw.execute("UPDATE events SET body = ? WHERE version = ?", (bytes(body), version))
        rehash(raw)


def rules_found(location: str) -> list[tuple[int | None, str]]:
    return [(found.version, found.detail) for found in checked(location).findings if found.invariant == "log_rules"]


RULES: dict[str, tuple[int, dict[str, Any], str]] = {
    "itself reversed": (12, {"reverses": 12}, "it reverses an event that does not lie before it"),
    "a later one reversed": (12, {"reverses": 14}, "it reverses an event that does not lie before it"),
    "the opening reversed": (12, {"reverses": 1}, "it reverses version 1, of a type that cannot be reversed"),
    "a reversal reversed": (15, {"reverses": 12}, "it reverses version 12, of a type that cannot be reversed"),
    "reversed twice": (15, {"reverses": 5}, "it reverses version 5, which version 12 had reversed already"),
    "a later one corrected": (13, {"corrects": 14}, "it corrects an event that does not lie before it"),
    "a standing one corrected": (13, {"corrects": 6}, "it corrects version 6, which was not reversed before"),
    "another amount": (7, {"amount": "1"}, "the commit's amount is not its |basis delta|"),
    "a trailing zero": (6, {"base_amount": "10.0"}, "the field base_amount of the bytes is not in canonical form"),
    "an exponent": (6, {"base_amount": "1e1"}, "the field base_amount of the bytes is not in canonical form"),
    "minus nought": (6, {"fee_asset": "XRP", "fee_amount": "-0"}, "the field fee_amount of the bytes is not in canon"),
    "a null": (6, {"liquidity": None}, "the bytes are not in canonical form"),
}


def test_what_an_append_refuses_is_found_in_a_rewritten_log(ledger: str) -> None:
    """On a server every third: it gives the same bytes to the same code."""
    for what, (version, fields, detail) in a_share_of(RULES.items(), 0, parts=3 if is_url(ledger) else 1):
        with rewritten(ledger, version, **fields):
            found = rules_found(ledger)
        assert any(place == version and told.startswith(detail) for place, told in found), (what, found)
    assert checked(ledger).ok


def test_the_amounts_within_evidence_are_canonical_too(ledger: str) -> None:
    with intruding(ledger) as raw:
        ((body,),) = raw.execute("SELECT body FROM events WHERE version = 9")
    evidence = orjson.loads(bytes(body))["evidence"]
    rewrite(ledger, 9, evidence={**evidence, "basis_before": f"{evidence['basis_before']}0"})
    assert rules_found(ledger) == [(9, "the field evidence.basis_before of the bytes is not in canonical form")]


def test_a_chain_of_reversals_of_reversals_is_a_finding_and_no_recursion(ledger: str) -> None:
    for version, reverses in ((12, 12), (15, 12), (16, 15)):
        rewrite(ledger, version, reverses=reverses)
    assert {12, 15, 16} <= {version for version, _ in rules_found(ledger)}


def test_an_event_id_that_stands_twice_is_found(ledger: str) -> None:
    with intruding(ledger) as raw:
        ((given,),) = raw.execute("SELECT event_id FROM events WHERE version = 3")
    rewrite(ledger, 8, event_id=given)
    assert rules_found(ledger) == [(8, f"the event id {given!r} stands in the book 2 times, first at version 3")]


@pytest.mark.parametrize("engine", ["postgres"], indirect=True)
def test_a_key_that_stands_twice_is_found_where_nothing_stood_in_the_way(ledger: str) -> None:
    """The key's index of a SQLite file cannot be dropped; what it holds is checked by SQLite."""
    with intruding(ledger) as raw:
        raw.execute("ALTER TABLE events DROP CONSTRAINT uq_events_key")
    rewrite(ledger, 8, key="d:1")
    assert rules_found(ledger) == [(8, "the key 'd:1' stands in the book 2 times, first at version 2")]


def test_a_form_that_is_not_listed_is_found_once(ledger: str) -> None:
    with intruding(ledger) as raw:
        raw.execute("DELETE FROM event_types WHERE type = 'fill'")
    (found,) = rules_found(ledger)
    assert found == (5, "the table event_types does not list fill/2, of which this is the first")


@ON_A_FILE
def test_an_unknown_form_in_the_bytes_is_found_at_its_version(ledger: str) -> None:
    for kind in ("fill/9", "swap/1", "fill/02", "fill", ""):
        with rewritten(ledger, 6, type=kind):
            found = [finding for finding in checked(ledger).findings if finding.version == 6]
        assert any("cannot be read" in finding.detail for finding in found), (kind, found)


@ON_A_FILE
def test_a_stored_projection_that_is_not_canonical_is_found(ledger: str) -> None:
    """A server keeps numbers, not their texts."""
    with intruding(ledger) as raw:
        ((value,),) = raw.execute("SELECT total FROM inventory WHERE asset = 'RLUSD'")
    for spelt in (f"{value}0", f" {value}", "+5", "٥", f"{value}e0", "5e0", "05"):
        with intruding(ledger) as raw:
            raw.execute("UPDATE inventory SET total = ? WHERE asset = 'RLUSD'", (spelt,))
        (finding,) = checked(ledger).findings
        assert (finding.invariant, finding.expected, finding.actual) == ("projections_match", value, spelt)


# Whatever stands there, the check ends with findings

FORGED: tuple[Any, ...] = (
    None, "", "x", "5.0", "-0", "1e400", "9" * 300, 0, -1, 2**62, 1.5, True, [], [[]], {}, {"a": {}}, "\u0000", "2026-13-01",
)  # fmt: skip
TRIES = 30
TRIES_ON_A_SERVER = 8  # the bytes are read by the same code


def forge_bodies(raw: Raw, chance: random.Random) -> set[int]:
    """Give one or two events a field of another kind, and build the chain anew; their versions."""
    forged_at = set()
    for _ in range(chance.choice((1, 1, 2))):
        version = chance.randrange(1, SAMPLE_VERSIONS + 1)
        ((body,),) = raw.execute("SELECT body FROM events WHERE version = ?", (version,))
        fields = orjson.loads(bytes(body))
        if not isinstance(fields, dict):
            continue
        name = chance.choice([*fields, "evidence", "corrects", "reverses", "fee_amount", "price", "tags"])
        if chance.random() < 0.2:
            fields.pop(name, None)
        else:
            fields[name] = chance.choice((*FORGED, *fields.values()))
        forged = orjson.dumps(fields, option=orjson.OPT_SORT_KEYS) if chance.random() < 0.95 else b"[1]"
        raw.execute("UPDATE events SET body = ? WHERE version = ?", (forged, version))
        forged_at.add(version)
    rehash(raw)
    return forged_at


def test_no_forged_body_stops_the_check_or_passes_it_by_a_traceback(ledger: str) -> None:
    chance = random.Random(20261126)  # noqa: S311 - not for secrets
    with intruding(ledger) as raw:
        kept = dict(raw.execute("SELECT version, body FROM events"))
    tries = TRIES_ON_A_SERVER if is_url(ledger) else TRIES
    found, forged_at = 0, set[int]()
    for _ in range(tries):
        with intruding(ledger) as raw:
            for version in forged_at:
                raw.execute("UPDATE events SET body = ? WHERE version = ?", (bytes(kept[version]), version))
            forged_at = forge_bodies(raw, chance)
        found += not checked(ledger).ok
    assert found > tries * 0.8


@pytest.mark.parametrize("engine", ["postgres"], indirect=True)
def test_no_column_of_any_row_stops_the_check(ledger: str) -> None:
    """What a server takes, in a fill and in a withdrawal at once; a file takes anything, see test_check."""
    values = ("x", "-7", "NaN", "2026-01-01T00:00:00Z", "\\xff")
    columns = [column.name for column in events.columns if column.name != "version"]
    for number, together in enumerate(zip_longest(columns[::2], columns[1::2])):
        places = [
            place for place in zip(together, (VERSION_OF["fill"], VERSION_OF["withdrawal"]), strict=True) if place[0]
        ]
        with intruding(ledger) as raw:
            kept = [raw.execute(f"SELECT {column} FROM events WHERE version = ?", (at,))[0][0] for column, at in places]
        for value in a_share_of(values, number, parts=5):
            forged_at = {version for column, version in places if put(ledger, column, version, value)}
            assert forged_at <= {finding.version for finding in checked(ledger).findings}, (places, value)
        for (column, version), value in zip(places, kept, strict=True):
            assert put(ledger, column, version, value)
    assert checked(ledger).ok


def put(location: str, column: str, version: int, value: object) -> bool:
    """Whether the engine takes the value; a text becomes what the column holds."""
    import psycopg

    with intruding(location) as raw:
        if is_url(location) and isinstance(value, str):
            kind = raw.execute(
                "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid ="
                " CAST('events' AS regclass) AND attname = ?",
                (column,),
            )[0][0]
            place = f"CAST(CAST(? AS text) AS {kind})"
        else:
            place = "?"
        try:
            raw.execute(f"UPDATE events SET {column} = {place} WHERE version = ?", (value, version))
        except psycopg.Error:
            return False
    return True
