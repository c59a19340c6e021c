"""`netbasis append TYPE`: one event as given, through the installed script."""

from __future__ import annotations

import json
import re
from typing import Any
from uuid import UUID

import pytest

from engine.bookkeeper import Bookkeeper
from ledger.events import EVENT_TYPES, Fill
from ledger.stored import StoredEvent, json_value
from tests.cli_support import Cli, assert_refused
from tests.support import log_of

AT = "2026-01-05T09:00:00Z"
COMMON = {
    "at": AT,
    "key": "k-1",
    "source_note": "a note; DROP TABLE events; ünïcode −",
    "tx_hash": "AB12",
    "session_id": "s1",
    "actor": "owner",
}
ALL_OPTIONS: dict[str, dict[str, Any]] = {
    "fill": {
        "side": "sell",
        "base_asset": "XAU",
        "base_amount": "1.000000000000000001",
        "quote_asset": "RLUSD.rMxCKbEDwqr76QuheSUMdEGf4B9xJ8m5De",
        "quote_amount": "181.1375018324144",
        "fee_asset": "BNB",
        "fee_amount": "-0.00000001",
        "order_id": "o-1",
        "liquidity": "maker",
    },
    "deposit": {"asset": "XRP", "amount": "39.27", "price": "1.3314", "basis_delta": "50"},
    "withdrawal": {"asset": "XRP", "amount": "20", "price": "1.34", "basis_delta": "-12.5"},
    "basis_commit": {"asset": "RLUSD", "amount": "12.5", "basis_delta": "-12.5"},
    "mark": {"asset": "XRP", "price": "1.34", "price_source": "venue"},
    "adjustment": {"asset": "XRP", "amount": "-0.000012", "reason": "network_fee"},
    "baseline": {"starting_value": "-3.5", "reason": "a new year"},
}


def newest(cli: Cli) -> StoredEvent:
    """The newest event of the book `main`."""
    with Bookkeeper.open(cli.location, "read") as keeper:
        return log_of(keeper)[-1]


def command_line(kind: str, fields: dict[str, Any]) -> list[str]:
    """The subcommand of an event type, and an option for each field."""
    options = [part for name, text in fields.items() for part in (f"--{name.replace('_', '-')}", text)]
    return ["append", kind.replace("_", "-"), *options]


@pytest.mark.parametrize("kind", ALL_OPTIONS)
def test_every_option_of_a_type_is_recorded_as_given(kind: str, cli: Cli) -> None:
    given = {**ALL_OPTIONS[kind], **COMMON}
    ran = cli.run(*command_line(kind, given), "-O", "json")
    stored = newest(cli)
    recorded = {name: json_value(getattr(stored.event, name)) for name in given}
    assert recorded == {**given, "at": "2026-01-05T09:00:00.000000Z"}
    assert (ran.code, ran.err, stored.type, stored.version) == (0, "", kind, 2)
    assert ran.json == {"appended": 1, "existed": 0, "version": 2, "head": stored.hash.hex()}
    assert list(ran.json) == ["appended", "existed", "version", "head"]


def test_every_type_that_may_be_given_has_a_command_with_an_option_for_each_field(empty_cli: Cli) -> None:
    listed = empty_cli.here("append", "--help").out
    for kind, model in EVENT_TYPES.items():
        # A book is opened by init; a reversal has a command of its own, that shows what it does before it does it.
        if kind in ("opened", "reversal"):
            assert f"\n  {kind} " not in listed
            continue
        assert f"\n  {kind.replace('_', '-')} " in listed
        shown = empty_cli.here("append", kind.replace("_", "-"), "--help").out
        assert "--transfer " not in shown  # one side of a transfer is not appended by itself
        for name in set(model.model_fields) - {"type", "book", "transfer"}:
            option = "tag" if name == "tags" else name.replace("_", "-")
            assert f"--{option} " in shown, f"{kind}: {name}"


def test_a_fill_is_of_the_books_own_assets_unless_it_says_otherwise(empty_cli: Cli) -> None:
    empty_cli.run("init", "--numeraire", "USDT", "--base-asset", "BTC")
    ran = empty_cli.run("append", "fill", "--side", "buy", "--base-amount", "0.5", "--quote-amount", "9000")
    fill = newest(empty_cli).event
    assert isinstance(fill, Fill)
    assert (ran.code, fill.base_asset, fill.quote_asset) == (0, "BTC", "USDT")


