"""One row for every refusal, and a test that none is missing; conflicts; precedence; and nothing is ever left behind.

The rows are inputs, tried on a real ledger: a line of NDJSON, a list of events of which the last one is refused, or a
call. What the storage refuses (`StorageFault`) is tested where damaged files are.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from cli.main import run
from engine.bookkeeper import Bookkeeper
from engine.capital import Movement, Place, TransferRequest, backfill_basis, link, transfer, withdraw
from engine.cost_basis import CostMethod, basis_at
from engine.importers.legacy.importing import ImportRequest, import_legacy
from engine.paper.session import run_session
from engine.paper.strategy_config import RETIRED, parse_strategy
from engine.paper.tape import read_tape
from engine.policy.classification import classify_withdrawal_basis
from engine.pool import pool_at
from engine.proof.heads import append_head, read_heads
from engine.proof.vouching import sign, verify_stamp
from engine.reports.event import event_report
from engine.upkeep.backup import back_up
from engine.upkeep.rebuild import rebuild
from engine.upkeep.restoring import restore
from engine.views import Moment, view_at
from ledger.adoption import begin_copy
from ledger.amounts import parse_amount
from ledger.book import Book
from ledger.errors import Conflict, KeyConflict, Refusal, Refused, VersionPassed
from ledger.events import EVENT_TYPES, Event, Opened
from ledger.parsing import LINE_BYTES, parse_line
from ledger.rules import complete, require_not_ahead, with_normal_hash
from ledger.times import CLOCK_TOLERANCE
from tests.engine.importers.legacy.legacy_databases import OldEngine, first_deposits, trade
from tests.engine.proof.authority import self_signed
from tests.support import BOOK, SMALLEST, START, event, open_keeper

Fields = dict[str, Any]
LONG_AGO = "2001-01-01T00:00:00Z"


def contents(folder: Path) -> list[str]:
    """All that the ledger holds, as SQL."""
    with sqlite3.connect(folder / "ledger.db") as connection:
        return list(connection.iterdump())


def small(kind: str, **changed: object) -> Fields:
    """The smallest event of a type as JSON fields, some of them changed; None leaves a field out."""
    fields = {"type": kind, **SMALLEST[kind], **changed}
    return {name: value for name, value in fields.items() if value is not None}


def event_of(fields: Fields) -> Event:
    """The event, by way of a line of NDJSON."""
    return parse_line(json.dumps(fields).encode())


# ---- the table


def _line(kind: str, **changed: object) -> bytes:
    return json.dumps(small(kind, **changed)).encode()


LINES: dict[Refusal, bytes] = {
    Refusal.LINE_TOO_LONG: _line("deposit") + b" " * LINE_BYTES,
    Refusal.NOT_JSON: _line("deposit")[:-1],
    Refusal.NOT_AN_OBJECT: b"[]",
    Refusal.FIELD_DUPLICATE: b'{"type":"deposit","asset":"RLUSD","amount":"50","amount":"50"}',
    Refusal.TYPE_UNKNOWN: b'{"type":"transfer"}',
    Refusal.FIELD_UNKNOWN: _line("deposit", quantity="50"),
    Refusal.FIELD_REQUIRED: _line("deposit", amount=None),
    Refusal.TEXT_REQUIRED: _line("deposit", key=7),
    Refusal.TEXT_EMPTY: _line("deposit", key=""),
    Refusal.TEXT_TOO_LONG: _line("deposit", key="k" * 201),
    Refusal.TEXT_HAS_CONTROL_CHARACTER: _line("deposit", source_note="two\nlines"),
    Refusal.TEXT_HAS_LONE_SURROGATE: _line("deposit", source_note="\ud800"),
    Refusal.ASSET_HAS_BLANK: _line("deposit", asset="RL USD"),
    Refusal.ASSET_HAS_EQUALS_SIGN: _line("deposit", asset="RLUSD=1"),
    Refusal.CHOICE_UNKNOWN: _line("fill", side="short"),
    Refusal.FLAG_MALFORMED: _line("deposit", basis_unknown="true"),
    Refusal.VERSION_MALFORMED: _line("reversal", reverses="2"),
    Refusal.TIME_MALFORMED: _line("deposit", at="yesterday"),
    Refusal.TIME_WITHOUT_ZONE: _line("deposit", at="2026-01-31T14:30:00"),
    Refusal.TIME_TOO_PRECISE: _line("deposit", at="2026-01-31T14:30:00.1234567Z"),
    Refusal.TIME_OUT_OF_RANGE: _line("deposit", at="0001-01-01T00:00:00+01:00"),
    Refusal.NUMBER_NOT_QUOTED: _line("deposit", amount=50.1),
    Refusal.AMOUNT_MALFORMED: _line("deposit", amount="1_000"),
    Refusal.AMOUNT_OUT_OF_RANGE: _line("deposit", amount="1e400"),
    Refusal.AMOUNT_TOO_PRECISE: _line("deposit", amount="1." + "0" * 36 + "1"),
    Refusal.AMOUNT_MUST_BE_POSITIVE: _line("deposit", amount="0"),
    Refusal.AMOUNT_MUST_NOT_BE_ZERO: _line("adjustment", amount="0"),
    Refusal.AMOUNT_MUST_NOT_BE_NEGATIVE: _line(
        "withdrawal",
        evidence={
            "equity_before": "0",
            "basis_before": "0",
            "profit": "-1",
            "principal": "1",
            "marks": [],
            "policy": "profit_first/1",
        },
    ),
    Refusal.PRICE_MUST_BE_POSITIVE: _line("deposit", price="0"),
    Refusal.PRICE_MUST_NOT_BE_NEGATIVE: _line("mark", price="-1"),
    Refusal.TAGS_MALFORMED: _line("fill", tags="arb"),
    Refusal.MARKS_MALFORMED: _line(
        "withdrawal",
        evidence={
            "equity_before": "0",
            "basis_before": "0",
            "profit": "0",
            "principal": "0",
            "marks": {"XRP": "1.33"},
            "policy": "profit_first/1",
        },
    ),
}

# All but the last of the events are taken. They are versions 2, 3, …
EVENTS: dict[Refusal, list[Fields]] = {
    Refusal.BOOK_DIFFERS: [small("deposit", book="other")],
    Refusal.BOOK_ALREADY_OPEN: [small("opened", key="again")],
    Refusal.AT_IN_FUTURE: [small("mark", at="2062-01-02T00:00:00Z")],
    Refusal.ASSET_IS_PAIR: [small("deposit", asset="XRP/USDT", price="1")],
    Refusal.ASSETS_MUST_DIFFER: [small("fill", quote_asset="XRP")],
    Refusal.FEE_ASSET_REQUIRED: [small("fill", fee_amount="0.01")],
    Refusal.ASSET_MUST_BE_NUMERAIRE: [small("basis_commit", asset="XRP")],
    Refusal.ASSET_MUST_NOT_BE_NUMERAIRE: [small("mark", asset="RLUSD", price="1")],
    Refusal.PRICE_REQUIRED: [small("deposit", asset="XRP")],
    Refusal.PRICE_MUST_BE_ABSENT: [small("deposit", price="1")],
    Refusal.VALUE_OUT_OF_RANGE: [small("deposit", asset="XRP", amount="1e19", price="10")],
    Refusal.BASIS_DELTA_AND_UNKNOWN: [small("deposit", basis_delta="50", basis_unknown=True)],
    Refusal.BASIS_DELTA_MUST_NOT_BE_POSITIVE: [small("deposit"), small("withdrawal", basis_delta="0.01")],
    Refusal.AMOUNT_MUST_EQUAL_BASIS_DELTA: [small("basis_commit", amount="137.28")],
    Refusal.CORRECTED_VERSION_UNKNOWN: [small("deposit", corrects=2)],
    Refusal.CORRECTED_NOT_REVERSED: [small("deposit"), small("deposit", corrects=2)],
    Refusal.REVERSED_VERSION_UNKNOWN: [small("reversal")],
    Refusal.REVERSAL_NOT_ALLOWED: [small("mark"), small("reversal"), small("reversal", reverses=3)],
    Refusal.ALREADY_REVERSED: [small("deposit"), small("reversal"), small("reversal")],
    Refusal.EVIDENCE_MISMATCH: [
        small("deposit"),
        small(
            "withdrawal",
            amount="20",
            basis_delta="-20",
            evidence={
                "equity_before": "50",
                "basis_before": "51",
                "profit": "0",
                "principal": "20",
                "marks": [],
                "policy": "profit_first/1",
            },
        ),
    ],
}


# The field that each of them names, so that a caller can point at it; None where no single field is to blame.
FIELD_NAMED: dict[Refusal, str | None] = {
    Refusal.BOOK_DIFFERS: "book",
    Refusal.BOOK_ALREADY_OPEN: None,
    Refusal.AT_IN_FUTURE: "at",
    Refusal.ASSET_IS_PAIR: "asset",
    Refusal.ASSETS_MUST_DIFFER: "quote_asset",
    Refusal.FEE_ASSET_REQUIRED: "fee_asset",
    Refusal.ASSET_MUST_BE_NUMERAIRE: "asset",
    Refusal.ASSET_MUST_NOT_BE_NUMERAIRE: "asset",
    Refusal.PRICE_REQUIRED: "price",
    Refusal.PRICE_MUST_BE_ABSENT: "price",
    Refusal.VALUE_OUT_OF_RANGE: None,
    Refusal.BASIS_DELTA_AND_UNKNOWN: "basis_delta",
    Refusal.BASIS_DELTA_MUST_NOT_BE_POSITIVE: "basis_delta",
    Refusal.AMOUNT_MUST_EQUAL_BASIS_DELTA: "amount",
    Refusal.CORRECTED_VERSION_UNKNOWN: "corrects",
    Refusal.CORRECTED_NOT_REVERSED: "corrects",
    Refusal.REVERSED_VERSION_UNKNOWN: "reverses",
    Refusal.REVERSAL_NOT_ALLOWED: "reverses",
    Refusal.ALREADY_REVERSED: "reverses",
    Refusal.EVIDENCE_MISMATCH: None,
}


def _of_two_books(keeper: Bookkeeper) -> object:
    keeper.open_book("other", Opened(mode="paper"))
    return keeper.resolve(None)


def _pool_of_two_modes(keeper: Bookkeeper) -> object:
    keeper.open_book("other", Opened(mode="paper"))
    return pool_at(keeper.database, [BOOK, "other"])


def _copied_over(keeper: Bookkeeper) -> object:
    view = keeper.view(BOOK)
    with keeper.database.writing() as connection:
        return begin_copy(connection, replace(view.book, mode="paper"), view.head)


def _withdraw_after(amount: str, asset: str, *before: Fields) -> Callable[[Bookkeeper], object]:
    def call(keeper: Bookkeeper) -> object:
        keeper.append_all(BOOK, [event_of(fields) for fields in before])
        return withdraw(keeper, BOOK, Movement(amount, asset))

    return call


def _withdraw_late(keeper: Bookkeeper) -> object:
    keeper.append(BOOK, event_of(small("deposit", at="2026-01-01T00:00:00Z")))
    keeper.append(BOOK, event_of(small("deposit", at="2026-01-02T00:00:00Z")))
    return withdraw(keeper, BOOK, Movement("1", at="2026-01-01T12:00:00Z"))


def _backfilled_after_a_deposit(keeper: Bookkeeper) -> object:
    keeper.append(BOOK, event_of(small("deposit")))
    return backfill_basis(keeper, BOOK, "1")


def _import_of_a_mixed_ledger(keeper: Bookkeeper) -> object:
    """Of two deposits after the first row, one is in the balances and one is not."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "old.db"
        with OldEngine(path) as engine:
            first_deposits(engine)
            trade(engine)
            engine.capital("deposit", "RLUSD", "50", basis="50")
            trade(engine)
            engine.capital("deposit", "RLUSD", "30", basis="30", is_booked=False)
            trade(engine)
            engine.keep_starting_value()
        return import_legacy(keeper, BOOK, ImportRequest(str(path), {}))


