"""`export ndjson`: what it writes is what `append --file` reads; the two books differ in ids and times of recording."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.bookkeeper import Bookkeeper
from engine.exports.choosing import Choice, LeftOut
from engine.exports.ndjson import exported_events
from ledger.errors import Refused
from ledger.events import EVENT_TYPES
from ledger.given import FileEvent, key_that_is_reversed, parse_file_line, taken_back
from tests.engine.exports.exports_support import Step, figures, play, steps
from tests.support import BOOK, SMALLEST, event, log_of, open_keeper

WHOLE = Choice()
FEWER = settings(max_examples=settings().max_examples // 2)  # each one is a book of a dozen steps, twice


@contextmanager
def two_books() -> Iterator[tuple[Bookkeeper, Bookkeeper]]:
    with (
        tempfile.TemporaryDirectory() as folder,
        open_keeper(Path(folder), name="a.db") as first,
        open_keeper(Path(folder), name="b.db") as second,
    ):
        yield first, second


def exported(keeper: Bookkeeper, choice: Choice = WHOLE) -> tuple[list[dict[str, Any]], LeftOut]:
    with exported_events(keeper.database, BOOK, choice) as (lines, left):
        return list(lines), left


def read_back(lines: list[dict[str, Any]]) -> list[FileEvent]:
    """The events as `append --file` gives them to the book."""
    texts = [json.dumps(line).encode() for line in lines]
    keys = frozenset(key for text in texts if (key := key_that_is_reversed(text)) is not None)
    return [taken_back(parse_file_line(text), keys) for text in texts]


@FEWER
@given(steps())
def test_a_round_trip_gives_the_same_book(done: list[Step]) -> None:
    with two_books() as (first, second):
        play(first, done)
        lines, left = exported(first)
        assert left == LeftOut()
        report = second.append_all(BOOK, read_back(lines))
        assert (report.appended, report.existed) == (len(lines) - 1, 1)
        assert figures(second) == figures(first)
        assert exported(second) == (lines, left)
        again = first.append_all(BOOK, read_back(lines))
        assert (again.appended, again.existed) == (0, len(lines))
        for ours, theirs in zip(log_of(first), log_of(second), strict=True):
            assert ours.effects == theirs.effects
            assert (ours.at if ours.version > 1 else None) == (theirs.at if ours.version > 1 else None)


CHOICES = st.builds(
    Choice,
    type=st.none() | st.sampled_from(sorted(EVENT_TYPES)),
    asset=st.none() | st.sampled_from(["XRP", "BTC", "RLUSD"]),
    strategy=st.none() | st.just("maker"),
    session=st.none() | st.just("s"),
)


@FEWER
@given(steps(), CHOICES)
def test_what_a_filter_leaves_can_be_read_back_and_what_it_leaves_out_is_counted(
    done: list[Step], choice: Choice
) -> None:
    with two_books() as (first, second):
        play(first, done)
        lines, left = exported(first, choice)
        report = second.append_all(BOOK, read_back(lines))
        assert report.appended == len(lines) - 1
        log = log_of(first)
        assert left.events == len(log) - len(lines)
        there = {line["key"] for line in lines}
        by_version = {stored.version: stored for stored in log}
        gone = [s for s in log if s.reverses is not None and by_version[s.reverses].key not in there]
        assert left.reversals == len(gone)
        # With the filter's events, each with its reversal or neither, the second book has what they add up to.
        kept = {stored.version for stored in log if stored.key in there}
        for stored in log:
            if stored.reverses is not None:
                assert (stored.version in kept) == (stored.reverses in kept)
        # In the same book all of it exists.
        assert first.append_all(BOOK, read_back(lines)).appended == 0


def deposits(keeper: Bookkeeper, *keys: str) -> None:
    for key in keys:
        keeper.append(BOOK, event("deposit", **SMALLEST["deposit"], key=key))


def test_a_reversal_and_a_correction_name_the_key(tmp_path: Path) -> None:
    with open_keeper(tmp_path) as keeper:
        deposits(keeper, "d")
        keeper.append(BOOK, event("reversal", reverses=2, key="r", reason="twice"))
        keeper.append(BOOK, event("deposit", asset="RLUSD", amount="5", corrects=2))
        opened, _, reversal, correction = exported(keeper)[0]
    assert opened["type"] == "opened"
    assert reversal == {"type": "reversal", "key": "r", "reverses_key": "d", "reason": "twice"}
    assert (correction["key"], correction["corrects_key"]) == ("d#2", "d")
    assert "at" not in correction


def test_the_reversal_of_another_time_and_the_one_outside_the_period(tmp_path: Path) -> None:
    """A reversal that happened later is not in the period of what it reverses; one in the period goes with its event."""
    with open_keeper(tmp_path) as keeper:
        for key, day in (("old", "01"), ("new", "03")):
            keeper.append(BOOK, event("deposit", **SMALLEST["deposit"], key=key, at=f"2026-01-{day}T00:00:00Z"))
        keeper.append(BOOK, event("reversal", reverses=2, key="r-old", at="2026-01-03T00:00:00Z"))
        keeper.append(BOOK, event("reversal", reverses=3, key="r-new", at="2026-01-05T00:00:00Z"))
        keeper.append(BOOK, event("deposit", **SMALLEST["deposit"], key="right", corrects=3))
        log = {stored.key: stored.at for stored in log_of(keeper)}
        bounds = Choice(start=log["new"], end=log["r-new"])
        lines, left = exported(keeper, bounds)
    assert [line["key"] for line in lines] == ["opened", "new", "right"]
    # `right` corrects what stands in this file, so it says so no more.
    assert "corrects_key" not in lines[2]
    assert (left.reversals, left.corrections, left.events) == (1, 1, 3)


def test_evidence_is_there_while_it_fits_and_left_out_after_a_gap() -> None:
    with two_books() as (first, second):
        deposits(first, "d")
        play(first, [{"type": "withdraw", "amount": "1", "asset": "RLUSD", "late": False, "key": "w"}])
        first.append(BOOK, event("mark", **SMALLEST["mark"], key="m"))
        assert "evidence" in exported(first)[0][2]
        assert "evidence" in exported(first, Choice(asset="RLUSD"))[0][2]  # no event that moves anything is left out
        lines, left = exported(first, Choice(type="withdrawal"))
        assert ("evidence" in lines[1], left.evidence) == (False, 1)
        second.append_all(BOOK, read_back(lines))


def line(**fields: object) -> bytes:
    return json.dumps(fields).encode()


@pytest.mark.parametrize(
    ("given_line", "code", "field"),
    [
        (line(type="reversal", key="r", reverses_key="nobody"), "key_unknown", "reverses_key"),
        (
            line(type="deposit", key="d2", asset="RLUSD", amount="1", corrects_key="nobody"),
            "key_unknown",
            "corrects_key",
        ),
        (
            line(type="deposit", key="d2", asset="RLUSD", amount="1", corrects_key="d"),
            "corrected_not_reversed",
            "corrects",
        ),
        (line(type="reversal", key="r", reverses_key="opened"), "reversal_not_allowed", "reverses"),
        (line(type="reversal", key="r", reverses=2, reverses_key="d"), "field_duplicate", "reverses_key"),
        (line(type="reversal", key="r", reverses_key=""), "text_empty", "reverses_key"),
        (line(type="reversal", key="r", reverses_key=2), "text_required", "reverses_key"),
        (line(type="reversal", key="r", reverses_key="x" * 201), "text_too_long", "reverses_key"),
        (line(type="reversal", key="r"), "field_required", "reverses"),
        (line(type="reversal", key="r", reverses_key=None), "field_unknown", "reverses_key"),
        (line(type="mark", key="m", asset="XRP", price="1", reverses_key="d"), "field_unknown", "reverses_key"),
    ],
)
def test_what_is_refused(given_line: bytes, code: str, field: str, tmp_path: Path) -> None:
    with open_keeper(tmp_path) as keeper:
        deposits(keeper, "d")
        with pytest.raises(Refused) as refused:
            keeper.append_all(BOOK, [parse_file_line(given_line)])
        assert (refused.value.code, refused.value.field) == (code, field)
        assert keeper.view(BOOK).head.version == 2
