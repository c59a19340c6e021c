"""`withdraw`, `backfill-basis`, `reverse` and `verify-injection`, as their user sees them."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

import projections.engine_state
from engine.bookkeeper import Bookkeeper
from ledger.effects import Effects
from ledger.events import Reversal
from projections.engine_state import EngineState
from tests.cli_support import ON_A_FILE, Cli, Ran, assert_refused
from tests.engine.capital.capital_support import FIRST_BASIS, FIRST_COMMIT, FIRST_DEPOSITS, leave_a_wal, overwrite_page
from tests.ledger.database.store_support import findings_of, fingerprints
from tests.support import log_of

MARKED = "2026-01-05T09:00:00Z"
MARK = {"type": "mark", "key": "m:1", "asset": "XRP", "price": "1.3998", "price_source": "desk", "at": MARKED}
# A time at which that mark is fresh.
AT = ("--at", "2026-01-05T09:10:00Z")


@pytest.fixture
def desk(cli: Cli) -> Cli:
    """The first user's book at version 5: equity 139.970146, basis 137.284078, so 2.686068 of profit."""
    cli.append(*({"at": "2026-01-05T09:00:00Z", **fields} for fields in (*FIRST_DEPOSITS, FIRST_COMMIT, MARK)))
    return cli


def done(ran: Ran) -> Ran:
    """A run that went well and had nothing to complain of."""
    assert (ran.code, ran.err) == (0, ""), ran
    return ran


def audit(cli: Cli, *options: str) -> list[dict[str, Any]]:
    """The rows of the audit, as JSON has them."""
    rows = done(cli.here("audit", "basis", "-O", "json", *options)).json["rows"]
    assert isinstance(rows, list)
    return rows


# -------------------------------------------------------------------------------------------------- withdraw

WITHDRAWAL = """\
withdrawal{}: 20.00 RLUSD
worth 20.00 RLUSD, divided by profit_first/1
  profit    = 2.686068
  principal = 17.313932
in RLUSD       before       after           Δ
equity     139.970146  119.970146      -20.00
net basis  137.284078  119.970146  -17.313932
total pnl    2.686068    2.686068        0.00
mark: XRP 1.3998 (desk, 2026-01-05T09:00:00Z)
"""


def test_a_withdrawal_shows_parts_equity_and_basis_before_and_after_and_that_pnl_stays(desk: Cli) -> None:
    dry = done(desk.here("withdraw", "--amount", "20", *AT, "--dry-run"))
    assert dry.out == WITHDRAWAL.format(", dry run") + "No changes made.\n"
    assert desk.head() == 5
    real = done(desk.here("withdraw", "--amount", "20", *AT, "--actor", "owner"))
    row = audit(desk)[-1]
    assert real.out == WITHDRAWAL.format("") + f"recorded at version 6, id {row['event_id']}\n"
    assert (row["equity_before"], row["basis_before"]) == ("139.970146", "137.284078")
    assert (row["profit"], row["principal"], row["actor"]) == ("2.686068", "17.313932", "owner")
    assert findings_of(desk.location) == []


@ON_A_FILE
def test_the_dry_run_leaves_every_byte_also_beside_a_killed_writers_wal(desk: Cli) -> None:
    leave_a_wal(desk.db)
    before = fingerprints(desk.folder)
    dry = done(desk.here("withdraw", "--amount", "20", "--price", "XRP=1.3998", "--dry-run"))
    assert "net basis  144.284078  126.970146  -17.313932" in dry.lines
    assert fingerprints(desk.folder) == before


def test_in_kind_it_is_valued_at_its_mark(desk: Cli) -> None:
    lines = done(desk.here("withdraw", "--amount", "5", "--asset", "XRP", *AT, "--dry-run")).lines
    assert lines[:4] == [
        "withdrawal, dry run: 5.00 XRP",
        "worth 6.999 RLUSD, divided by profit_first/1",
        "  profit    = 2.686068",
        "  principal = 4.312932",
    ]