def _short_lots(keeper: Bookkeeper) -> None:
    keeper.append(BOOK, event_of(small("fill", side="sell", key="short")))
    basis_at(keeper.database, [BOOK], CostMethod(no_shorts=True), now=START)


SMALLEST_STRATEGY = parse_strategy(
    b"strategy: {base_size_rlusd: 15.0, max_rlusd_exposure: 120, anchor_max_divergence_bps: 10.0}", name="paper.yaml"
)


def _transfer_to(name: str, **terms: object) -> Callable[[Bookkeeper], object]:
    def call(keeper: Bookkeeper) -> object:
        if name != BOOK:
            keeper.open_book(name, Opened.model_validate({"mode": "live", **terms}))
        return transfer(keeper, BOOK, TransferRequest(Movement("1", tx_hash="ab"), name))

    return call


def _transfer_of_what_is_there(keeper: Bookkeeper) -> object:
    keeper.append(BOOK, event("withdrawal", **SMALLEST["withdrawal"], tx_hash="ab"))
    return _transfer_to("other")(keeper)


def _link_of_a_mark(keeper: Bookkeeper) -> object:
    keeper.open_book("other", Opened(mode="live"))
    keeper.append(BOOK, event("mark", **SMALLEST["mark"]))
    keeper.append("other", event("deposit", **SMALLEST["deposit"]))
    return link(keeper, Place(BOOK, 2), Place("other", 2))


