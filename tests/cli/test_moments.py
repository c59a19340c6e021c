"""`--from`, `--to`, `--as-of`, `--known-at`, `--zone`: dates, months, years, today and yesterday on every command."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.cli_support import ON_A_FILE, Cli, assert_refused, deposit
from tests.engines import Engine, forget
from tests.support import a_share_of

# Each deposit is of one digit's place, so that a balance says which of them it counts.
HAPPENED = [
    ("2025-12-31T23:59:59.999999Z", "1"),
    ("2026-10-31T23:59:59.999999Z", "10"),
    ("2026-11-01T00:00:00Z", "100"),
    ("2026-11-01T22:59:59.999999Z", "1000"),  # the last of 1 November in Berlin
    ("2026-11-01T23:30:00Z", "10000"),  # 2 November in Berlin
    ("2026-11-30T23:59:59.999999Z", "100000"),
    ("2026-12-01T00:00:00Z", "1000000"),
]
NOW = datetime(2027, 1, 5, 12, tzinfo=UTC)


def opened(cli: Cli, now: datetime) -> Cli:
    """The book `main`, opened at a time of the test's own: what was recorded after it cannot be earlier."""
    assert cli.here("init", now=now).code == 0
    return cli


def record(cli: Cli, now: datetime, *line: str) -> None:
    """Append an event when the clock says `now`."""
    ran = cli.here("append", *line, now=now)
    assert ran.code == 0, ran.err


def with_deposits(folder: Path, engine: Engine = "sqlite") -> Cli:
    """A ledger whose deposits happened when `HAPPENED` says, and were recorded a day later."""
    cli = opened(Cli(folder, engine, empty=True), datetime(2025, 12, 1, tzinfo=UTC))
    for at, amount in HAPPENED:
        recorded = datetime.fromisoformat(at) + timedelta(days=1)
        record(cli, recorded, "deposit", "--asset", "RLUSD", "--amount", amount, "--at", at, "--key", at)
    return cli


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """Such a ledger; the tests only read it."""
    return with_deposits(tmp_path_factory.mktemp("book"))


def counted(cli: Cli, *options: str, now: datetime = NOW) -> str:
    """The balance that `balance` shows, a digit for each deposit that counts."""
    ran = cli.here("balance", *options, "-O", "json", now=now)
    assert (ran.code, ran.err) == (0, "")
    return next((holding["total"] for holding in ran.json["balances"]), "0")


def in_period(cli: Cli, *options: str, now: datetime = NOW) -> str:
    """What `pnl` says that net deposits changed by; `register` shows the deposits that this adds up from."""
    figures = cli.here("pnl", *options, "-O", "json", now=now)
    assert (figures.code, figures.err) == (0, "")
    change: str = figures.json["change"]["net_deposits"]
    rows = cli.here("register", *options, "-O", "json", now=now).json["rows"]
    assert sum(int(row["delta"]) for row in rows) == int(change)
    return change


AS_OF = [
    ("2026-11-01", (), "11111"),  # the whole day
    ("2026-10", (), "11"),
    ("2026-10-31", (), "11"),
    ("2026-11", (), "111111"),
    ("2026-12", (), "1111111"),
    ("2025-12", (), "1"),
    ("2026-11-01T00:00:00Z", (), "111"),  # a time counts what happened at it
    ("2026-10-31T23:59:59.999999Z", (), "11"),
    ("2026-11-01", ("--zone", "Europe/Berlin"), "1111"),
    ("2026-11-01", ("--zone", "America/New_York"), "11111"),
    ("2026-10-31", ("--zone", "Pacific/Honolulu"), "111"),  # until 10:00 UTC of the next day
    ("2026-11-01T23:59:59", ("--zone", "Europe/Berlin"), "111"),
    ("2026-11-02T00:30", ("--zone", "Europe/Berlin"), "11111"),
    ("3", (), "11"),  # digits are a version
]


@pytest.mark.parametrize(("as_of", "more", "digits"), AS_OF)
def test_as_of_counts_to_the_end(as_of: str, more: tuple[str, ...], digits: str, book: Cli) -> None:
    assert counted(book, "--as-of", as_of, *more) == digits


KNOWN_AT = [
    ("2025-12", (), "0"),
    ("2026-10-30", (), "1"),
    ("2026-11-01", (), "11"),  # the second was recorded on 1 November at 23:59:59.999999
    ("2026-11-01", ("--zone", "Europe/Berlin"), "1"),
    ("2026-11-02T00:00:00Z", (), "111"),
    ("2026-11", (), "11111"),
    ("2026", (), "1111111"),
]


@pytest.mark.parametrize(("known_at", "more", "digits"), KNOWN_AT)
def test_known_at_counts_what_was_recorded_to_the_end(
    known_at: str, more: tuple[str, ...], digits: str, book: Cli
) -> None:
    assert counted(book, "--known-at", known_at, *more) == digits


