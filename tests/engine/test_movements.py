"""One movement on the chain counts once, whichever way it comes: keys from hashes, and repeats under other keys."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text
from sqlalchemy.event import listen, remove

from engine.bookkeeper import Bookkeeper
from engine.proof.check import check
from ledger import appender, store
from ledger.errors import NetbasisError
from ledger.events import Event, Opened
from ledger.texts import normal_tx_hash
from tests.cli_support import Cli, assert_refused, ndjson
from tests.engine.ways_in import SINGLE, WAYS, Given, answer, by_append, event_of, options
from tests.engines import raw_access
from tests.support import BOOK, START, a_share_of, event, log_of, open_keeper

IN: Given = {"type": "deposit", "asset": "RLUSD"}
OUT: Given = {"type": "withdrawal", "asset": "RLUSD", "basis_delta": "-5"}
XRP_IN: Given = {"type": "deposit", "asset": "XRP", "price": "2"}
BASE58 = "3yZe7dQw8rQ2sVfL9hJtKpXmNb4cEaUgZoHi"
LONG = "E3FE6EA3D48F0C2B639448020EA4F03D4F4F8FFDB243A852A0F59177921B4879"

Story = list[tuple[Given, str]]

# What is given one after the other, and the answer to each.
STORIES: dict[str, Story] = {
    "the same again": [
        ({**IN, "amount": "70", "tx_hash": "FEED"}, "appended"),
        *(
            ({**IN, "amount": amount, "tx_hash": given}, "exists")
            for amount in ("70", "70.00")
            for given in ("FEED", "feed")
        ),
    ],
    "blanks and case of a hexadecimal hash": [
        ({**IN, "amount": "1", "tx_hash": " aa"}, "appended"),
        *(
            ({**IN, "amount": "1", "tx_hash": given}, "exists")
            for given in ("AA", "aa", "aA", "AA ", "a a", "A\u00a0A")
        ),
    ],
    "a prefixed hash is one in either case, and another than one without": [
        ({**IN, "amount": "1", "tx_hash": "0xABcd"}, "appended"),
        ({**IN, "amount": "1", "tx_hash": "0XabCD"}, "exists"),
        ({**IN, "amount": "1", "tx_hash": "ABCD"}, "appended"),
    ],
    "Base58 tells case": [
        ({**IN, "amount": "1", "tx_hash": BASE58}, "appended"),
        ({**IN, "amount": "1", "tx_hash": BASE58.lower()}, "appended"),
        ({**IN, "amount": "1", "tx_hash": f" {BASE58} "}, "exists"),
    ],
    "another amount": [
        ({**IN, "amount": "70", "tx_hash": "FEED"}, "appended"),
        ({**IN, "amount": "75", "tx_hash": "feed"}, "exists_with_different_amount"),
        ({**IN, "amount": "70.000000000000000001", "tx_hash": "FEED"}, "exists_with_different_amount"),
        ({**IN, "amount": "70", "tx_hash": "FEED"}, "exists"),
    ],
    "another price under the own key": [
        ({**XRP_IN, "amount": "3", "tx_hash": "FEED"}, "appended"),
        ({**XRP_IN, "amount": "3", "price": "2.5", "tx_hash": "FEED"}, "exists_with_different_price"),
        ({**XRP_IN, "amount": "3", "tx_hash": "FEED"}, "exists"),
    ],
    "an explicit key records a second movement": [
        ({**IN, "amount": "70", "tx_hash": "FEED"}, "appended"),
        ({**IN, "amount": "30", "tx_hash": "FEED", "key": "second"}, "appended"),
        ({**IN, "amount": "70", "tx_hash": "FEED", "key": "third"}, "appended"),
        ({**IN, "amount": "70", "tx_hash": "FEED"}, "exists"),
        ({**IN, "amount": "30", "tx_hash": "FEED"}, "exists"),
        ({**IN, "amount": "30", "tx_hash": "FEED", "key": "second"}, "exists"),
        ({**IN, "amount": "31", "tx_hash": "FEED", "key": "second"}, "exists_with_different_amount"),
        ({**IN, "amount": "31", "tx_hash": "FEED"}, "exists_with_different_amount"),
    ],
    "one under the key of an import": [
        ({**IN, "amount": "70", "tx_hash": "TX3", "key": "legacy:capital_events:3"}, "appended"),
        ({**IN, "amount": "70", "tx_hash": "TX3"}, "exists"),
        ({**IN, "amount": "71", "tx_hash": "TX3"}, "exists_with_different_amount"),
        ({**IN, "amount": "70", "tx_hash": "tx3"}, "appended"),  # T and X are no hexadecimal digits
    ],
    "in and out are two": [
        ({**IN, "amount": "70", "tx_hash": "FEED"}, "appended"),
        ({**OUT, "amount": "5", "tx_hash": "FEED"}, "appended"),
        ({**OUT, "amount": "5", "tx_hash": "feed"}, "exists"),
        ({**OUT, "amount": "6", "tx_hash": "FEED"}, "exists_with_different_amount"),
    ],
    "two assets are two": [
        ({**IN, "amount": "70", "tx_hash": "FEED"}, "appended"),
        ({**XRP_IN, "amount": "70", "tx_hash": "FEED"}, "appended"),
        ({**XRP_IN, "amount": "70", "tx_hash": "feed"}, "exists"),
    ],
    "no hash, no key of its own": [
        ({**IN, "amount": "70", "key": "a"}, "appended"),
        ({**IN, "amount": "70", "key": "b"}, "appended"),
        ({**IN, "amount": "70", "tx_hash": "FEED"}, "appended"),
    ],
    "an empty hash is none": [
        ({**IN, "amount": "70", "tx_hash": "", "key": "a"}, "text_empty"),
        ({**IN, "amount": "70", "tx_hash": "  \u3000", "key": "a"}, "text_empty"),
        ({**OUT, "amount": "5", "tx_hash": " ", "key": "a"}, "text_empty"),
    ],
    "a hash that someone else's key happens to be": [
        ({**IN, "amount": "1", "key": "FEED:deposit:RLUSD"}, "appended"),
        ({**IN, "amount": "1", "tx_hash": "FEED"}, "exists_with_different_tx_hash"),
    ],
}
FUNDED = {**IN, "amount": "1000", "key": "funds"}


@pytest.mark.parametrize("story", STORIES)
def test_each_way_in_answers_the_same(cli: Cli, story: str) -> None:
    """A book for each way, so that it alone must tell what is there. Each story comes singly and in a list."""
    number = 1 + list(STORIES).index(story)
    for name in a_share_of(("append", "rehearsal", "list", "file"), number, parts=2):
        way = WAYS[name]
        if story == "in and out are two" and name == "append":
            continue  # it would have to know the basis that the engine decides
        _turn_to(cli, name)
        cli.append(FUNDED)
        there = _versions(cli)
        for given, expected in STORIES[story]:
            assert way(cli, given) == expected, (name, given)
            there += expected == "appended"
            assert _versions(cli) == there, (name, given)
    assert cli.here("check", target=("--db", cli.location)).code == 0
    with raw_access(cli.location) as raw:
        rows = raw.execute("SELECT body, tx_hash FROM events WHERE tx_hash IS NOT NULL")
    for body, tx_hash in rows:
        assert json.loads(body)["tx_hash"] == tx_hash == normal_tx_hash(tx_hash)


def _turn_to(cli: Cli, book: str) -> None:
    """Go on with a new book of the ledger."""
    cli.book = book
    assert cli.here("init").code == 0


def _versions(cli: Cli) -> int:
    """How many events the ledger holds, read past the program."""
    with raw_access(cli.location) as raw:
        ((count,),) = raw.execute("SELECT count(*) FROM events")
    assert isinstance(count, int)
    return count


@pytest.mark.both_engines
def test_what_came_one_way_is_there_for_every_other(cli: Cli) -> None:
    names = list(WAYS)
    for number, first in enumerate(names):
        given = {**IN, "amount": "1", "tx_hash": f"FE{number:02X}"}
        assert WAYS[first](cli, given) == "appended", first
        then = names[number - 3]
        assert WAYS[then](cli, given) == "exists", (first, then)
    assert cli.here("balance", "-O", "json").json["balances"][0]["total"] == str(len(names))


KEYS: list[tuple[dict[str, object], str]] = [
    ({**OUT, "amount": "5", "tx_hash": BASE58}, f"{BASE58}:withdrawal:RLUSD"),
    ({**IN, "amount": "1", "tx_hash": f" {LONG.lower()}"}, f"{LONG}:deposit:RLUSD"),
    ({**XRP_IN, "amount": "1", "tx_hash": "0xFE"}, "0xfe:deposit:XRP"),
    ({**IN, "asset": "XRP.rMxCK", "price": "1", "amount": "1", "tx_hash": "ff"}, "FF:deposit:XRP.rMxCK"),
    # A hash is up to 200 characters, and so is a key.
    ({**IN, "amount": "1", "tx_hash": "g" * 186}, f"{'g' * 186}:deposit:RLUSD"),
    ({**IN, "amount": "1", "tx_hash": "g" * 190, "key": "short"}, "short"),
]


def test_a_hash_gives_the_key(cli: Cli) -> None:
    for number, (name, way) in enumerate(WAYS.items()):
        _turn_to(cli, name)
        cli.append(FUNDED)
        share = a_share_of(KEYS, number, parts=2)
        for given, _ in share:
            assert way(cli, given) == "appended", (name, given)
        with Bookkeeper.open(cli.location) as keeper:
            assert [stored.key for stored in log_of(keeper, name, after=2)] == [key for _, key in share]
        assert way(cli, {**IN, "amount": "1", "tx_hash": "g" * 187}) == "text_too_long", name


OTHERS: dict[str, dict[str, object]] = {
    "fill": {"side": "buy", "base_asset": "XRP", "base_amount": "1", "quote_asset": "RLUSD", "quote_amount": "2"},
    "adjustment": {"asset": "XRP", "amount": "-0.1", "reason": "network_fee"},
    "basis_commit": {"basis_delta": "1"},
    "baseline": {"starting_value": "1"},
    "mark": {"asset": "XRP", "price": "2"},
}


@pytest.mark.parametrize("kind", OTHERS)
def test_only_movements_get_their_key_from_the_hash(keeper: Bookkeeper, kind: str) -> None:
    """A transaction has many of the others, such as its network fee."""
    given = event(kind, **OTHERS[kind], tx_hash=" fe")
    outcomes = [keeper.append(BOOK, given), keeper.append(BOOK, given)]
    assert [outcome.existed for outcome in outcomes] == [False, False]
    for outcome in outcomes:
        assert outcome.stored.key == outcome.stored.event_id
        assert outcome.stored.tx_hash == outcome.stored.event.tx_hash == "FE"


def test_an_adjustment_of_the_same_transaction_is_no_movement(keeper: Bookkeeper) -> None:
    keeper.append(BOOK, event("adjustment", asset="RLUSD", amount="70", reason="reward", tx_hash="FEED"))
    assert not keeper.append(BOOK, event("deposit", asset="RLUSD", amount="70", tx_hash="FEED")).existed


# Several of one transaction


@pytest.mark.both_engines
def test_all_movements_of_the_transaction_are_named_when_none_has_the_amount(cli: Cli) -> None:
    cli.append(*({**IN, "amount": amount, "tx_hash": "FEED", "key": key} for key, amount in (("a", "1"), ("b", "2.5"))))
    before = cli.unchanged()
    for command in (["append", "deposit", "--asset=RLUSD"], ["inject"], ["inject", "--dry-run"]):
        ran = cli.here(*command, "--amount=3", "--tx-hash=feed")
        assert_refused(ran, 3, "exists_with_different_amount", "'FEED'", "versions 2, 3", "expected 1 or 2.5", "'3'")
        assert "--key" in ran.err
    assert cli.unchanged() == before


def test_the_conflict_of_one_movement_advises_a_key_too(cli: Cli) -> None:
    cli.append({**IN, "amount": "70", "tx_hash": "FEED"})
    ran = cli.here("inject", "75", "--tx-hash=FEED")
    assert_refused(ran, 3, "exists_with_different_amount", "'70'", "'75'", "a key of its own")
    ran = cli.here("inject", "75", "--tx-hash=FEED", "--key=FEED:2")
    assert ran.code == 0


# Lists


LISTED: dict[str, tuple[list[Given], str, tuple[int, int]]] = {
    "the second of a file": (
        [{**IN, "amount": "1", "tx_hash": "aa"}, {**IN, "amount": "1", "tx_hash": "AA"}],
        "",
        (1, 1),
    ),
    "with another amount": (
        [{**IN, "amount": "1", "tx_hash": "aa"}, {**IN, "amount": "2", "tx_hash": "AA"}],
        "exists_with_different_amount",
        (0, 0),
    ),
    "under another key first": (
        [{**IN, "amount": "1", "tx_hash": "aa", "key": "k"}, {**IN, "amount": "1", "tx_hash": "AA"}],
        "",
        (1, 1),
    ),
    "a key after the hash": (
        [{**IN, "amount": "1", "tx_hash": "aa"}, {**IN, "amount": "1", "tx_hash": "AA", "key": "k"}],
        "",
        (2, 0),
    ),
    "reversed on the way": (
        [
            {**IN, "amount": "1", "tx_hash": "aa", "key": "k"},
            {"type": "reversal", "reverses": 2, "key": "r"},
            {**IN, "amount": "2", "tx_hash": "AA"},
        ],
        "",
        (3, 0),
    ),
    "corrected on the way": (
        [
            {**IN, "amount": "1", "tx_hash": "aa"},
            {"type": "reversal", "reverses": 2, "key": "r"},
            {**IN, "amount": "2", "tx_hash": "AA", "corrects": 2},
            {**IN, "amount": "2", "tx_hash": "AA"},
        ],
        "",
        (3, 1),
    ),
    "a fill between": (
        [
            {**IN, "amount": "1", "tx_hash": "aa"},
            {"type": "fill", "key": "f", **OTHERS["fill"]},
            {**IN, "amount": "1", "tx_hash": "aa"},
        ],
        "",
        (2, 1),
    ),
}


@pytest.mark.parametrize("name", LISTED)
@pytest.mark.parametrize("how", ["file", "batch of all", "list", "transaction"])
def test_events_of_one_list_know_each_other(cli: Cli, name: str, how: str) -> None:
    """They are not in the database yet when the next one asks. Given again, nothing is added."""
    lines, refusal, counts = LISTED[name]
    if how in ("file", "batch of all"):
        path = cli.folder / cli.write("lines.ndjson", ndjson(lines))
        batch = ["--batch", str(len(lines))] if how == "batch of all" else []
        ran = cli.here("append", "--file", str(path), *batch, "-O", "json")
        if refusal:
            assert (ran.code, f"error[{refusal}]: line 2" in ran.err, cli.head()) == (3, True, 1), ran
            return
        assert (ran.json["appended"], ran.json["existed"]) == counts
        again = cli.here("append", "--file", str(path), *batch, "-O", "json").json
        assert (again["appended"], again["existed"]) == (0, len(lines))
        return
    with Bookkeeper.open(cli.location) as keeper:
        if refusal:
            with pytest.raises(Exception, match=refusal):
                _listed(keeper, lines, how)
            assert keeper.view(BOOK).head.version == 1
            return
        assert _listed(keeper, lines, how) == counts
        assert _listed(keeper, lines, how) == (0, len(lines))


def _listed(keeper: Bookkeeper, lines: list[Given], how: str) -> tuple[int, int]:
    if how == "list":
        done = keeper.append_all(BOOK, [event_of(line) for line in lines])
        return done.appended, done.existed
    with keeper.transaction(BOOK) as transaction:
        existed = [transaction.append(event_of(line)).existed for line in lines]
    return existed.count(False), existed.count(True)


@pytest.mark.both_engines
def test_a_list_longer_than_one_piece_finds_its_movements(keeper: Bookkeeper, monkeypatch: pytest.MonkeyPatch) -> None:
    """The events of a list are looked up and written in pieces, here of 50."""
    monkeypatch.setattr(appender, "EVENTS_AT_ONCE", 50)
    first = [event("deposit", asset="RLUSD", amount="1", tx_hash=f"{n:04x}") for n in range(1, 62)]
    done = keeper.append_all(BOOK, [*first, *first])
    assert (done.appended, done.existed) == (61, 61)
    assert keeper.view(BOOK).state.inventory.balance("RLUSD") == 61


def test_a_line_needs_a_key_or_a_hash_that_gives_one(cli: Cli) -> None:
    for line in (
        {**IN, "amount": "1"},
        {**IN, "amount": "1", "tx_hash": " "},
        {"type": "adjustment", **OTHERS["adjustment"], "tx_hash": "AA"},
        {"type": "fill", **OTHERS["fill"], "tx_hash": "AA"},
    ):
        path = cli.folder / cli.write("one.ndjson", ndjson([line]))
        for batch in ([], ["--batch", "1"]):
            ran = cli.here("append", "--file", str(path), *batch)
            assert_refused(ran, 1, "key_required", "line 1", "tx_hash")


# Reversed and corrected


def test_a_single_command_is_told_that_what_it_gives_was_reversed(cli: Cli) -> None:
    given = {**IN, "amount": "70", "tx_hash": "FEED"}
    cli.append(given)
    assert cli.here("reverse", "2").code == 0
    before = cli.unchanged()
    for arguments in (
        ["append", "deposit", *options(given)],
        ["inject", *options(given)],
        ["inject", *options(given), "--dry-run"],
        ["inject", "70", "--key=FEED:deposit:RLUSD"],
        ["inject", "71", "--tx-hash=feed"],
    ):
        ran = cli.here(*arguments)
        assert_refused(ran, 3, "exists_reversed", "version 2", "version 3", "--corrects 2")
    assert cli.unchanged() == before
    ran = cli.here("append", "deposit", *options({**given, "amount": "71"}), "--corrects=2")
    assert (ran.code, "FEED:deposit:RLUSD#2" in ran.out) == (0, True)


@pytest.mark.parametrize("kind", ["fill", "mark"])
def test_a_reversed_event_of_any_type_is_told(cli: Cli, kind: str) -> None:
    given: dict[str, object] = {"type": kind, **OTHERS[kind], "key": "k"}
    cli.append(given)
    assert cli.here("reverse", "2").code == 0
    assert_refused(cli.here("append", kind.replace("_", "-"), *options(given)), 3, "exists_reversed", "--corrects 2")
    cli.append(given)
    assert cli.head() == 3


@pytest.mark.parametrize("way", ["file", "batch", "library"])
def test_in_a_file_and_the_library_a_reversed_event_is_there(cli: Cli, way: str) -> None:
    given = {**IN, "amount": "70", "tx_hash": "FEED"}
    cli.append(given)
    assert cli.here("reverse", "2").code == 0
    assert WAYS[way](cli, given) == "exists"
    assert WAYS[way](cli, {**given, "amount": "71"}) == "exists_with_different_amount"
    assert cli.head() == 3


@pytest.mark.parametrize("way", ["file", "list"])
@pytest.mark.parametrize(
    "standing", [{"amount": "71", "corrects": 2}, {"amount": "71", "key": "second"}, {"amount": "70", "corrects": 2}]
)
def test_a_file_runs_again_after_its_event_was_reversed_and_another_stands(
    cli: Cli, way: str, standing: dict[str, object]
) -> None:
    """Its own key tells that it is there, whatever stands of that transaction by now."""
    given = {**IN, "amount": "70", "tx_hash": "FEED"}
    cli.append(given)
    assert cli.here("reverse", "2").code == 0
    assert by_append(cli, {**IN, "tx_hash": "FEED", **standing}) == "appended"
    assert WAYS[way](cli, given) == "exists"
    assert cli.head() == 4


@pytest.mark.parametrize("way", SINGLE)
def test_a_correction_of_the_same_amount_is_what_a_repeat_finds(cli: Cli, way: str) -> None:
    """The price was wrong: the movement counts again, so that to give it again is a repeat."""
    given = {**XRP_IN, "amount": "70", "tx_hash": "FEED"}
    cli.append(given)
    assert cli.here("reverse", "2").code == 0
    assert by_append(cli, {**given, "price": "3", "corrects": "2"}) == "appended"
    assert SINGLE[way](cli, given) == "exists"
    assert SINGLE[way](cli, {**given, "amount": "71"}) == "exists_reversed"


@pytest.mark.parametrize("way", ["append", "file", "batch", "transaction"])
def test_a_correction_is_looked_for_by_its_own_key(cli: Cli, way: str) -> None:
    """Another movement of the transaction, of the same amount, does not answer for it. Given again, it is there."""
    cli.append({**IN, "amount": "70", "tx_hash": "FEED"}, {**IN, "amount": "50", "tx_hash": "FEED", "key": "second"})
    assert cli.here("reverse", "2").code == 0
    correction = {**IN, "amount": "50", "tx_hash": "FEED", "corrects": 2}
    assert [WAYS[way](cli, correction) for _ in range(2)] == ["appended", "exists"]
    with Bookkeeper.open(cli.location) as keeper:
        assert log_of(keeper)[-1].key == "FEED:deposit:RLUSD#2"
        assert keeper.view(BOOK).state.inventory.balance("RLUSD") == 100
    assert WAYS[way](cli, {**correction, "amount": "51"}) == "exists_with_different_amount"


@pytest.mark.parametrize("way", ["append", "rehearsal", "file", "transaction"])
def test_one_that_was_reversed_under_another_key_does_not_count(cli: Cli, way: str) -> None:
    cli.append({**IN, "amount": "70", "tx_hash": "FEED", "key": "k"})
    assert cli.here("reverse", "2").code == 0
    assert WAYS[way](cli, {**IN, "amount": "70", "tx_hash": "FEED"}) == "appended"


def test_dry_runs_refuse_a_hash_of_blanks(cli: Cli) -> None:
    cli.append(FUNDED)
    for command in ("inject", "withdraw"):
        for tx_hash in ("", " "):
            ran = cli.here(command, "5", f"--tx-hash={tx_hash}", "--dry-run")
            assert_refused(ran, 1, "text_empty", "tx_hash")


def test_a_withdrawal_by_hand_and_by_the_engine_are_one(cli: Cli) -> None:
    cli.append(FUNDED)
    assert answer(cli.here("withdraw", "5", "--tx-hash=dd", "-O", "json")) == "appended"
    assert answer(cli.here("withdraw", "5", "--tx-hash=DD", "-O", "json")) == "exists"
    assert by_append(cli, {**OUT, "amount": "5", "tx_hash": "DD"}) == "exists"
    assert by_append(cli, {**OUT, "amount": "5", "tx_hash": "EE"}) == "appended"
    assert answer(cli.here("withdraw", "5", "--tx-hash=ee", "-O", "json")) == "exists"


# Any sequence, against a plain list


# Few transactions, most of them one, written in several ways.
HASH = st.sampled_from(["C0FE", "c0fe", " C0 fe", "c0FE\u2003", "0xbe", "0x BE", BASE58, None])
KIND = st.sampled_from(["deposit", "deposit", "deposit", "deposit", "withdrawal"])
ASSET = st.sampled_from(["RLUSD", "RLUSD", "RLUSD", "RLUSD", "XRP"])
AMOUNT = st.sampled_from(["1", "1.00", "2"])
KEY = st.none() | st.sampled_from(["k1", "k2", "k3", "k4", "k5", "C0FE:deposit:RLUSD"])
GIVE = st.tuples(st.just("give"), KIND, ASSET, AMOUNT, HASH, KEY)
REVERSE = st.tuples(st.just("reverse"), st.integers(0, 9))
CORRECT = st.tuples(st.just("correct"), st.integers(0, 9), AMOUNT, HASH)
STEPS = st.lists(st.one_of(GIVE, GIVE, GIVE, GIVE, GIVE, REVERSE, CORRECT), min_size=5, max_size=12)
MOVES = st.lists(st.tuples(st.booleans(), STEPS), min_size=3, max_size=5)


@dataclass
class Told:
    """A movement as it was given, its hash written in one way, and where it stands."""

    kind: str
    asset: str
    amount: float
    tx_hash: str | None
    key: str | None = None
    corrects: int | None = None
    version: int = 0
    is_reversed: bool = False

    def differing(self, other: Told) -> set[str]:
        """The names of what is not the same, of what the other one gives."""
        names = {"type": "kind", "asset": "asset", "price": "asset", "amount": "amount"}
        found = {name for name, mine in names.items() if getattr(self, mine) != getattr(other, mine)}
        return found | ({"tx_hash"} if other.tx_hash not in (None, self.tx_hash) else set())


@dataclass
class Movements:
    """The movements of a book, and what is answered to another one: (answer, version)."""

    there: list[Told] = field(default_factory=list)
    version: int = 1

    def answers(self, given: Told, *, is_command: bool) -> tuple[set[str], int]:
        """The answers that are right, and the version that they are about; 0 for no matter which."""
        standing: list[Told] = []
        if given.tx_hash is not None and given.key is None and given.corrects is None:
            given.key = f"{given.tx_hash}:{given.kind}:{given.asset}"
            same = ("kind", "asset", "tx_hash", "is_reversed")
            standing = [
                told for told in self.there if all(getattr(told, name) == getattr(given, name) for name in same)
            ]
        own = next((told for told in self.there if given.key is not None and told.key == given.key), None)
        equal = [told for told in standing if told.amount == given.amount]
        if equal:
            return {"exists"}, equal[0].version if own not in equal or own is None else own.version
        # One that was taken back is there all the same, whatever stands of its transaction by now.
        was_there = own is not None and own.is_reversed and (is_command or own.amount == given.amount)
        if standing and not was_there:
            return {"exists_with_different_amount"}, 0
        if own is None:
            return {"appended"}, self.version + 1
        if own.is_reversed and is_command:
            return {"exists_reversed"}, own.version
        return {f"exists_with_different_{name}" for name in own.differing(given)} or {"exists"}, own.version

    def add(self, given: Told) -> None:
        """It was appended."""
        self.version += 1
        given.version = self.version
        self.there.append(given)

    def next_key(self, corrected: Told) -> str | None:
        """The key of a correction; a movement without key or hash has one that nobody knows."""
        if corrected.key is None:
            return None
        base, _, count = corrected.key.rpartition("#")
        return f"{base}#{int(count) + 1}" if corrected.corrects else f"{corrected.key}#2"


def step_of(movements: Movements, step: tuple[Any, ...]) -> Told | int | None:
    """A movement to give, the version of one to reverse, or None where there is none."""
    of_step, *drawn_fields = step
    if of_step == "give":
        kind, asset, amount, tx_hash, key = drawn_fields
        return Told(kind, asset, float(amount), tx_hash and normal_tx_hash(tx_hash), key)
    pick, *more = drawn_fields
    chosen = [told for told in movements.there if told.is_reversed == (of_step == "correct")]
    target = chosen[pick % len(chosen)] if chosen else None
    if target is None or of_step == "reverse":
        return target and target.version
    key = movements.next_key(target)
    if key is None:
        return None
    amount, tx_hash = more
    return Told(target.kind, target.asset, float(amount), tx_hash and normal_tx_hash(tx_hash), key, target.version)


def given_as(told: Told, step: tuple[Any, ...]) -> Event:
    """The event that a step gives, its hash and amount as the step writes them."""
    amount, tx_hash = step[3:5] if step[0] == "give" else step[2:4]
    key = step[5] if step[0] == "give" else None
    fields = {"asset": told.asset, "amount": amount, "tx_hash": tx_hash, "key": key, "corrects": told.corrects}
    fields |= {"price": "2"} if told.asset == "XRP" else {}
    fields |= {"basis_delta": "-1"} if told.kind == "withdrawal" else {}
    return event(told.kind, **{name: given for name, given in fields.items() if given is not None})


def test_any_movements_are_answered_as_a_plain_list_answers(tmp_path: Path) -> None:
    """Singly, as a command or a bot gives them, and in lists of one transaction, of which the bad ones are left out."""
    reached: Counter[str] = Counter()
    with open_keeper(tmp_path, book=None) as keeper:

        @settings(max_examples=20)
        @drawn(MOVES)
        def run(batches: list[tuple[bool, list[tuple[Any, ...]]]]) -> None:
            reached["books"] += 1
            book = f"book {reached['books']}"
            keeper.open_book(book, Opened.model_validate({"mode": "live"}))
            movements = Movements()
            for is_command, steps in batches:
                play(keeper, book, movements, steps, is_command=is_command, reached=reached)
            log = log_of(keeper, book)
            assert [stored.version for stored in log] == list(range(1, movements.version + 1))
            for told in movements.there:
                assert (log[told.version - 1].tx_hash, log[told.version - 1].type) == (told.tx_hash, told.kind)
                assert told.key in (None, log[told.version - 1].key)

        run()
        for number in (1, reached["books"] // 2, reached["books"]):
            assert check(keeper.database, f"book {number}").ok
    for answered in ("appended", "exists", "exists_with_different_amount", "exists_reversed", "correct", "other key"):
        assert reached[answered] >= 5, reached


def play(
    keeper: Bookkeeper,
    book: str,
    movements: Movements,
    steps: list[tuple[Any, ...]],
    *,
    is_command: bool,
    reached: Counter[str],
) -> None:
    """Give a list to the model and to the program, and compare."""
    events: list[Event] = []
    expected: list[tuple[set[str], int]] = []
    for step in steps:
        wanted = step_of(movements, step)
        if wanted is None:
            continue
        if isinstance(wanted, int):
            events.append(event("reversal", reverses=wanted))
            next(told for told in movements.there if told.version == wanted).is_reversed = True
            movements.version += 1
            expected.append(({"appended"}, movements.version))
            continue
        events.append(given_as(wanted, step))
        own_key = wanted.key
        answers, version = movements.answers(wanted, is_command=is_command)
        if answers == {"appended"}:
            movements.add(wanted)
            reached["correct"] += step[0] == "correct"
        found = next((told for told in movements.there if told.version == version), None)
        reached["other key"] += answers == {"exists"} and found is not None and found.key != wanted.key != own_key
        reached[min(answers)] += 1
        expected.append((answers, version))
    for given_event, (right, about), (answer_given, version) in zip(
        events, expected, answered(keeper, book, events, is_command=is_command), strict=True
    ):
        assert answer_given in right, (given_event, right)
        assert 0 in (about, version) or version == about, (given_event, right)


def answered(keeper: Bookkeeper, book: str, events: list[Event], *, is_command: bool) -> list[tuple[str, int]]:
    """What the program says to each: the answer and the version; 0 where a refusal is about none."""
    answers: dict[int, tuple[str, int]] = {}

    def refused(error: NetbasisError) -> None:
        assert error.index is not None
        answers[error.index] = error.code, getattr(error, "version", 0)

    if is_command:
        for index, given_event in enumerate(events):
            try:
                outcome = keeper.append(book, given_event, refuse_reversed=True)
                answers[index] = "exists" if outcome.existed else "appended", outcome.version
            except NetbasisError as error:
                error.index = index
                refused(error)
    else:
        with keeper.transaction(book) as transaction:
            outcomes = list(transaction.append_all(events, on_refused=refused))
        for index in range(len(events)):
            if index not in answers:
                outcome = outcomes.pop(0)
                answers[index] = "exists" if outcome.existed else "appended", outcome.version
    return [answers[index] for index in range(len(events))]


# The look-ups use their indexes


@pytest.fixture
def plenty(keeper: Bookkeeper) -> Bookkeeper:
    """A book in which to read all is the wrong way, and a server that knows."""
    keeper.append_all(BOOK, [event("deposit", asset="RLUSD", amount="1", tx_hash=f"{n:04x}") for n in range(100)])
    marks = [event("mark", asset=asset, price="2") for _ in range(50) for asset in ("XRP", "BTC")]
    keeper.append_all(BOOK, [*marks, *(event("reversal", reverses=version) for version in range(110, 140))])
    if keeper.database.dialect == "postgresql":
        with keeper.database.writing() as connection:
            connection.execute(text("ANALYZE events"))
    return keeper


LOOK_UPS: dict[str, tuple[str, Callable[[Connection], object]]] = {
    "movements by hash": (
        "idx_events_tx_hash",
        lambda connection: store.find_movements(connection, BOOK, "deposit", "0042", "RLUSD"),
    ),
    "the newest mark": ("idx_marks", lambda connection: store.newest_mark(connection, BOOK, "XRP")),
    "the newest mark until": (
        "idx_marks",
        lambda connection: store.newest_mark(connection, BOOK, "XRP", until=START + timedelta(days=1)),
    ),
    "reversed marks": ("uq_events_reverses", lambda connection: store.reversed_marks(connection, BOOK)),
    "the reversal of one": ("uq_events_reverses", lambda connection: store.find_reversal(connection, BOOK, 110)),
    "all reversals": ("uq_events_reverses", lambda connection: store.reversals(connection, BOOK)),
}


@pytest.mark.both_engines
def test_a_look_up_reads_its_index_and_not_the_book(plenty: Bookkeeper) -> None:
    for name, (index, look_up) in LOOK_UPS.items():
        plan = _plan(plenty, look_up)
        assert index in plan, (name, plan)
        # On SQLite a search of the primary key by the book alone is the whole book.
        assert not re.search(r"SCAN events|PRIMARY KEY \(book=\?\)|Seq Scan", plan), (name, plan)


def _plan(keeper: Bookkeeper, look_up: Callable[[Connection], object]) -> str:
    """How the engine carries the statements of a look-up out, as it says."""
    seen: list[tuple[str, Any]] = []

    def keep(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        seen.append((statement, parameters))

    with keeper.database.reading() as connection:
        explain = "EXPLAIN QUERY PLAN "
        if connection.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL enable_seqscan = off"))
            explain = "EXPLAIN "
        listen(connection, "before_cursor_execute", keep)
        assert look_up(connection)
        remove(connection, "before_cursor_execute", keep)
        return "\n".join(
            " ".join(str(part) for part in row)
            for statement, parameters in seen
            for row in connection.exec_driver_sql(explain + statement, parameters)
        )