def _head_after_a_later_one(keeper: Bookkeeper) -> object:
    file = Path(keeper.database.location).with_name("heads")
    file.write_text(f"{json.dumps({'book': BOOK, 'version': 7, 'hash': '0' * 64})}\n")
    return append_head(file, BOOK, keeper.view(BOOK).head, None, now=START)


def _stamp_of_nobody(keeper: Bookkeeper) -> object:
    file = Path(keeper.database.location).with_name("root.pem")
    file.write_bytes(self_signed())
    return verify_stamp(Path(__file__), file, b"stated")


def _restored_over(*after: Fields) -> Callable[[Bookkeeper], object]:
    """A backup is restored over the ledger that it was made of, after these events, while the bookkeeper has it open."""

    def call(keeper: Bookkeeper) -> object:
        location = keeper.database.location
        backup = Path(location).with_name("backup.db")
        back_up(keeper.database, backup, now=START)
        keeper.append_all(BOOK, [event_of(fields) for fields in after])
        return restore(location, backup, now=START)

    return call


def _backup_of_a_tampered_ledger(keeper: Bookkeeper) -> object:
    location = Path(keeper.database.location)
    with sqlite3.connect(location) as connection:
        connection.execute("UPDATE engine_state SET value = '1'")
    return back_up(keeper.database, location.with_name("backup.db"), now=START)


CALLS: dict[Refusal, Callable[[Bookkeeper], object]] = {
    Refusal.HEADS_MALFORMED: lambda _: read_heads(Path(__file__)),
    Refusal.HEAD_FELL_BACK: _head_after_a_later_one,
    Refusal.KEY_UNUSABLE: lambda _: sign(Path(__file__), b"stated"),
    Refusal.STAMP_UNREADABLE: _stamp_of_nobody,
    Refusal.BACKUP_EXISTS: lambda keeper: back_up(keeper.database, Path(keeper.database.location), now=START),
    Refusal.BACKUP_UNSOUND: _backup_of_a_tampered_ledger,
    Refusal.RESTORE_LOSES: _restored_over(small("deposit")),
    Refusal.LEDGER_IN_USE: _restored_over(),
    Refusal.TRANSFER_SAME_BOOK: _transfer_to(BOOK),
    Refusal.TRANSFER_TERMS_DIFFER: _transfer_to("other", mode="paper"),
    Refusal.TRANSFER_RECORDED: _transfer_of_what_is_there,
    Refusal.TRANSFER_NOT_A_PAIR: _link_of_a_mark,
    Refusal.TRANSFER_UNPAIRED: lambda keeper: keeper.append(
        BOOK, event("deposit", **SMALLEST["deposit"], transfer={"id": "T", "book": "other"})
    ),
    Refusal.BOOK_UNKNOWN: lambda keeper: keeper.view("other"),
    Refusal.BOOK_REQUIRED: _of_two_books,
    Refusal.POOL_MIXED: _pool_of_two_modes,
    Refusal.POLICY_UNKNOWN: lambda keeper: keeper.open_book("other", Opened(mode="live", withdrawal_policy="fifo/1")),
    Refusal.VERSION_UNKNOWN: lambda keeper: view_at(keeper.database, BOOK, Moment(as_of=2)),
    Refusal.KEY_UNKNOWN: lambda keeper: event_report(keeper.database, BOOK, "nobody"),
    Refusal.BASIS_INCOMPLETE: _withdraw_after("1", "RLUSD", small("deposit", basis_unknown=True)),
    Refusal.INSUFFICIENT_BALANCE: _withdraw_after("50.000001", "RLUSD", small("deposit")),
    Refusal.MARK_MISSING: _withdraw_after("1", "RLUSD", small("deposit"), small("deposit", asset="XRP", price="1")),
    Refusal.MARK_STALE: _withdraw_after(
        "1", "XRP", small("deposit", asset="XRP", price="1"), small("mark", at=LONG_AGO)
    ),
    # 63.30 RLUSD are there, but 10 XRP are owed.
    Refusal.EXCEEDS_EQUITY: _withdraw_after(
        "55", "RLUSD", small("deposit"), small("fill", side="sell"), small("mark", price="1.3314")
    ),
    Refusal.DECISION_OUT_OF_ORDER: _withdraw_late,
    Refusal.LEDGER_UNCLEAR: _import_of_a_mixed_ledger,
    Refusal.BASIS_IS_COMPLETE: _backfilled_after_a_deposit,
    Refusal.INITIAL_BASIS_KEY_FIXED: lambda keeper: backfill_basis(keeper, BOOK, "1", key="mine"),
    Refusal.SHORT_LOT: _short_lots,
    Refusal.COPY_DIFFERS: _copied_over,
    Refusal.SEGMENTS_MISSING: lambda keeper: rebuild(keeper.database, BOOK, engine="columns"),
    Refusal.NOT_YAML: lambda _: parse_strategy(b"strategy: [", name="paper.yaml"),
    Refusal.SETTING_RETIRED: lambda _: parse_strategy(f"strategy: {{{RETIRED}: 1}}".encode(), name="paper.yaml"),
    Refusal.SIZE_EXCEEDS_LIMIT: lambda _: parse_strategy(
        b"strategy: {base_size_rlusd: 16, max_rlusd_exposure: 15, anchor_max_divergence_bps: 10}", name="paper.yaml"
    ),
    Refusal.TAPE_MALFORMED: lambda _: read_tape(Path(__file__)),
    Refusal.BOOK_IS_LIVE: lambda keeper: run_session(keeper, BOOK, Path("no.csv"), SMALLEST_STRATEGY),
}

