"""`netbasis inject`: its labels to the letter, a dry run that leaves every byte alone, and repeats that count once."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from cli.commands.inject import _lines
from engine.bookkeeper import Bookkeeper
from engine.capital import Movement, inject
from ledger.database.connections import without_password
from tests.cli_support import ON_A_FILE, Cli, assert_refused
from tests.engine.capital.capital_support import FIRST_BASIS, FIRST_COMMIT, FIRST_DEPOSITS, leave_a_wal
from tests.ledger.database.store_support import findings_of, fingerprints

DRY_RUN = """\
=== FLAG-031 injection dry-run ===
DB: live_copy.db
Amount: +50.00 RLUSD
net_basis_before = 137.284078
net_basis_after = 187.284078
paper.pnl_starting_value_rlusd (before) = 137.284078
paper.pnl_starting_value_rlusd (after) = 187.284078
capital_events row that WOULD be written:
  event_type = deposit
  asset = RLUSD
  amount = 50.00
  basis_delta_rlusd = +50.00
  source_note = manual injection
  tx_hash = NULL
No changes made.
"""
REAL_RUN = (
    DRY_RUN.replace(" dry-run", "")
    .replace("row that WOULD be written", "row written")
    .replace("No changes made.", "Wrote capital_event id=UUID")
)
UUID = re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")


@pytest.fixture
def desk(cli: Cli) -> Cli:
    """The first user's book, its basis committed: version 4, no mark."""
    cli.append(*FIRST_DEPOSITS, FIRST_COMMIT)
    return cli


def masked(text: str) -> str:
    """A text with its UUIDs made equal; it must have one."""
    assert UUID.search(text), text
    return UUID.sub("UUID", text)


def pnl(cli: Cli, *options: str) -> Any:
    """What `pnl` says, as JSON."""
    ran = cli.here("pnl", "-O", "json", *options)
    assert ran.code == 0, ran.err
    return ran.json


@ON_A_FILE
def test_the_dry_run_and_then_the_real_run_print_the_specs_labels_to_the_letter(desk: Cli) -> None:
    """Both as the installed script, on a database of the name that the specification uses."""
    shutil.copy(desk.db, desk.folder / "live_copy.db")
    named = ("--db", "live_copy.db")
    dry = desk.run("inject", "--amount", "50", "--dry-run", target=named)
    assert (dry.code, dry.out, dry.err) == (0, DRY_RUN, "")
    real = desk.run("inject", "--amount", "50.00", target=named)
    assert (real.code, masked(real.out), real.err) == (0, REAL_RUN, "")


def test_the_id_that_is_printed_is_the_events(desk: Cli) -> None:
    out = desk.here("inject", "--amount", "50").out
    rows = desk.here("audit", "basis", "-O", "json").json["rows"]
    assert out.splitlines()[-1] == f"Wrote capital_event id={rows[-1]['event_id']}"
    assert (rows[-1]["type"], rows[-1]["version"]) == ("deposit", 5)


def test_another_numeraire_gives_suffix_and_unit(empty_cli: Cli) -> None:
    assert empty_cli.run("init", "--numeraire", "EUR.rISSUER").code == 0
    assert empty_cli.run("inject", "--amount", "12.5", "--dry-run").lines == [
        "=== FLAG-031 injection dry-run ===",
        f"DB: {without_password(empty_cli.named)}",
        "Amount: +12.50 EUR.rISSUER",
        "net_basis_before = 0.00",
        "net_basis_after = 12.50",
        "paper.pnl_starting_value_eur.rissuer (before) = 0.00",
        "paper.pnl_starting_value_eur.rissuer (after) = 12.50",
        "capital_events row that WOULD be written:",
        "  event_type = deposit",
        "  asset = EUR.rISSUER",
        "  amount = 12.50",
        "  basis_delta_eur.rissuer = +12.50",
        "  source_note = manual injection",
        "  tx_hash = NULL",
        "No changes made.",
    ]


IN_KIND = [
    "Amount: +10.00 XRP",
    "net_basis_before = 137.284078",
    "net_basis_after = 150.584078",
    "paper.pnl_starting_value_rlusd (before) = 137.284078",
    "paper.pnl_starting_value_rlusd (after) = 150.584078",
    "capital_events row {}:",
    "  event_type = deposit",
    "  asset = XRP",
    "  amount = 10.00",
    "  basis_delta_rlusd = +13.30",
    "  source_note = from cold storage",
    "  tx_hash = AB12",
]
IN_KIND_OPTIONS = ("--amount", "10", "--asset", "XRP", "--price", "XRP=1.33", "--tx-hash", "AB12")
NOTED = ("--source-note", "from cold storage")