PERIODS = [
    (("--from", "2026-11", "--to", "2026-11"), "111100"),
    (("--from", "2026-11-01", "--to", "2026-11-01"), "11100"),
    (("--from", "2026", "--to", "2026"), "1111110"),
    (("--from", "2026-11-01", "--to", "2026-11"), "111100"),
    (("--from", "2026-11"), "1111100"),
    (("--to", "2026-10"), "11"),
    (("--to", "2025"), "1"),
    (("--from", "2026-11", "--to", "2026-11-30T23:59:59.999999Z"), "11100"),  # a time at the end is not in it
    (("--from", "2026-11-01T00:00:00Z", "--to", "2026-12-01T00:00:00Z"), "111100"),
    (("--from", "2026-11-01T00:00:00Z", "--to", "2026-11-01T00:00:00Z"), "0"),
    (("--from", "2026-11-01", "--to", "2026-11-01", "--zone", "Europe/Berlin"), "1110"),
    (("--from", "2026-11-02", "--to", "2026-11", "--zone", "Europe/Berlin"), "10000"),
]


@pytest.mark.parametrize(("options", "digits"), PERIODS)
def test_a_period_has_the_whole_of_its_end(options: tuple[str, ...], digits: str, book: Cli) -> None:
    assert in_period(book, *options) == digits


@pytest.mark.parametrize(
    ("now", "zone", "today", "yesterday"),
    [
        ("2026-11-01T23:45:00Z", "UTC", "11100", "10"),
        ("2026-11-01T23:45:00Z", "Europe/Berlin", "10000", "1110"),
        ("2026-12-01T00:00:00Z", "UTC", "1000000", "100000"),
    ],
)
def test_today_and_yesterday_are_days_of_the_clock(now: str, zone: str, today: str, yesterday: str, book: Cli) -> None:
    """Days of the zone: of Berlin, a quarter of an hour before midnight UTC, tomorrow's date."""
    at = datetime.fromisoformat(now)
    for name, digits in (("today", today), ("yesterday", yesterday)):
        assert in_period(book, "--from", name, "--to", name, "--zone", zone, now=at) == digits


def test_a_server_counts_the_same(tmp_path: Path) -> None:
    """The times are compared in its statements: with each kind of bound, and to the last microsecond."""
    book = with_deposits(tmp_path, "postgres")
    for as_of, more, digits in a_share_of(AS_OF, 1, parts=3):
        assert counted(book, "--as-of", as_of, *more) == digits, as_of
    for known_at, more, digits in a_share_of(KNOWN_AT, 1, parts=3):
        assert counted(book, "--known-at", known_at, *more) == digits, known_at
    for options, digits in a_share_of(PERIODS, 1, parts=3):
        assert in_period(book, *options) == digits, options
    forget(book.location)


def test_the_other_commands_take_them_too(book: Cli) -> None:
    for command in (("pnl",), ("register",), ("audit", "basis")):
        by_day, by_time = (
            book.here(*command, "--as-of", as_of, "-O", "json", now=NOW).out
            for as_of in ("2026-11-01", "2026-11-01T23:59:59.999999Z")
        )
        assert by_day == by_time != book.here(*command, "-O", "json", now=NOW).out


def test_the_bounds_of_a_period_are_shown_in_utc_the_end_outside(book: Cli) -> None:
    found = book.here("pnl", "--from", "2026-11", "--to", "2026-11", "--zone", "Europe/Berlin", "-O", "json").json
    assert (found["from"], found["to"]) == ("2026-10-31T23:00:00.000000Z", "2026-11-30T23:00:00.000000Z")


@pytest.mark.parametrize("command", [("pnl",), ("register",)], ids=" ".join)
@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-11-01T00:00:00Z", "2026-10-01T00:00:00Z"),
        ("2026-12", "2026-11"),
        ("2026-11-02", "2026-11-01"),
        ("2027", "2026"),
        ("today", "yesterday"),
        ("2026-12-01T00:00:00Z", "2026-11"),
        ("2026-11-01T00:00:00.000001Z", "2026-11-01T00:00:00Z"),
        ("2026-11-02T00:00:00+02:00", "2026-11-01T21:00:00Z"),
    ],
)
def test_a_period_that_ends_before_it_begins_is_refused(
    start: str, end: str, command: tuple[str, ...], book: Cli
) -> None:
    ran = book.here(*command, "--from", start, "--to", end, now=NOW)
    assert_refused(ran, 2, "usage", f"--from {start!r} is after --to {end!r}")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--as-of", "2026"), ("version", "actual 2026", "its last month, 2026-12")),
        (("--as-of", "20261101"), ("version", "actual 20261101", "for a date, give 2026-11-01")),
    ],
)
def test_digits_that_are_no_version_are_told_how_to_name_a_time(
    options: tuple[str, ...], words: tuple[str, ...], book: Cli
) -> None:
    assert_refused(book.here("balance", *options), 1, "version_unknown", *words)


@pytest.mark.parametrize("option", ["--as-of", "--known-at", "--from", "--to"])
@pytest.mark.parametrize("text", ["2026-13", "tomorrow", "2026-11-31", "", "last month"])
def test_a_mistyped_one_is_named_and_told_the_forms(option: str, text: str, book: Cli) -> None:
    words = ("expected",) if text[:2] == "20" else ("a date (2026-01-31), a month (2026-01), a year (2026), today",)
    assert_refused(book.here("pnl", option, text), 1, "time_malformed", f"{option}: ", *words)