# What importing refuses: the command lines, the last of which is refused, with the files a.json, a.csv and a.yaml.
IMPORTS: dict[Refusal, list[list[str]]] = {
    Refusal.KIND_UNKNOWN: [["import", "a.yaml"]],
    Refusal.FILE_UNREADABLE: [["import", "ccxt", "nowhere.json"]],
    Refusal.MAPPING_MALFORMED: [["import", "csv", "a.csv", "--mapping", "a.yaml"]],
    Refusal.INBOX_PENDING: [["import", "ccxt", "a.json"], ["withdraw", "1"]],
    Refusal.INBOX_ENTRY_UNKNOWN: [["inbox", "resolve", "7"]],
    Refusal.INBOX_ENTRY_SETTLED: [
        ["import", "ccxt", "a.json"],
        ["inbox", "dismiss", "1", "--reason", "mine"],
        ["inbox", "resolve", "1"],
    ],
    Refusal.INBOX_ANSWER_MISMATCH: [["import", "ccxt", "a.json"], ["inbox", "resolve", "1", "--as", "deposit"]],
    Refusal.INBOX_STILL_WAITS: [["import", "ccxt", "a.json"], ["inbox", "resolve", "1"]],
}
DEPOSIT: Fields = {
    "id": "d",
    "type": "deposit",
    "currency": "XRP",
    "amount": "5",
    "status": "ok",
    "txid": None,
    "info": {},
}

COMMANDS: dict[Refusal, list[Fields]] = {
    Refusal.KEY_REQUIRED: [small("deposit", key="one"), small("deposit")],
}


def test_no_refusal_is_missing_from_the_table_and_none_stands_twice() -> None:
    rows = [*LINES, *EVENTS, *CALLS, *COMMANDS, *IMPORTS]
    assert sorted(rows) == sorted(Refusal)


@pytest.mark.parametrize("refusal", LINES)
def test_a_line_is_refused(refusal: Refusal) -> None:
    with pytest.raises(Refused) as refused:
        parse_line(LINES[refusal])
    assert refused.value.refusal is refusal
    assert str(refused.value).startswith(f"error[{refusal}]: ")


@pytest.mark.parametrize("refusal", EVENTS)
def test_an_event_is_refused_and_nothing_is_written(refusal: Refusal, keeper: Bookkeeper, tmp_path: Path) -> None:
    *taken, last = EVENTS[refusal]
    for fields in taken:
        keeper.append(BOOK, event_of(fields))
    before = contents(tmp_path)
    with pytest.raises(Refused) as refused:
        keeper.append(BOOK, event_of(last))
    assert refused.value.refusal is refusal
    assert refused.value.code == str(refusal)
    named = FIELD_NAMED[refusal]
    assert named is None or refused.value.field == named
    assert contents(tmp_path) == before


@pytest.mark.parametrize("asset", ["XRP/", "/USDT", "A/B/C", "/"])
def test_a_slash_alone_makes_no_pair(asset: str, keeper: Bookkeeper) -> None:
    keeper.append(BOOK, event_of(small("deposit", asset=asset, price="1")))


def test_a_mark_may_lie_as_far_ahead_as_two_clocks_may_differ(keeper: Bookkeeper) -> None:
    """To the microsecond."""
    latest = datetime(2026, 1, 5, 9, tzinfo=UTC) + CLOCK_TOLERANCE
    book = Book(BOOK, "live", "RLUSD", "XRP", "profit_first/1")
    require_not_ahead(latest, latest - CLOCK_TOLERANCE)
    with pytest.raises(Refused, match="expected at most 2026-01-05T09:05:00") as refused:
        require_not_ahead(latest + timedelta(microseconds=1), latest - CLOCK_TOLERANCE)
    assert refused.value.field == "at"
    assert complete(event_of(small("mark")), book).kind == "mark"


@pytest.mark.parametrize("refusal", EVENTS)
def test_of_many_events_with_a_bad_one_none_is_written(refusal: Refusal, keeper: Bookkeeper, tmp_path: Path) -> None:
    """The refusal is the same when the events before it are in the same transaction, and it names the bad one."""
    before = contents(tmp_path)
    given = [event_of(fields) for fields in EVENTS[refusal]]
    with pytest.raises(Refused) as refused:
        keeper.append_all(BOOK, [*given, event("deposit", **SMALLEST["deposit"])])
    assert (refused.value.refusal, refused.value.index) == (refusal, len(given) - 1)
    assert contents(tmp_path) == before
    taken = keeper.append_all(BOOK, given[:-1])  # nothing of it is left in memory either
    assert (taken.appended, taken.head.version) == (len(given) - 1, len(given))


@pytest.mark.parametrize("refusal", CALLS)
def test_a_call_is_refused(refusal: Refusal, keeper: Bookkeeper) -> None:
    with pytest.raises(Refused) as refused:
        CALLS[refusal](keeper)
    assert refused.value.refusal is refusal


@pytest.mark.parametrize("refusal", COMMANDS)
def test_a_file_is_refused_and_nothing_is_written(
    refusal: Refusal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    open_keeper(tmp_path).close()
    file = tmp_path / "events.ndjson"
    file.write_text("".join(json.dumps(fields) + "\n" for fields in COMMANDS[refusal]))
    before = contents(tmp_path)
    assert run(["--db", str(tmp_path / "ledger.db"), "append", "--file", str(file)]) == 1
    assert capsys.readouterr().err.startswith(f"error[{refusal}]: line {len(COMMANDS[refusal])}: ")
    assert contents(tmp_path) == before


def test_a_ledger_without_a_book_has_no_such_book(tmp_path: Path) -> None:
    with open_keeper(tmp_path, book=None) as keeper:
        for name in (None, BOOK):
            with pytest.raises(Refused) as refused:
                keeper.resolve(name)
            assert refused.value.refusal is Refusal.BOOK_UNKNOWN


@pytest.mark.parametrize("name", ["", "b" * 65, "a\tb", "\ud800"])
def test_a_books_name_is_a_text_of_its_own_kind(name: str, tmp_path: Path) -> None:
    with open_keeper(tmp_path, book=None) as keeper:
        before = contents(tmp_path)
        with pytest.raises(Refused) as refused:
            keeper.open_book(name, Opened(mode="live"))
        assert str(refused.value.refusal).startswith("text_")
        assert contents(tmp_path) == before


def test_a_negative_withdrawal_is_not_classified() -> None:
    with pytest.raises(Refused) as refused:
        classify_withdrawal_basis(parse_amount("-0.01"), parse_amount("1"), parse_amount("1"))
    assert refused.value.refusal is Refusal.AMOUNT_MUST_NOT_BE_NEGATIVE


# ---- the message


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (Refused(Refusal.NOT_JSON, "what"), "error[not_json]: what"),
        (Refused(Refusal.NOT_JSON, "what", expected=5), "error[not_json]: what; expected 5"),
        (Refused(Refusal.NOT_JSON, "what", actual="it's"), 'error[not_json]: what; actual "it\'s"'),
        (Refused(Refusal.NOT_JSON, "what", advice="do"), "error[not_json]: what; do"),
        (
            Refused(Refusal.NOT_JSON, "what", expected="a", actual="b\n", advice="do"),
            "error[not_json]: what; expected a, actual 'b\\n'; do",
        ),
        (
            VersionPassed("main", 3, 4),
            "error[expected_version_passed]: the book 'main' is no longer at the expected version; expected 3, actual 4; "
            "read the book again, decide again, and append with the version you read",
        ),
    ],
)
def test_a_message_says_what_what_was_expected_what_was_there_and_what_to_do(made: Exception, message: str) -> None:
    assert str(made) == message