@pytest.mark.parametrize(
    ("mark", "line"),
    [
        (None, []),
        ("1.4", ["value at the newest mark, 1.40, less value at this price = +0.70 RLUSD"]),
        ("1.3", ["value at the newest mark, 1.30, less value at this price = -0.30 RLUSD"]),
        ("1.33", ["value at the newest mark, 1.33, less value at this price = 0.00 RLUSD"]),
    ],
)
def test_in_kind_both_runs_tell_what_the_newest_mark_makes_of_it(desk: Cli, mark: str | None, line: list[str]) -> None:
    if mark is not None:
        # An older mark and a deposit's own price are not the newest mark.
        desk.append({"type": "mark", "key": "m:1", "asset": "XRP", "price": mark, "at": "2026-01-05T09:00:00Z"})
        desk.append({"type": "mark", "key": "m:2", "asset": "XRP", "price": "9", "at": "2026-01-04T09:00:00Z"})
    dry = desk.here("inject", *IN_KIND_OPTIONS, *NOTED, "--dry-run")
    expected = [text.format("that WOULD be written") for text in IN_KIND]
    assert dry.lines[2:] == [*expected, *line, "No changes made."]
    real = desk.here("inject", *IN_KIND_OPTIONS, *NOTED)
    expected = [text.format("written") for text in IN_KIND]
    assert [masked(real.out).splitlines()[0], *masked(real.out).splitlines()[2:]] == [
        "=== FLAG-031 injection ===",
        *expected,
        *line,
        "Wrote capital_event id=UUID",
    ]


def test_an_injection_in_kind_too_small_to_have_a_value_says_so(desk: Cli) -> None:
    """0.1 of a price unit on 10⁻¹⁸ XRP rounds to 0, and 0 is what it adds to the basis."""
    tiny = ("--amount", "0.000000000000000001", "--asset", "XRP", "--price", "XRP=0.1")
    lines = desk.here("inject", *tiny, "--dry-run").lines
    assert f"net_basis_after = {FIRST_BASIS}" in lines
    assert "  basis_delta_rlusd = 0.00" in lines


@pytest.mark.parametrize("amount", ["5e1", "50.000", "50", "0050.0"])
def test_an_amount_is_shown_in_plain_digits_however_it_was_typed(desk: Cli, amount: str) -> None:
    assert desk.here("inject", "--amount", amount, "--dry-run").lines[2:] == DRY_RUN.splitlines()[2:]


def test_no_digit_is_lost_in_what_is_shown(desk: Cli) -> None:
    lines = desk.here("inject", "--amount", "12345678901234567890.123456789012345678", "--dry-run").lines
    assert "Amount: +12345678901234567890.123456789012345678 RLUSD" in lines
    assert "net_basis_after = 12345678901234568027.407534789012345678" in lines


def test_texts_of_ones_own_choice_are_shown_and_never_interpreted(desk: Cli) -> None:
    note = "'); DROP TABLE events; -- 💶 ‮ \\x1b[31m"
    lines = desk.here("inject", "--amount", "1", "--source-note", note, "--tx-hash", "%s", "--dry-run").lines
    assert "  source_note = '); DROP TABLE events; -- 💶 \\u202e \\x1b[31m" in lines
    assert "  tx_hash = %s" in lines


@ON_A_FILE
@pytest.mark.parametrize("options", [("--amount", "50"), IN_KIND_OPTIONS])
def test_the_dry_run_leaves_the_folder_as_it_was(desk: Cli, options: tuple[str, ...]) -> None:
    before = fingerprints(desk.folder)
    assert desk.run("inject", *options, "--dry-run").code == 0
    # SQLite's reader may leave a WAL of its own, an empty one.
    new = set(fingerprints(desk.folder)) - set(before)
    assert {name: (desk.folder / name).stat().st_size for name in new} in ({}, {f"{desk.db.name}-wal": 0})
    assert {name: digest for name, digest in fingerprints(desk.folder).items() if name in before} == before
    assert desk.head() == 4


@ON_A_FILE
def test_the_dry_run_beside_a_killed_writers_wal_reads_it_and_leaves_every_byte(desk: Cli) -> None:
    """The basis of 7 that it shows is only in the WAL; what the writer had not committed does not count."""
    leave_a_wal(desk.db)
    before = fingerprints(desk.folder)
    assert f"{desk.db.name}-wal" in before
    dry = desk.run("inject", "--amount", "50", "--dry-run")
    assert (dry.code, dry.err) == (0, "")
    assert "net_basis_before = 144.284078" in dry.lines
    assert fingerprints(desk.folder) == before