def test_a_given_price_comes_first_and_is_named_as_such(desk: Cli) -> None:
    lines = done(desk.here("withdraw", "--amount", "5", "--asset", "XRP", "--price", "XRP=2", "--dry-run")).lines
    assert lines[1] == "worth 10.00 RLUSD, divided by profit_first/1"
    assert lines[-2].startswith("mark: XRP 2.00 (command line, ")


def test_a_price_of_what_is_not_held_is_noted_since_it_may_be_misspelt(desk: Cli) -> None:
    """It decides nothing; the mark of XRP does."""
    ran = desk.here("withdraw", "--amount", "20", "--price", "xrp=9", "--price", "XRP=1.3998", *AT, "--dry-run")
    assert (ran.code, ran.err) == (0, "note: --price xrp=… was not used: there is no xrp in the book\n")
    assert ran.lines[2] == "  profit    = 2.686068"


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        (("--amount", "85.01", *AT), "insufficient_balance", ("RLUSD", "at most 85", "85.01", "append withdrawal")),
        (("--amount", "40", "--asset", "XRP", *AT), "insufficient_balance", ("XRP", "at most 39.27")),
        (("--amount", "1", "--at", "2026-01-05T09:15:00.000001Z"), "mark_stale", ("XRP", MARKED[:16], "--price XRP=")),
        (("--amount", "1", *AT, "--max-mark-age", "9m"), "mark_stale", ("2026-01-05T09:01:00",)),
        (("--amount", "0", *AT), "amount_must_be_positive", ("amount",)),
        (("--amount", "-10", *AT), "amount_must_be_positive", ("amount",)),
        (("--amount", "abc", *AT), "amount_malformed", ("amount",)),
        (("--amount", "1" * 21, *AT), "amount_out_of_range", ("amount",)),
        (("--amount", "1", "--tx-hash", "", *AT), "text_empty", ("tx_hash",)),
    ],
)
def test_a_refusal_says_what_was_expected_and_leaves_nothing(
    desk: Cli, options: tuple[str, ...], error: str, words: tuple[str, ...]
) -> None:
    before = desk.contents()
    for dry_run in ((), ("--dry-run",)):
        assert_refused(desk.here("withdraw", *options, *dry_run), 1, error, *words)
    assert desk.contents() == before


def test_the_mark_age_reaches_to_the_second_that_is_said(desk: Cli) -> None:
    for age, at in (
        ("15m", "09:15:00"),
        ("90s", "09:01:30"),
        ("2h", "11:00:00"),
        ("1d", "09:00:00"),
        ("0s", "09:00:00"),
    ):
        time = f"2026-01-0{6 if age == '1d' else 5}T{at}Z"
        done(desk.here("withdraw", "--amount", "1", "--at", time, "--max-mark-age", age, "--dry-run"))
        late = time.replace("Z", ".000001Z")
        ran = desk.here("withdraw", "--amount", "1", "--at", late, "--max-mark-age", age, "--dry-run")
        assert_refused(ran, 1, "mark_stale")


@pytest.mark.parametrize("age", ["", "5", "15 m", "-1m", "1w", "1.5h", "1m30s", "１m", "1000000d"])
def test_what_is_no_age_is_a_wrong_command_line(desk: Cli, age: str) -> None:
    ran = desk.here("withdraw", "--amount", "1", f"--max-mark-age={age}", *AT)
    assert_refused(ran, 2, "usage", "such as 90s, 15m, 2h or 1d")


def test_an_age_older_than_the_calendar_takes_any_mark(desk: Cli) -> None:
    done(desk.here("withdraw", "--amount", "1", "--max-mark-age", "999999d"))


def test_without_a_mark_or_with_an_unknown_basis_nothing_is_withdrawn(cli: Cli) -> None:
    cli.append(*FIRST_DEPOSITS)
    ran = cli.here("withdraw", "--amount", "1")
    assert_refused(ran, 1, "basis_incomplete", "unknown: 2", "netbasis backfill-basis")
    done(cli.here("backfill-basis", "--amount", FIRST_BASIS))
    assert_refused(cli.here("withdraw", "--amount", "1"), 1, "mark_missing", "XRP", "--price XRP=")
    done(cli.here("withdraw", "--amount", "1", "--price", "XRP=1.4"))