def test_a_message_names_the_place_in_the_input() -> None:
    refused = Refused(Refusal.NOT_JSON, "what")
    refused.where = "line 17"
    assert str(refused) == "error[not_json]: line 17: what"


# ---- the rules that look at more than one field, case by case


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        # deposit: the price
        (small("deposit", asset="XRP", price="1.33"), None),
        (small("deposit", asset="XRP"), Refusal.PRICE_REQUIRED),
        (small("deposit"), None),
        (small("deposit", price="1"), Refusal.PRICE_MUST_BE_ABSENT),
        # deposit: the value fits, whatever the factors
        (small("deposit", asset="X", amount="99999999999999999999", price="1"), None),
        (small("deposit", asset="X", amount="1e-18", price="1e19"), None),
        (small("deposit", asset="X", amount="1e19", price="9.999999999999999999"), None),
        (small("deposit", asset="X", amount="1e19", price="10"), Refusal.VALUE_OUT_OF_RANGE),
        (  # rounded, the value has one digit more than any amount
            small("deposit", asset="X", amount="99999999999999999999.999999999999999999", price="1.000000000000000000"),
            None,
        ),
        (
            small("deposit", asset="X", amount="99999999999999999999.999999999999999999", price="1.000000000000000001"),
            Refusal.VALUE_OUT_OF_RANGE,
        ),
        # deposit: the basis
        (small("deposit", basis_delta="49"), None),
        (small("deposit", basis_delta="-1"), None),
        (small("deposit", basis_delta="0"), None),
        (small("deposit", basis_unknown=True), None),
        (small("deposit", basis_unknown=False, basis_delta="1"), None),
        (small("deposit", basis_unknown=True, basis_delta="0"), Refusal.BASIS_DELTA_AND_UNKNOWN),
        # withdrawal
        (small("withdrawal", asset="XRP", price="1.33"), None),
        (small("withdrawal", asset="XRP"), Refusal.PRICE_REQUIRED),
        (small("withdrawal", price="1"), Refusal.PRICE_MUST_BE_ABSENT),
        (small("withdrawal", asset="X", amount="1e19", price="10"), Refusal.VALUE_OUT_OF_RANGE),
        (small("withdrawal", basis_delta="0"), None),
        (small("withdrawal", basis_delta="-1e19"), None),
        (small("withdrawal", basis_delta="1e-18"), Refusal.BASIS_DELTA_MUST_NOT_BE_POSITIVE),
        (small("withdrawal", basis_delta=None), Refusal.FIELD_REQUIRED),
        # basis_commit
        (small("basis_commit", asset="RLUSD", amount="137.284078"), None),
        (small("basis_commit", amount="137.284078000"), None),
        (small("basis_commit", basis_delta="-137.284078", amount="137.284078"), None),
        (small("basis_commit", basis_delta="-137.284078", amount="-137.284078"), Refusal.AMOUNT_MUST_EQUAL_BASIS_DELTA),
        (small("basis_commit", basis_delta="0", amount="0"), None),
        (small("basis_commit", basis_delta="0", amount="-0"), None),
        (small("basis_commit", price="1"), Refusal.PRICE_MUST_BE_ABSENT),
        (small("basis_commit", asset="XRP"), Refusal.ASSET_MUST_BE_NUMERAIRE),
        (small("basis_commit", asset="rlusd"), Refusal.ASSET_MUST_BE_NUMERAIRE),
        # fill: facts of a venue are never refused for the balance they leave
        (small("fill", side="sell", base_amount="99999999999999999999"), None),
        (small("fill", fee_asset="BNB"), None),
        (small("fill", fee_asset="BNB", fee_amount="0"), None),
        (small("fill", fee_amount="0"), Refusal.FEE_ASSET_REQUIRED),
        (small("fill", base_asset="RLUSD", quote_asset="XRP"), None),
        (small("fill", base_asset="RLUSD"), Refusal.ASSETS_MUST_DIFFER),
        # mark, adjustment, baseline
        (small("mark", asset="rlusd"), None),
        (small("mark", asset="RLUSD"), Refusal.ASSET_MUST_NOT_BE_NUMERAIRE),
        (small("adjustment", asset="RLUSD"), None),
        (small("baseline", starting_value="-1"), None),
        # the envelope
        (small("deposit", book=BOOK), None),
        (small("deposit", book="Main"), Refusal.BOOK_DIFFERS),
    ],
)
def test_rules(fields: Fields, refusal: Refusal | None, keeper: Bookkeeper) -> None:
    if refusal is None:
        assert keeper.append(BOOK, event_of(fields)).stored.version == 2
        return
    with pytest.raises(Refused) as refused:
        keeper.append(BOOK, event_of(fields))
    assert refused.value.refusal is refusal


@pytest.mark.parametrize(
    ("given", "kept"), [("ab", "AB"), (" a b ", "AB"), ("0xAB", "0xab"), ("zz", "zz"), ("AB", "AB")]
)
def test_a_hash_is_completed_to_its_normal_form(given: str, kept: str) -> None:
    book = Book(BOOK, "live", "RLUSD", "XRP", "profit_first/1")
    assert complete(event_of(small("deposit", tx_hash=given)), book).tx_hash == kept


@pytest.mark.parametrize("given", ["", "  "])
def test_a_hash_without_a_character_is_refused(given: str) -> None:
    with pytest.raises(Refused) as refused:
        with_normal_hash(event_of(small("deposit", tx_hash=given)))
    assert str(refused.value) == "error[text_empty]: tx_hash: must not be empty; leave it out if there is none"
    assert refused.value.field == "tx_hash"


def test_a_basis_commit_with_a_price_is_told_which_field_and_which_asset(keeper: Bookkeeper) -> None:
    with pytest.raises(Refused, match="RLUSD is the numeraire: its price is 1") as refused:
        keeper.append(BOOK, event_of(small("basis_commit", price="1")))
    assert refused.value.field == "price"


# ---- reversals and corrections