@ON_A_FILE
def test_the_real_run_beside_a_killed_writers_wal_builds_on_what_was_committed(desk: Cli) -> None:
    leave_a_wal(desk.db)
    assert "net_basis_after = 194.284078" in desk.run("inject", "--amount", "50").lines
    assert findings_of(desk.location) == []


@ON_A_FILE
def test_the_dry_run_works_where_the_folder_may_not_be_written(desk: Cli) -> None:
    """Root may write anywhere, so the missing permission is only real for others; the answer is the same."""
    desk.folder.chmod(0o555)
    try:
        assert desk.run("inject", "--amount", "50", "--dry-run").lines[2:] == DRY_RUN.splitlines()[2:]
    finally:
        desk.folder.chmod(0o755)


def test_twice_is_two_injections(desk: Cli) -> None:
    first, second = desk.here("inject", "--amount", "50"), desk.here("inject", "--amount", "50")
    assert (first.code, second.code) == (0, 0)
    assert "net_basis_after = 237.284078" in second.lines
    assert desk.head() == 6
    figures = pnl(desk, "--price", "XRP=1.3314")
    assert (figures["net_basis"], figures["starting_value"]) == ("237.284078", "237.284078")
    assert (figures["net_deposits"], figures["total_pnl"]) == ("237.284078", "0")


def test_twice_with_one_transaction_is_one_injection(desk: Cli) -> None:
    assert desk.here("inject", "--amount", "50", "--tx-hash", "AB").code == 0
    before = desk.contents()
    for dry_run in ([], ["--dry-run"]):
        again = desk.here("inject", "--amount", "50", "--tx-hash", "AB", *dry_run)
        assert (again.code, again.err) == (0, "")
        assert again.out == "exists: deposit at version 5, key AB:deposit:RLUSD; nothing was written\n"
    assert desk.contents() == before
    assert pnl(desk)["net_basis"] == "187.284078"


def test_a_repeat_of_what_was_reversed_is_refused(desk: Cli) -> None:
    """A reader must not take it for capital that counts."""
    for arguments in (["inject", "--amount", "50", "--tx-hash", "AB"], ["reverse", "5"]):
        assert desk.here(*arguments).code == 0
    for dry_run in ([], ["--dry-run"]):
        again = desk.here("inject", "--amount", "50", "--tx-hash", "AB", *dry_run)
        assert_refused(again, 3, "exists_reversed", "version 5", "version 6", "--corrects 5")


@pytest.mark.parametrize("dry_run", [[], ["--dry-run"]])
@pytest.mark.parametrize(
    ("given", "field"),
    [
        (("--amount", "51"), "amount"),
        (("--amount", "50", "--source-note", "another"), "source_note"),
        (("--amount", "50", "--actor", "another"), "actor"),
        (("--amount", "50", "--at", "2026-01-01T00:00:00Z"), "at"),
    ],
)
def test_one_transaction_with_other_content_is_a_conflict(
    desk: Cli, given: tuple[str, ...], field: str, dry_run: list[str]
) -> None:
    assert desk.here("inject", "--amount", "50", "--tx-hash", "AB").code == 0
    ran = desk.here("inject", *given, "--tx-hash", "AB", *dry_run)
    assert_refused(ran, 3, f"exists_with_different_{field}", "AB:deposit:RLUSD", "version 5")
    assert desk.head() == 5


def test_one_transaction_may_bring_two_assets(desk: Cli) -> None:
    assert desk.here("inject", "--amount", "50", "--tx-hash", "AB").code == 0
    assert desk.here("inject", *IN_KIND_OPTIONS[:6], "--tx-hash", "AB").code == 0
    assert desk.head() == 6


def test_an_empty_transaction_hash_is_refused(desk: Cli) -> None:
    """A script whose variable was not set must not believe that its injection is protected from running twice."""
    assert_refused(desk.here("inject", "--amount", "50", "--tx-hash", ""), 1, "text_empty", "tx_hash")
    assert desk.head() == 4


BAD_AMOUNTS = [
    ("0", "amount_must_be_positive"),
    ("0.00", "amount_must_be_positive"),
    ("-10", "amount_must_be_positive"),
    ("abc", "amount_malformed"),
    ("", "amount_malformed"),
    ("1_000", "amount_malformed"),
    ("1,5", "amount_malformed"),
    ("+50", "amount_malformed"),
    ("NaN", "amount_malformed"),
    ("1" * 21, "amount_out_of_range"),
    ("0." + "0" * 36 + "1", "amount_too_precise"),
]


@pytest.mark.parametrize("dry_run", [[], ["--dry-run"]])
@pytest.mark.parametrize(("amount", "error"), BAD_AMOUNTS)
def test_an_amount_that_is_none_is_refused(desk: Cli, amount: str, error: str, dry_run: list[str]) -> None:
    before = desk.unchanged()
    assert_refused(desk.here("inject", "--amount", amount, *dry_run), 1, error, "amount: ")
    assert desk.unchanged() == before