def test_a_moment_and_a_period_are_not_mixed(book: Cli) -> None:
    assert_refused(book.here("pnl", "--from", "2026", "--as-of", "2026-11"), 2, "usage", "give one of them")


# ---- whose days


@pytest.mark.parametrize("command", [("balance",), ("pnl", "--from", "2026"), ("register",), ("audit", "basis")])
def test_a_zone_that_is_none(command: tuple[str, ...], book: Cli) -> None:
    assert_refused(book.here(*command, "--zone", "Berlin"), 2, "usage", "--zone 'Berlin'", "such as Europe/Berlin")


@ON_A_FILE
def test_the_file_names_a_zone_and_the_option_wins(cli: Cli) -> None:
    cli.append(*(deposit(at, amount, at=at) for at, amount in HAPPENED))
    line = ("balance", "--as-of", "2026-11-01", "-O", "json")
    for zone, more, digits in (
        ("Europe/Berlin", (), "1111"),
        ("Europe/Berlin", ("--zone", "UTC"), "11111"),
        ("Pacific/Honolulu", (), "11111"),
    ):
        cli.write("netbasis.toml", f'db = "ledger.db"\nzone = "{zone}"\n')
        assert cli.run(*line, *more, target=()).json["balances"][0]["total"] == digits
    cli.write("netbasis.toml", 'db = "ledger.db"\nzone = "Mars"\n')
    assert_refused(cli.run(*line, target=()), 2, "usage", "netbasis.toml 'Mars'")


# ---- marks and the clock


def figures(cli: Cli, now: datetime, *options: str) -> Any:
    """What `pnl` prints as JSON."""
    return cli.here("pnl", *options, "-O", "json", now=now).json


NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


@pytest.fixture
def held(empty_cli: Cli) -> Cli:
    """A book that has held 10 XRP since the first of the month, with a mark of 1.5 that is half an hour old at noon."""
    cli = opened(empty_cli, datetime(2026, 11, 1, tzinfo=UTC))
    reward = ("adjustment", "--asset", "XRP", "--amount", "10", "--reason", "reward", "--key", "a")
    record(cli, NOON, *reward, "--at", "2026-11-01T00:00:00Z")
    record(cli, NOON, "mark", "--asset", "XRP", "--price", "1.5", "--at", "2026-11-26T11:30:00Z")
    return cli


def test_a_day_that_has_not_ended_is_judged_as_of_now(held: Cli) -> None:
    """A mark is as old as it is now, and one that is ahead of the clock does not count before its time."""
    ran = held.here("pnl", "--as-of", "today", now=NOON)
    assert any("30 minutes old" in line for line in ran.lines), ran.out
    evening = NOON + timedelta(hours=8)
    record(held, evening, "mark", "--asset", "XRP", "--price", "9", "--at", "2026-11-26T20:00:00Z")
    for options in (("--as-of", "2026-11-30"), ("--known-at", "2026-11-30")):
        assert figures(held, NOON, *options)["total_value"] == "15"
        assert figures(held, evening, *options)["total_value"] == "90"


def test_a_price_at_the_end_of_a_month_that_has_not_ended_is_of_now(held: Cli) -> None:
    found = figures(held, NOON, "--from", "2026-11", "--to", "2026-11", "--price", "XRP=2")
    assert found["end"]["marks"] == [
        {"asset": "XRP", "price": "2", "source": "command line", "at": "2026-11-26T12:00:00.000000Z"}
    ]


# ---- --price


@pytest.mark.parametrize(
    "line",
    [
        ("pnl",),
        ("pnl", "--from", "2026"),
        ("withdraw", "1"),
        ("inject", "1", "--asset", "XRP"),
        ("verify-injection", "1"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("second", ["XRP=2", "XRP=1", "XRP=1.0"])
def test_one_asset_has_one_price(line: tuple[str, ...], second: str, book: Cli) -> None:
    before = book.unchanged()
    ran = book.here(*line, "--price", "XRP=1", "--price", "EUR=2", "--price", second, now=NOW)
    assert_refused(ran, 2, "usage", "more than one price", "XRP")
    assert book.unchanged() == before


# ---- groups


@pytest.mark.parametrize(
    ("group", "commands"),
    [
        ("audit", ["basis"]),
        ("config", ["check"]),
        ("paper", ["run"]),
        ("db", ["upgrade", "current", "history"]),
    ],
)
def test_a_group_alone_says_what_it_has(group: str, commands: list[str], tmp_path: Path) -> None:
    """On stderr, with exit 2; it needs no ledger."""
    ran = Cli(tmp_path, empty=True).run(group)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"Usage: netbasis {group} ")
    ways = " or ".join(f"`netbasis {group} {command}`" for command in commands)
    assert ran.err.splitlines()[-1] == f"error[usage]: choose a command: {ways}"
    assert list(tmp_path.iterdir()) == []