@pytest.mark.parametrize("kind", sorted(EVENT_TYPES.keys() - {"opened"}))
def test_what_can_be_reversed_and_that_each_is_reversed_once(kind: str, keeper: Bookkeeper) -> None:
    keeper.append(BOOK, event("adjustment", asset="XRP", amount="1", reason="dust"))
    made = keeper.append(BOOK, event(kind, **SMALLEST[kind])).stored
    if kind == "reversal":
        with pytest.raises(Refused) as refused:
            keeper.append(BOOK, event("reversal", reverses=made.version))
        assert refused.value.refusal is Refusal.REVERSAL_NOT_ALLOWED
        return
    keeper.append(BOOK, event("reversal", reverses=made.version))
    with pytest.raises(Refused) as refused:
        keeper.append(BOOK, event("reversal", reverses=made.version))
    assert refused.value.refusal is Refusal.ALREADY_REVERSED


@pytest.mark.parametrize("version", [0, 1, 2, 3, 2**53 - 1])
def test_a_reversal_looks_back(version: int, keeper: Bookkeeper) -> None:
    """Not at the opening, nor at itself or what is to come."""
    with pytest.raises(Refused) as refused:
        keeper.append(BOOK, event("reversal", reverses=version))
    expected = {0: Refusal.VERSION_MALFORMED, 1: Refusal.REVERSAL_NOT_ALLOWED}
    assert refused.value.refusal is expected.get(version, Refusal.REVERSED_VERSION_UNKNOWN)


def test_a_correction_takes_the_next_key_of_what_it_corrects(keeper: Bookkeeper) -> None:
    """`k`, `k#2`, `k#3`; and `k#7` of one's own is an ordinary key, so that its correction is `k#7#2`."""
    for key, expected in (("k", ["k#2", "k#3"]), ("k#7", ["k#7#2", "k#7#3"])):
        version = keeper.append(BOOK, event("deposit", **SMALLEST["deposit"], key=key)).stored.version
        for correction in expected:
            keeper.append(BOOK, event("reversal", reverses=version))
            made = keeper.append(BOOK, event("deposit", **SMALLEST["deposit"], corrects=version)).stored
            assert (made.key, made.event.corrects) == (correction, version)
            version = made.version


def test_a_correction_in_the_transaction_of_what_it_corrects_takes_the_same_key(keeper: Bookkeeper) -> None:
    keeper.append_all(
        BOOK,
        [
            event("deposit", asset="RLUSD", amount="50", key="k"),
            event("reversal", reverses=2),
            event("deposit", asset="RLUSD", amount="60", corrects=2),
        ],
    )
    again = keeper.append(BOOK, event("deposit", asset="RLUSD", amount="60", corrects=2))
    assert (again.existed, again.stored.key, again.stored.version) == (True, "k#2", 4)


def test_a_correction_whose_default_key_is_too_long_needs_one_of_its_own(keeper: Bookkeeper) -> None:
    """Recorded, its bytes could never be read again."""
    keeper.append(BOOK, event("deposit", **SMALLEST["deposit"], key="k" * 200))
    keeper.append(BOOK, event("reversal", reverses=2))
    with pytest.raises(Refused) as refused:
        keeper.append(BOOK, event("deposit", **SMALLEST["deposit"], corrects=2))
    assert (refused.value.refusal, refused.value.field) == (Refusal.TEXT_TOO_LONG, "key")
    made = keeper.append(BOOK, event("deposit", **SMALLEST["deposit"], corrects=2, key="short")).stored
    assert made.event.corrects == 2


# ---- precedence

_EVIDENCE = {"equity_before": "1", "basis_before": "1", "profit": "0", "principal": "1", "marks": [], "policy": "x"}
# Events with two faults or more; the first in order is reported. Version 2 is a deposit, version 3 a mark.
SEVERAL: list[tuple[Fields, list[Refusal]]] = [
    (small("fill", amount="1", side="x"), [Refusal.FIELD_UNKNOWN, Refusal.CHOICE_UNKNOWN]),
    (small("deposit", amount=None, key=""), [Refusal.FIELD_REQUIRED, Refusal.TEXT_EMPTY]),
    (small("deposit", key="", at="x"), [Refusal.TEXT_EMPTY, Refusal.TIME_MALFORMED]),
    (small("deposit", at="x", amount=1), [Refusal.TIME_MALFORMED, Refusal.NUMBER_NOT_QUOTED]),
    (small("deposit", amount="0", price="0"), [Refusal.AMOUNT_MUST_BE_POSITIVE, Refusal.PRICE_MUST_BE_POSITIVE]),
    (small("mark", price="-1", book="other"), [Refusal.PRICE_MUST_NOT_BE_NEGATIVE, Refusal.BOOK_DIFFERS]),
    (small("opened", book="other", key="k"), [Refusal.BOOK_DIFFERS, Refusal.BOOK_ALREADY_OPEN]),
    (small("fill", book="other", quote_asset="XRP"), [Refusal.BOOK_DIFFERS, Refusal.ASSETS_MUST_DIFFER]),
    (small("fill", quote_asset="XRP", fee_amount="1"), [Refusal.ASSETS_MUST_DIFFER, Refusal.FEE_ASSET_REQUIRED]),
    (small("basis_commit", asset="XRP", price="1"), [Refusal.ASSET_MUST_BE_NUMERAIRE, Refusal.PRICE_MUST_BE_ABSENT]),
    (
        small("basis_commit", price="1", amount="1"),
        [Refusal.PRICE_MUST_BE_ABSENT, Refusal.AMOUNT_MUST_EQUAL_BASIS_DELTA],
    ),
    (
        small("deposit", asset="XRP", basis_delta="1", basis_unknown=True),
        [Refusal.PRICE_REQUIRED, Refusal.BASIS_DELTA_AND_UNKNOWN],
    ),
    (
        small("deposit", asset="XRP", amount="1e19", price="10", basis_delta="1", basis_unknown=True),
        [Refusal.VALUE_OUT_OF_RANGE, Refusal.BASIS_DELTA_AND_UNKNOWN],
    ),
    (
        small("withdrawal", price="1", basis_delta="1"),
        [Refusal.PRICE_MUST_BE_ABSENT, Refusal.BASIS_DELTA_MUST_NOT_BE_POSITIVE],
    ),
    (
        small("withdrawal", basis_delta="1", corrects=9, evidence=_EVIDENCE),
        [
            Refusal.BASIS_DELTA_MUST_NOT_BE_POSITIVE,
            Refusal.CORRECTED_VERSION_UNKNOWN,
            Refusal.EVIDENCE_MISMATCH,
        ],
    ),
    (
        small("withdrawal", corrects=9, evidence=_EVIDENCE),
        [Refusal.CORRECTED_VERSION_UNKNOWN, Refusal.EVIDENCE_MISMATCH],
    ),
    (small("reversal", corrects=9, reverses=9), [Refusal.CORRECTED_VERSION_UNKNOWN, Refusal.REVERSED_VERSION_UNKNOWN]),
    (small("reversal", corrects=2, reverses=3), [Refusal.CORRECTED_NOT_REVERSED, Refusal.REVERSAL_NOT_ALLOWED]),
    (small("withdrawal", corrects=2, evidence=_EVIDENCE), [Refusal.CORRECTED_NOT_REVERSED, Refusal.EVIDENCE_MISMATCH]),
]