def test_more_than_the_equity_is_refused(desk: Cli) -> None:
    desk.append({"type": "adjustment", "key": "a", "asset": "XRP", "amount": "-139.27", "reason": "clawback"})
    ran = desk.here("withdraw", "--amount", "85", "--price", "XRP=0.5")
    assert_refused(ran, 1, "exceeds_equity", "at most 35 RLUSD", "85 RLUSD")


def test_a_repeat_with_its_transaction_is_answered_after_the_book_has_moved_on(desk: Cli) -> None:
    done(desk.here("withdraw", "--amount", "80", "--tx-hash", "AB", *AT))
    desk.append({"type": "adjustment", "key": "a", "asset": "ETH", "amount": "1", "reason": "reward"})
    before = desk.contents()
    for dry_run in ((), ("--dry-run",)):
        again = done(desk.here("withdraw", "--amount", "80", "--tx-hash", "AB", *dry_run))
        assert again.out == "exists: withdrawal at version 6, key AB:withdrawal:RLUSD; nothing was written\n"
        ran = desk.here("withdraw", "--amount", "79", "--tx-hash", "AB", *dry_run)
        assert_refused(ran, 3, "exists_with_different_amount", "AB:withdrawal:RLUSD")
    assert desk.contents() == before


def test_for_programs_a_withdrawal_is_figures_as_texts(desk: Cli) -> None:
    document = done(desk.here("withdraw", "--amount", "20", *AT, "-O", "json")).json
    assert document == {
        "book": "main",
        "written": True,
        "existed": False,
        "event_id": audit(desk)[-1]["event_id"],
        "version": 6,
        "asset": "RLUSD",
        "amount": "20",
        "value": "20",
        "profit": "2.686068",
        "principal": "17.313932",
        "policy": "profit_first/1",
        "late": False,
        "equity_before": "139.970146",
        "equity_after": "119.970146",
        "basis_before": "137.284078",
        "basis_after": "119.970146",
        "total_pnl_before": "2.686068",
        "total_pnl_after": "2.686068",
    }


def test_a_book_opened_with_principal_first_divides_by_it(empty_cli: Cli) -> None:
    assert empty_cli.here("init", "--policy", "principal_first/1").code == 0
    empty_cli.append(*({"at": "2026-01-05T09:00:00Z", **fields} for fields in (*FIRST_DEPOSITS, FIRST_COMMIT, MARK)))
    lines = done(empty_cli.here("withdraw", "--amount", "20", *AT)).lines
    assert lines[1:4] == [
        "worth 20.00 RLUSD, divided by principal_first/1",
        "  profit    = 0.00",
        "  principal = 20.00",
    ]
    assert findings_of(empty_cli.location) == []


def test_a_policy_that_there_is_not_opens_no_book(empty_cli: Cli, tmp_path: Path) -> None:
    assert_refused(
        empty_cli.here("init", "--policy", "profit_last/1"), 1, "policy_unknown", "profit_first/1", "principal_first/1"
    )
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------------------ backfill


def test_the_initial_basis_is_shown_beside_net_deposits_and_written_once(cli: Cli) -> None:
    cli.append(*FIRST_DEPOSITS)
    shown = """\
synthetic_initial_basis{}, in RLUSD
net basis before    0.00
net basis after   137.284078
net deposits      137.284078
"""
    command = ("backfill-basis", "--amount", FIRST_BASIS, "--actor", "owner")
    assert done(cli.here(*command, "--dry-run")).out == shown.format(", dry run") + "No changes made.\n"
    assert cli.head() == 3
    assert done(cli.here(*command)).out == shown.format("") + "recorded at version 4\n"
    before = cli.contents()
    for again in (command, (*command, "--dry-run"), ("backfill-basis", "--amount", "1")):
        assert done(cli.here(*again)).out == "synthetic_initial_basis already present; no-op\n"
    assert cli.contents() == before
    (row,) = [row for row in audit(cli) if row["type"] == "basis_commit"]
    assert (row["amount"], row["basis_delta"], row["basis_after"]) == (FIRST_BASIS,) * 3
    assert (row["source_note"], row["actor"]) == ("synthetic_initial_basis", "owner")