def test_the_text_answer_says_what_was_recorded_and_where(cli: Cli) -> None:
    ran = cli.run("append", "deposit", "--asset", "RLUSD", "--amount", "5", "--key", "k")
    digest = newest(cli).hash.hex()
    assert (ran.code, ran.err) == (0, "")
    assert ran.lines == [f"appended deposit at version 2, key k, hash {digest[:12]}"]


def test_an_event_without_a_key_gets_one_of_its_own(cli: Cli) -> None:
    for version in (2, 3):
        assert cli.here("append", "deposit", "--asset", "RLUSD", "--amount", "5").code == 0
        assert (newest(cli).version, str(UUID(newest(cli).key))) == (version, newest(cli).key)


def test_a_key_that_is_there_answers_exists_and_writes_nothing(cli: Cli) -> None:
    line = ["append", "deposit", "--asset", "RLUSD", "--amount", "5", "--key", "k"]
    cli.run(*line, "--at", AT)
    before, digest = cli.contents(), newest(cli).hash.hex()
    # Amounts are compared by value, and what is left to default is not compared.
    again = cli.run(*line[:5], "5.00", *line[6:], "-O", "json")
    assert (again.code, again.json) == (0, {"appended": 0, "existed": 1, "version": 2, "head": digest})
    assert cli.here(*line).lines == ["exists: deposit at version 2, key k; nothing was written"]
    assert cli.contents() == before


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        (["deposit", "--asset", "RLUSD", "--amount", "6"], "amount"),
        (["deposit", "--asset", "RLUSD", "--amount", "5", "--at", "2026-01-05T09:00:00.000001Z"], "at"),
        (["deposit", "--asset", "RLUSD", "--amount", "5", "--source-note", "x"], "source_note"),
        (["mark", "--asset", "XRP", "--price", "5"], "type"),
    ],
)
def test_a_key_again_with_other_content_is_a_conflict(changed: list[str], field: str, cli: Cli) -> None:
    cli.here("append", "deposit", "--asset", "RLUSD", "--amount", "5", "--key", "k", "--at", AT)
    before = cli.unchanged()
    ran = cli.here("append", *changed, "--key", "k")
    assert_refused(ran, 3, f"exists_with_different_{field}", "'k'", "version 2", "expected", "actual")
    assert cli.unchanged() == before


def test_the_expected_version_must_be_the_books(cli: Cli) -> None:
    line = ["append", "deposit", "--asset", "RLUSD", "--amount", "5", "--key", "k", "--expect-version"]
    assert cli.run(*line, "1").code == 0
    before = cli.contents()
    refused = cli.run("append", "deposit", "--asset", "RLUSD", "--amount", "5", "--expect-version", "1")
    assert_refused(refused, 3, "expected_version_passed", "'main'", "expected 1", "actual 2")
    # The same event again is there already, so its version has not passed by anybody else's hand.
    assert cli.run(*line, "1").code == 0
    assert cli.contents() == before


EVIDENCE = {
    "equity_before": "100",
    "basis_before": "100",
    "profit": "0",
    "principal": "20",
    "marks": [],
    "policy": "profit_first/1",
}


def withdraw(cli: Cli, evidence: str, basis_delta: str = "-20") -> Any:
    """Append a withdrawal of 20 of 100 RLUSD with evidence."""
    line = ["append", "withdrawal", "--asset", "RLUSD", "--amount", "20", "--basis-delta", basis_delta]
    return cli.here(*line, "--evidence", evidence)