@pytest.mark.parametrize(("fields", "refusals"), SEVERAL)
def test_of_several_reasons_the_first_in_order_is_given(
    fields: Fields, refusals: list[Refusal], keeper: Bookkeeper
) -> None:
    keeper.append_all(BOOK, [event_of(small("deposit")), event_of(small("mark"))])
    with pytest.raises(Refused) as refused:
        keeper.append(BOOK, event_of(fields))
    assert refused.value.refusal is refusals[0]


def test_the_order_in_these_rows_is_that_of_the_enumeration() -> None:
    order = list(Refusal)
    for _, refusals in SEVERAL:
        for first, second in pairwise(refusals):
            assert order.index(first) < order.index(second)


@pytest.mark.parametrize("later", [{"book": "other"}, {"price": "1"}, {"corrects": 9}])
def test_a_key_is_missed_before_the_book_and_the_log_are_asked(
    later: Fields, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    open_keeper(tmp_path).close()
    file = tmp_path / "events.ndjson"
    file.write_text(json.dumps(small("deposit", **later)))
    assert run(["--db", str(tmp_path / "ledger.db"), "append", "--file", str(file)]) == 1
    assert capsys.readouterr().err.startswith("error[key_required]: ")
    order = list(Refusal)
    for refusal in (Refusal.BOOK_DIFFERS, Refusal.PRICE_MUST_BE_ABSENT, Refusal.CORRECTED_VERSION_UNKNOWN):
        assert order.index(Refusal.KEY_REQUIRED) < order.index(refusal)


def test_a_policy_is_asked_for_before_the_book_is(keeper: Bookkeeper) -> None:
    """A book cannot be opened with it, whether it is open or not."""
    with pytest.raises(Refused) as refused:
        keeper.open_book(BOOK, Opened(mode="live", withdrawal_policy="fifo/1", book="other", key="again"))
    assert refused.value.refusal is Refusal.POLICY_UNKNOWN
    order = list(Refusal)
    assert order.index(Refusal.POLICY_UNKNOWN) < order.index(Refusal.BOOK_DIFFERS)


def test_the_order_of_the_first_refusals_of_a_line() -> None:
    """A line is too long, then no JSON, then with a field twice, then no object, then of no type."""
    order = [Refusal.LINE_TOO_LONG, Refusal.NOT_JSON, Refusal.NOT_AN_OBJECT, Refusal.FIELD_DUPLICATE]
    assert list(Refusal)[:5] == [*order, Refusal.TYPE_UNKNOWN]
    lines = {
        b"\xff" * (LINE_BYTES + 1): Refusal.LINE_TOO_LONG,
        b'{"a":1,"a":2': Refusal.NOT_JSON,
        b'{"a":1,"a":2}': Refusal.FIELD_DUPLICATE,
        b'{"a":1}': Refusal.TYPE_UNKNOWN,
    }
    for line, refusal in lines.items():
        with pytest.raises(Refused) as refused:
            parse_line(line)
        assert refused.value.refusal is refusal


# ---- conflicts

AT = "2026-01-04T14:30:00Z"
_SIDE = {"id": "T", "book": "other"}
# A value for every field, other than the smallest event's and other than the default.
OTHER: dict[str, Fields] = {
    "fill": {
        "side": "sell",
        "base_asset": "ETH",
        "base_amount": "11",
        "quote_asset": "USD",
        "quote_amount": "13.31",
        "fee_asset": "XRP",
        "fee_amount": "0",
        "order_id": "4711",
        "liquidity": "maker",
        "strategy": "arb",
        "tags": ["a"],
    },
    "deposit": {
        "asset": "USD",
        "amount": "51",
        "price": "2",
        "basis_delta": "49",
        "basis_unknown": True,
        "transfer": _SIDE,
    },
    "withdrawal": {
        "asset": "USD",
        "amount": "21",
        "price": "2",
        "basis_delta": "-12",
        "evidence": _EVIDENCE,
        "transfer": _SIDE,
    },
    "basis_commit": {"asset": "USD", "amount": "1", "price": "1", "basis_delta": "137"},
    "mark": {"asset": "ETH", "price": "1.3315", "price_source": "venue"},
    "adjustment": {"asset": "ETH", "amount": "0.000012", "reason": "dust", "group": "9A0F"},
    "baseline": {"starting_value": "137", "reason": "why"},
    "reversal": {"reverses": 3, "reason": "why"},
}
COMMON = {
    "book": "other",
    "at": AT,
    "source_note": "note",
    "tx_hash": "hash",
    "session_id": "session",
    "actor": "owner",
    "corrects": 3,
}


@pytest.mark.parametrize("kind", OTHER)
def test_a_key_that_is_there_with_other_content_is_a_conflict_in_every_field(
    kind: str, keeper: Bookkeeper, tmp_path: Path
) -> None:
    keeper.append(BOOK, event("deposit", **SMALLEST["deposit"], key="first"))
    keeper.append(BOOK, event(kind, **SMALLEST[kind], key="k"))
    before = contents(tmp_path)
    changes: Fields = {**OTHER[kind], **COMMON}
    assert changes.keys() == EVENT_TYPES[kind].model_fields.keys() - {"type", "key"}
    for name, other in changes.items():
        with pytest.raises(KeyConflict) as conflict:
            keeper.append(BOOK, event(kind, **{**SMALLEST[kind], "key": "k", name: other}))
        assert (conflict.value.code, conflict.value.version) == (f"exists_with_different_{name}", 3)
    assert contents(tmp_path) == before


def test_a_key_that_is_there_with_another_type_is_a_conflict(keeper: Bookkeeper) -> None:
    keeper.append(BOOK, event("deposit", **SMALLEST["deposit"], key="k"))
    with pytest.raises(KeyConflict) as conflict:
        keeper.append(BOOK, event("mark", **SMALLEST["mark"], key="k"))
    assert conflict.value.code == "exists_with_different_type"
    assert isinstance(conflict.value, Conflict)


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"mode": "paper"}, "mode"),
        ({"numeraire": "USD"}, "numeraire"),
        ({"base_asset": "BTC"}, "base_asset"),
        ({"withdrawal_policy": "principal_first/1"}, "withdrawal_policy"),
        ({"source_note": "note"}, "source_note"),
        ({}, None),
        ({"numeraire": "RLUSD"}, None),
    ],
)
def test_a_book_that_is_open_on_other_terms_is_a_conflict(
    terms: dict[str, str], field: str | None, keeper: Bookkeeper
) -> None:
    opened = Opened.model_validate({"mode": "live", **terms})
    if field is None:
        assert keeper.open_book(BOOK, opened).existed
        return
    with pytest.raises(KeyConflict) as conflict:
        keeper.open_book(BOOK, opened)
    assert conflict.value.code == f"exists_with_different_{field}"