def test_the_initial_basis_moves_neither_inventory_nor_starting_value(cli: Cli) -> None:
    cli.append(*FIRST_DEPOSITS)
    before = [done(cli.here(*command)).json for command in MOVED]
    done(cli.here("backfill-basis", "--amount", FIRST_BASIS))
    after = [done(cli.here(*command)).json for command in MOVED]
    assert before[0]["balances"] == after[0]["balances"]
    for name in ("total_value", "net_deposits", "starting_value", "total_pnl"):
        assert before[1][name] == after[1][name]
    assert (before[1]["retained_profit"], after[1]["retained_profit"]) == (None, "0")


MOVED = (("balance", "-O", "json"), ("pnl", "--price", "XRP=1.3314", "-O", "json"))


@pytest.mark.parametrize(
    ("amount", "error"),
    [("0", "amount_must_be_positive"), ("-1", "amount_must_be_positive"), ("abc", "amount_malformed")],
)
def test_an_initial_basis_that_is_none_is_refused(cli: Cli, amount: str, error: str) -> None:
    for dry_run in ((), ("--dry-run",)):
        assert_refused(cli.here("backfill-basis", "--amount", amount, *dry_run), 1, error)
    assert cli.head() == 1


def test_an_initial_basis_that_was_reversed_is_committed_anew(desk: Cli) -> None:
    """As the advice of the refusal says."""
    done(desk.here("reverse", "4", "--reason", "mistyped"))
    assert_refused(desk.here("withdraw", "--amount", "1", *AT), 1, "basis_incomplete", "netbasis backfill-basis")
    assert done(desk.here("backfill-basis", "--amount", "137")).lines[-1] == "recorded at version 7"
    assert done(desk.here("backfill-basis", "--amount", "5")).out == "synthetic_initial_basis already present; no-op\n"
    done(desk.here("withdraw", "--amount", "1", *AT))
    assert findings_of(desk.location) == []


# ------------------------------------------------------------------------------------------------------- reverse

REVERSAL = """\
reversal{} of version 6: deposit of 2026-01-05T09:05:00Z
                      before       after       Δ
RLUSD                 115.00       65.00  -50.00
net basis         169.970146  119.970146  -50.00
net deposits      167.284078  117.284078  -50.00
starting value    167.284078  117.284078  -50.00
total pnl           2.686068    2.686068    0.00
retained profit         0.00        0.00    0.00
withdrawn profit    2.686068    2.686068    0.00
warning: later withdrawals were classified on top of it and stay as they are: 7; to have them classified anew, \
reverse them first, the newest one first, and withdraw again
"""


@pytest.fixture
def mistaken(desk: Cli) -> Cli:
    """The desk, an injection of 50 at version 6 that never came, and a withdrawal of its profit and more at 7."""
    done(desk.here("inject", "--amount", "50", "--at", "2026-01-05T09:05:00Z"))
    done(desk.here("withdraw", "--amount", "20", *AT))
    return desk


def test_a_reversal_shows_what_it_does_before_it_commits(mistaken: Cli) -> None:
    dry = done(mistaken.here("reverse", "6", "--dry-run"))
    assert dry.out == REVERSAL.format(", dry run") + "No changes made.\n"
    assert mistaken.head() == 7
    real = done(mistaken.here("reverse", "6", "--reason", "never came"))
    assert real.out == REVERSAL.format("") + "recorded at version 8\n"
    assert findings_of(mistaken.location) == []