def test_evidence_is_given_as_json_and_kept(cli: Cli) -> None:
    cli.here("append", "deposit", "--asset", "RLUSD", "--amount", "100")
    assert withdraw(cli, json.dumps(EVIDENCE)).code == 0
    assert json_value(newest(cli).event.evidence) == EVIDENCE  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("evidence", "error"),
    [
        (json.dumps({**EVIDENCE, "equity_before": "101"}), "evidence_mismatch"),
        (json.dumps({**EVIDENCE, "profit": "5", "principal": "15"}), "evidence_mismatch"),
        (json.dumps({**EVIDENCE, "policy": "profit_first/2"}), "evidence_mismatch"),
        (json.dumps({**EVIDENCE, "equity_before": 100}), "number_not_quoted"),
        (json.dumps({**EVIDENCE, "equity": "100"}), "field_unknown"),
        ("{}", "field_required"),
        ("[]", "not_an_object"),
        ("5", "not_an_object"),
        ('{"profit": "1"', "not_json"),
        ('{"profit": "1", "profit": "2"}', "field_duplicate"),
        ("[" * 100_000, "not_json"),
    ],
)
def test_evidence_that_is_wrong_is_refused(evidence: str, error: str, cli: Cli) -> None:
    cli.here("append", "deposit", "--asset", "RLUSD", "--amount", "100")
    before = cli.contents()
    assert_refused(withdraw(cli, evidence), 1, error)
    assert cli.contents() == before


def test_a_basis_that_is_unknown_is_a_flag(cli: Cli) -> None:
    line = ["append", "deposit", "--asset", "RLUSD", "--amount", "5", "--basis-unknown"]
    assert cli.here(*line).code == 0
    stored = newest(cli)
    assert (stored.effects.unknown_bases, stored.event.basis_unknown) == (1, True)  # type: ignore[attr-defined]
    assert_refused(cli.here(*line, "--basis-delta", "5"), 1, "basis_delta_and_unknown")


def test_a_correction_needs_the_reversal_of_what_it_corrects(cli: Cli) -> None:
    cli.append({"type": "deposit", "key": "d", "asset": "RLUSD", "amount": "5"})
    line = ["append", "deposit", "--asset", "RLUSD", "--amount", "6", "--corrects", "2"]
    assert_refused(cli.here(*line), 1, "corrected_not_reversed", "version 2")
    cli.append({"type": "reversal", "key": "r", "reverses": 2})
    assert cli.here(*line).code == 0
    assert (newest(cli).version, newest(cli).key) == (4, "d#2")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "an event type"),
        (("fill",), "--side"),
        (("fill", "--side", "buy", "--base-amount", "1", "--quote-amount", "1", "--price", "1"), "--price"),
        (("refill", "--side", "buy"), "refill"),
        (("reversal", "--reverses", "1"), "reversal"),
        (("deposit", "--asset", "RLUSD", "--amount", "5", "--corrects", "x"), "--corrects"),
        (("deposit", "--asset", "RLUSD", "--amount", "5", "--expect-version", "-1"), "--expect-version"),
        (("deposit", "--asset", "RLUSD", "--amount", "5", "stray"), "stray"),
        (("deposit", "--asset", "RLUSD", "--amount", "5", "-O", "yaml"), "yaml"),
        # Options of a file that stand before an event type would be lost without a word.
        (("--expect-version", "7", "deposit", "--asset", "RLUSD", "--amount", "5"), "after it"),
        (("--batch", "1", "deposit", "--asset", "RLUSD", "--amount", "5"), "after it"),
        (("-O", "json", "deposit", "--asset", "RLUSD", "--amount", "5"), "after it"),
    ],
)
def test_a_wrong_command_line_exits_2_and_writes_nothing(arguments: tuple[str, ...], words: str, cli: Cli) -> None:
    before = cli.unchanged()
    assert_refused(cli.here("append", *arguments), 2, "usage", words)
    assert (cli.unchanged(), cli.head()) == (before, 1)


def test_names_of_ones_own_choice_are_shown_harmlessly(cli: Cli) -> None:
    ran = cli.run(
        "append", "deposit", "--asset", "X'); DROP--", "--amount", "5", "--price", "1", "--key", "$(id) %s {0}"
    )
    assert_refused(ran, 1, "asset_has_blank")
    ran = cli.run(
        "append", "deposit", "--asset", "X');DROP--", "--amount", "5", "--price", "1", "--key", "$(id) %s {0}"
    )
    assert re.fullmatch(r"appended deposit at version 2, key \$\(id\) %s \{0\}, hash [0-9a-f]{12}\n", ran.out)
    assert newest(cli).event.asset == "X');DROP--"  # type: ignore[attr-defined]