@pytest.mark.parametrize("kind", OTHER)
def test_what_was_given_with_every_field_is_there_when_it_is_given_again(kind: str, keeper: Bookkeeper) -> None:
    """All that was given, or only what has no default, or spelled in another way: it is the same event."""
    all_fields: Fields = {**SMALLEST[kind], "key": "k", "at": AT, "source_note": "note", "book": BOOK, "actor": "owner"}
    keeper.append(BOOK, event("deposit", **SMALLEST["deposit"], key="first"))
    stored = keeper.append(BOOK, event(kind, **all_fields)).stored
    spelled = {
        name: f"{value}000e0" if name == "amount" and "." in str(value) else value for name, value in all_fields.items()
    }
    spelled["at"] = "2026-01-04T15:30:00.000+01:00"
    for again in (all_fields, spelled, {**SMALLEST[kind], "key": "k"}):
        outcome = keeper.append(BOOK, event(kind, **again))
        assert (outcome.existed, outcome.stored) == (True, stored)


@pytest.mark.parametrize(
    ("kind", "filled_in"),
    [
        ("deposit", {"basis_delta": "50"}),
        ("basis_commit", {"asset": "RLUSD", "amount": "137.284078"}),
        ("mark", {"at": "2026-01-05T09:00:02Z"}),
        ("mark", {"book": BOOK}),
    ],
)
def test_what_was_filled_in_may_be_given_the_next_time(kind: str, filled_in: Fields, keeper: Bookkeeper) -> None:
    """Compared is what the caller gives with what is stored, not with what he gave before."""
    keeper.append(BOOK, event(kind, **SMALLEST[kind], key="k"))
    assert keeper.append(BOOK, event(kind, **SMALLEST[kind], key="k", **filled_in)).existed


@pytest.mark.parametrize("name", ["at", "book", "basis_delta"])
def test_a_default_that_is_given_as_null_is_left_to_default(name: str, keeper: Bookkeeper) -> None:
    keeper.append(BOOK, event("deposit", asset="RLUSD", amount="50", key="k"))
    assert keeper.append(BOOK, event("deposit", **{"asset": "RLUSD", "amount": "50", "key": "k", name: None})).existed


def test_a_fee_that_is_said_to_be_unknown_is_not_the_fee_that_is_stored(keeper: Bookkeeper) -> None:
    keeper.append(BOOK, event("fill", **SMALLEST["fill"], fee_asset="XRP", fee_amount="0", key="k"))
    with pytest.raises(KeyConflict) as conflict:
        keeper.append(BOOK, event("fill", **SMALLEST["fill"], fee_asset="XRP", fee_amount=None, key="k"))
    assert conflict.value.code == "exists_with_different_fee_amount"


def test_a_key_twice_in_one_transaction_is_the_same_event_or_a_conflict(keeper: Bookkeeper, tmp_path: Path) -> None:
    deposit = event("deposit", asset="RLUSD", amount="50", key="k")
    before = contents(tmp_path)
    with pytest.raises(KeyConflict) as conflict:
        keeper.append_all(BOOK, [deposit, deposit, event("deposit", asset="RLUSD", amount="51", key="k")])
    assert (conflict.value.code, conflict.value.version) == ("exists_with_different_amount", 2)
    assert conflict.value.index == 2
    assert contents(tmp_path) == before
    taken = keeper.append_all(BOOK, [deposit, deposit])
    assert (taken.appended, taken.existed, taken.head.version) == (1, 1, 2)


def test_an_expected_version_that_has_passed_is_a_conflict(keeper: Bookkeeper, tmp_path: Path) -> None:
    before = contents(tmp_path)
    for expected in (0, 2, 99):
        with pytest.raises(VersionPassed) as conflict:
            keeper.append(BOOK, event("deposit", **SMALLEST["deposit"]), expected_version=expected)
        assert conflict.value.code == "expected_version_passed"
        assert (conflict.value.expected, conflict.value.actual) == (str(expected), "1")
    assert contents(tmp_path) == before
    assert keeper.append(BOOK, event("deposit", **SMALLEST["deposit"]), expected_version=1).stored.version == 2


def test_an_expected_version_is_that_before_the_first_of_many_events(keeper: Bookkeeper) -> None:
    deposits = [event("deposit", **SMALLEST["deposit"], key=f"k{number}") for number in range(3)]
    assert keeper.append_all(BOOK, deposits, expected_version=1).head.version == 4
    with pytest.raises(VersionPassed) as conflict:
        keeper.append_all(BOOK, [*deposits, event("mark", **SMALLEST["mark"])], expected_version=1)
    assert conflict.value.index == 3


def test_what_is_there_is_answered_before_the_expected_version_and_the_rules_are_asked(keeper: Bookkeeper) -> None:
    """A repeated append succeeds; what is new is refused for the version first, since its rules saw another state."""
    keeper.append(BOOK, event("deposit", **SMALLEST["deposit"], key="k"))
    assert keeper.append(BOOK, event("deposit", **SMALLEST["deposit"], key="k"), expected_version=1).existed
    with pytest.raises(KeyConflict):
        keeper.append(BOOK, event("mark", **SMALLEST["mark"], key="k"), expected_version=1)
    with pytest.raises(VersionPassed):
        keeper.append(BOOK, event("deposit", asset="XRP", amount="1"), expected_version=1)


@pytest.mark.parametrize("refusal", IMPORTS)
def test_an_import_is_refused(
    refusal: Refusal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.json").write_text(json.dumps([DEPOSIT | {"datetime": "2026-01-02T09:00:00.000Z"}]))
    Path("a.csv").write_text("a,b\n")
    Path("a.yaml").write_text("rows: 7\n")
    open_keeper(tmp_path).close()
    for words in IMPORTS[refusal]:
        run(["--db", "ledger.db", *words])
    assert capsys.readouterr().err.rpartition("error[")[2].startswith(f"{refusal.value}]")