def test_a_reversed_withdrawal_gives_back_profit_and_principal_as_they_were_taken(mistaken: Cli) -> None:
    lines = done(mistaken.here("reverse", "7")).lines
    assert [line.split() for line in lines[1:-1]] == [
        ["before", "after", "Δ"],
        ["RLUSD", "115.00", "135.00", "+20.00"],
        ["net", "basis", "169.970146", "187.284078", "+17.313932"],
        ["net", "deposits", "167.284078", "187.284078", "+20.00"],
        ["starting", "value", "167.284078", "187.284078", "+20.00"],
        ["total", "pnl", "2.686068", "2.686068", "0.00"],
        ["retained", "profit", "0.00", "2.686068", "+2.686068"],
        ["withdrawn", "profit", "2.686068", "0.00", "-2.686068"],
    ]


def test_a_net_basis_that_falls_below_zero_is_warned_of(desk: Cli) -> None:
    done(desk.here("withdraw", "--amount", "80", *AT))
    dry = done(desk.here("reverse", "4", "--dry-run"))
    (warning,) = [line for line in dry.lines if "below 0" in line]
    assert warning == "warning: net basis falls below 0, to -77.313932"
    assert "warning: later withdrawals were classified on top of it and stay as they are: 6" in dry.out
    warnings = done(desk.here("reverse", "4", "-O", "json")).json["warnings"]
    assert [text.split(",")[0] for text in warnings] == [
        "net basis falls below 0",
        "later withdrawals were classified on top of it and stay as they are: 6; to have them classified anew",
    ]


def test_without_a_mark_what_is_unknown_says_why(cli: Cli) -> None:
    cli.append(*FIRST_DEPOSITS)
    lines = done(cli.here("reverse", "3", "--dry-run")).lines
    assert ["total", "pnl", "-", "-", "-"] in [line.split() for line in lines]
    assert "unknown for want of a mark: XRP" in lines


@ON_A_FILE
def test_the_dry_run_of_a_reversal_leaves_every_byte(mistaken: Cli) -> None:
    leave_a_wal(mistaken.db)
    before = fingerprints(mistaken.folder)
    done(mistaken.here("reverse", "6", "--dry-run"))
    assert fingerprints(mistaken.folder) == before


IRREVERSIBLE = [
    ("1", 1, "reversal_not_allowed", "'opened'"),
    ("9", 1, "reversal_not_allowed", "'reversal'"),
    ("6", 1, "already_reversed", "by version 9"),
    ("99", 1, "reversed_version_unknown", "a version from 1 to 9"),
    ("0", 1, "version_malformed", "a whole number from 1"),
    ("9" * 40, 1, "version_malformed", "a whole number from 1"),
    ("six", 2, "usage", "VERSION"),
    ("6.5", 2, "usage", "VERSION"),
]


def test_what_cannot_be_reversed_is_refused(mistaken: Cli) -> None:
    for newest in ("7", "6"):
        done(mistaken.here("reverse", newest))
    before = mistaken.contents()
    for version, code, error, words in IRREVERSIBLE:
        for dry_run in ((), ("--dry-run",)):
            assert_refused(mistaken.here("reverse", version, *dry_run), code, error, words)
        assert mistaken.contents() == before, version


def test_what_was_said_stays_on_the_reversal(mistaken: Cli) -> None:
    said = ("--reason", "sent twice", "--source-note", "see mail", "--actor", "owner", "--at", "2026-02-01T00:00:00Z")
    done(mistaken.here("reverse", "6", *said))
    row = audit(mistaken)[-1]
    assert (row["source_note"], row["actor"], row["at"]) == ("see mail", "owner", "2026-02-01T00:00:00.000000Z")
    with Bookkeeper.open(mistaken.location, "read") as keeper:
        reversal = log_of(keeper)[-1].event
    assert isinstance(reversal, Reversal)
    assert reversal.reason == "sent twice"