@pytest.mark.parametrize(
    ("options", "code", "error", "words"),
    [
        (("--asset", "XRP"), 1, "price_required", "the price of one XRP in RLUSD"),
        (("--asset", "XRP", "--price", "XRP=0"), 1, "price_must_be_positive", "price"),
        (("--asset", "XRP", "--price", "XRP=-1"), 1, "price_must_not_be_negative", "price"),
        (("--asset", "XRP", "--price", "XRP=NaN"), 1, "amount_malformed", "price"),
        (("--asset", "XRP", "--price", "1.33"), 2, "usage", "XRP=1.33"),
        (("--asset", "XRP", "--price", "ETH=3000"), 2, "usage", "give the price of XRP"),
        (("--price", "XRP=1.33"), 2, "usage", "leave it out"),
        (("--price", "RLUSD=1"), 1, "asset_must_not_be_numeraire", "RLUSD"),
        (("--asset", "A B"), 1, "asset_has_blank", "asset"),
        (("--at", "2026-01-01"), 1, "time_malformed", "at"),
        (("--at", "2026-01-01T00:00:00"), 1, "time_without_zone", "append Z"),
        (("--actor", "a\nb"), 1, "text_has_control_character", "actor"),
        (("--tx-hash", "A" * 200), 1, "text_too_long", "key"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_written(
    desk: Cli, options: tuple[str, ...], code: int, error: str, words: str
) -> None:
    before = desk.unchanged()
    for dry_run in ([], ["--dry-run"]):
        assert_refused(desk.here("inject", "--amount", "10", *options, *dry_run), code, error, words)
    assert desk.unchanged() == before


def test_a_value_that_does_not_fit_is_refused(desk: Cli) -> None:
    huge = ("--amount", "9" * 20, "--asset", "XRP", "--price", "XRP=10")
    assert_refused(desk.here("inject", *huge), 1, "value_out_of_range")


def test_what_was_said_stays_on_the_event(desk: Cli) -> None:
    said = ("--at", "2026-02-01T10:00:00+01:00", "--actor", "owner", "--source-note", "savings", "--tx-hash", "AB")
    assert desk.here("inject", "--amount", "50", *said).code == 0
    row = desk.here("audit", "basis", "-O", "json").json["rows"][-1]
    assert row["at"] == "2026-02-01T09:00:00.000000Z"
    assert (row["actor"], row["source_note"], row["tx_hash"]) == ("owner", "savings", "AB")


def test_for_programs_every_figure_is_a_text(desk: Cli) -> None:
    dry = desk.here("inject", "--amount", "50", "--dry-run", "-O", "json").json
    assert dry == {
        "book": "main",
        "written": False,
        "existed": False,
        "event_id": None,
        "version": None,
        "net_basis_before": "137.284078",
        "net_basis_after": "187.284078",
        "starting_value_before": "137.284078",
        "starting_value_after": "187.284078",
        "mark_difference": None,
    }
    real = desk.here("inject", "--amount", "50", "--tx-hash", "AB", "-O", "json").json
    assert (real["written"], real["existed"], real["version"]) == (True, False, 5)
    again = desk.here("inject", "--amount", "50", "--tx-hash", "AB", "-O", "json").json
    assert (again["written"], again["existed"], again["version"]) == (False, True, 5)
    assert again["event_id"] == real["event_id"]


@pytest.mark.parametrize("scheme", ["postgresql+psycopg", "mysql"])
def test_a_password_is_not_shown(tmp_path: Path, scheme: str) -> None:
    """Nobody listens there; what is said of it names no password."""
    url = f"{scheme}://desk:s3cret@127.0.0.1:1/live"
    ran = Cli(tmp_path).run("inject", "--amount", "50", target=("--db", url))
    assert (ran.code, ran.out) == (4, "")
    assert "s3cret" not in ran.err


def test_the_line_that_names_the_database_hides_a_password(desk: Cli) -> None:
    """What a server's run prints after DB, without a server: the same lines, under a location of its own."""
    with Bookkeeper.open(desk.location, "read") as keeper:
        done = inject(keeper, "main", Movement("50"), dry_run=True)
    lines = list(_lines(done, without_password("postgresql+psycopg://desk:s3cret@db.example/live")))
    assert lines[1] == "DB: postgresql+psycopg://desk:***@db.example/live"


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    for dry_run in ([], ["--dry-run"]):
        ran = Cli(tmp_path, empty=True).run("inject", "--amount", "50", *dry_run)
        assert_refused(ran, 4, "database_missing", "ledger.db")
    assert list(tmp_path.iterdir()) == []