def test_audit_and_register_tie_both_rows_to_each_other(mistaken: Cli) -> None:
    done(mistaken.here("reverse", "7"))
    tied = {row["version"]: (row["reverses"], row["reversed_by"]) for row in audit(mistaken)}
    assert (tied[7], tied[8], tied[6]) == ((None, 8), (7, None), (None, None))
    rows = done(mistaken.here("register", "-O", "json")).json["rows"]
    tied = {row["version"]: (row["reverses"], row["reversed_by"]) for row in rows}
    assert (tied[7], tied[8], tied[6]) == ((None, 8), (7, None), (None, None))
    assert {row["version"]: row["reversed_by"] for row in audit(mistaken, "--as-of", "7")}[7] is None


AUDIT_COLUMNS = (
    "version at type asset amount price equity_before basis_before profit principal basis_delta basis_after actor "
    "source_note tx_hash event_id hash reverses reversed_by"
)


def test_the_audits_columns_are_the_specs_in_order_and_then_the_ties(mistaken: Cli) -> None:
    assert list(audit(mistaken)[0]) == AUDIT_COLUMNS.split()
    assert next(csv.reader(io.StringIO(mistaken.here("audit", "basis", "-O", "csv").out))) == AUDIT_COLUMNS.split()
    text = done(mistaken.here("audit", "basis")).lines
    assert text[0].split() == AUDIT_COLUMNS.split()
    assert text[-1] == "net basis: 169.970146 RLUSD"


# ----------------------------------------------------------------------------------------------- verify-injection


def test_four_deltas_with_a_tick_each_and_the_original_untouched(desk: Cli) -> None:
    before = desk.unchanged()
    ran = done(desk.run("verify-injection", "--amount", "50"))
    assert ran.lines == [
        "Δ NET DEPOSITS   +50.00  ✓",
        "Δ TOTAL VALUE    +50.00  ✓",
        "Δ TOTAL PNL        0.00  ✓",
        "Δ TRADING VALUE    0.00  ✓",
        "on a copy; the database was only read",
    ]
    assert desk.unchanged() == before


@ON_A_FILE
def test_the_original_is_untouched_also_beside_a_killed_writers_wal(desk: Cli) -> None:
    leave_a_wal(desk.db)
    before = fingerprints(desk.folder)
    done(desk.run("verify-injection", "--amount", "50"))
    assert fingerprints(desk.folder) == before


def stands_still(state: EngineState, effects: Effects) -> EngineState:
    """A starting value that a deposit does not move, so that the deposit looks like profit."""
    return state if effects.effect_of == "deposit" else EngineState(state.starting_value + effects.starting_value_delta)


def test_a_figure_that_is_off_gets_a_cross_and_exit_1(desk: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projections.engine_state, "apply", stands_still)
    ran = desk.here("verify-injection", "--amount", "50")
    assert (ran.code, ran.err) == (1, "")
    assert ran.lines[2:4] == ["Δ TOTAL PNL      +50.00  ✗ expected 0.00", "Δ TRADING VALUE  +50.00  ✗ expected 0.00"]
    document = desk.here("verify-injection", "--amount", "50", "-O", "json").json
    assert document["holds"] is False
    assert [delta["holds"] for delta in document["deltas"]] == [True, True, False, False]


def test_it_needs_a_price_of_what_is_held_and_a_real_amount(cli: Cli) -> None:
    cli.append(*FIRST_DEPOSITS)
    assert_refused(cli.here("verify-injection", "--amount", "50"), 1, "mark_missing", "--price XRP=")
    done(cli.here("verify-injection", "--amount", "50", "--price", "XRP=1.33"))
    for amount, error in (("0", "amount_must_be_positive"), ("abc", "amount_malformed")):
        ran = cli.here("verify-injection", "--amount", amount, "--price", "XRP=1.33")
        assert_refused(ran, 1, error)


# ---------------------------------------------------------------------------------------------- a damaged file


@ON_A_FILE
def test_check_stops_at_overwritten_pages_with_exit_4(desk: Cli) -> None:
    overwrite_page(desk.db, "uq_events_reverses")
    before = desk.db.read_bytes()
    assert_refused(desk.here("check"), 4, "database_damaged", "restore a backup")
    assert desk.db.read_bytes() == before
