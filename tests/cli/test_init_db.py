"""`init`, `db`, and which database and book a command is about."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from ledger.database.connections import without_password
from migrations import REVISIONS
from tests.cli_support import LEDGER, ON_A_FILE, Cli, assert_refused, ended, sha256
from tests.engines import raw_access

pytestmark = pytest.mark.both_engines

NEWEST = REVISIONS[-1]


def test_init_makes_the_ledger_and_opens_the_book_main(empty_cli: Cli, tmp_path: Path) -> None:
    ran = empty_cli.run("init", "-O", "json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.json == {
        "book": "main",
        "opened": True,
        "mode": "live",
        "numeraire": "RLUSD",
        "base_asset": "XRP",
        "withdrawal_policy": "profit_first/1",
    }
    assert [path.name for path in tmp_path.iterdir()] == ([LEDGER] if empty_cli.engine == "sqlite" else [])
    assert empty_cli.run("head").lines[0].startswith("1:")


def test_init_opens_a_book_on_the_terms_that_are_given(empty_cli: Cli) -> None:
    terms = ["--mode", "paper", "--numeraire", "USDT", "--base-asset", "BTC", "--policy", "profit_first/1"]
    ran = empty_cli.run("--book", "second", "init", *terms)
    assert ran.lines == [f"opened the book: second (paper, numeraire USDT) in {without_password(empty_cli.named)}"]
    assert empty_cli.run("pnl", "-O", "json").json["numeraire"] == "USDT"


@pytest.mark.parametrize("again", [(), ("--mode", "live", "--numeraire", "RLUSD", "--base-asset", "XRP")])
def test_init_again_says_so_and_changes_nothing(again: tuple[str, ...], cli: Cli) -> None:
    before = cli.unchanged()
    ran = cli.run("init", *again)
    assert (ran.code, len(ran.lines)) == (0, 1)
    assert ran.lines[0].startswith("the book is open already; nothing was changed: main (live, numeraire RLUSD)")
    assert cli.here("init", *again, "-O", "json").json["opened"] is False
    assert cli.unchanged() == before


def test_init_again_is_not_compared_with_what_is_live_by_default(empty_cli: Cli) -> None:
    empty_cli.here("init", "--mode", "paper", "--numeraire", "USDT")
    assert empty_cli.here("init").code == 0


def test_init_again_on_other_terms_is_a_conflict(cli: Cli) -> None:
    before = cli.unchanged()
    for field, other in (("mode", "paper"), ("numeraire", "USDT"), ("base_asset", "BTC")):
        ran = cli.run("init", f"--{field.replace('_', '-')}", other)
        assert_refused(ran, 3, f"exists_with_different_{field}", "'main' is open already", "--book NAME init")
        assert cli.unchanged() == before, field


REFUSED_INITS = [
    (("init", "--policy", "profit_first/9"), 1, "policy_unknown"),
    (("init", "--numeraire", "RL USD"), 1, "asset_has_blank"),
    (("init", "--base-asset", ""), 1, "text_empty"),
    (("init", "--mode", "real"), 2, "usage"),
    (("--book", "x" * 65, "init"), 1, "text_too_long"),
    (("--book", "", "init"), 1, "text_empty"),
    (("--book", "a\nb", "init"), 1, "text_has_control_character"),
    (("--book", "\udcff", "init"), 1, "text_has_lone_surrogate"),
]


def test_an_init_that_is_refused_makes_no_file(empty_cli: Cli, tmp_path: Path) -> None:
    for arguments, code, error in REFUSED_INITS:
        assert_refused(empty_cli.here(*arguments, target=("--db", empty_cli.location)), code, error)
        assert list(tmp_path.iterdir()) == [], arguments


def test_two_inits_at_once_make_one_book(empty_cli: Cli) -> None:
    with empty_cli.start("init") as one, empty_cli.start("init") as other:
        both = [ended(one), ended(other)]
    assert [ran.code for ran in both] == [0, 0]
    assert sorted(ran.out.split(":")[0] for ran in both) == [
        "opened the book",
        "the book is open already; nothing was changed",
    ]
    assert empty_cli.head() == 1


def test_somebody_elses_database_is_left_alone(empty_cli: Cli) -> None:
    with raw_access(empty_cli.location) as raw:
        raw.execute("CREATE TABLE contacts (name text)")
    before = empty_cli.unchanged()
    for command in (("init",), ("db", "upgrade"), ("balance",)):
        assert_refused(empty_cli.here(*command), 4, "not_a_ledger", "contacts")
        assert empty_cli.unchanged() == before, command


@ON_A_FILE
@pytest.mark.parametrize("command", [("init",), ("db", "upgrade"), ("balance",)], ids=" ".join)
def test_a_file_that_is_no_database_is_left_alone(command: tuple[str, ...], empty_cli: Cli) -> None:
    empty_cli.write(LEDGER, "dear diary, today I sold everything\n" * 100)
    before = sha256(empty_cli.db)
    assert_refused(empty_cli.here(*command), 4, "not_a_database")
    assert sha256(empty_cli.db) == before


@ON_A_FILE
def test_an_empty_file_is_a_place_for_a_new_ledger(empty_cli: Cli) -> None:
    empty_cli.write(LEDGER, b"")
    assert_refused(empty_cli.here("balance"), 4, "not_a_ledger", "init")
    assert empty_cli.db.stat().st_size == 0
    assert empty_cli.here("init").code == 0


# Which database, which book


@ON_A_FILE
def test_a_database_must_be_named(cli: Cli) -> None:
    assert_refused(cli.run("head", target=()), 2, "usage", "--db", "NETBASIS_DB")
    assert_refused(cli.run("head", target=("--db", "")), 2, "usage", "--db", "NETBASIS_DB")


@pytest.fixture
def three(empty_cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Three ledgers, each with one book that tells which one it is; the last one is what `netbasis.toml` names."""
    for name in ("flag", "environment", "file"):
        (tmp_path / f"{name}.db").write_bytes(_ledger_of(name))
    empty_cli.write("netbasis.toml", 'db = "file.db"\nbook = "file"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NETBASIS_DB", raising=False)
    monkeypatch.delenv("NETBASIS_BOOK", raising=False)
    return empty_cli


@cache
def _ledger_of(book: str) -> bytes:
    with TemporaryDirectory() as folder:
        made = Cli(Path(folder), empty=True)
        assert made.here("init", target=("--db", made.location, "--book", book)).code == 0
        return made.db.read_bytes()


ENVIRONMENT = {"NETBASIS_DB": "environment.db", "NETBASIS_BOOK": "environment"}
FLAGS = ("--db", "flag.db", "--book", "flag")


@ON_A_FILE
def test_the_flag_wins_over_the_environment_and_that_over_the_file(three: Cli) -> None:
    head = ("head", "-O", "json")
    assert three.run(*head, target=FLAGS, env=ENVIRONMENT).json["book"] == "flag"
    assert three.run(*head, target=(), env=ENVIRONMENT).json["book"] == "environment"
    # An empty variable is one that is not set.
    assert three.run(*head, target=(), env=dict.fromkeys(ENVIRONMENT, "")).json["book"] == "file"


@ON_A_FILE
def test_database_and_book_are_each_decided_by_themselves(three: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The flag's database has no book of the environment's name."""
    monkeypatch.setenv("NETBASIS_BOOK", "environment")
    assert_refused(three.here("head", target=("--db", "flag.db")), 1, "book_unknown", "'environment'", "'flag'")


@ON_A_FILE
def test_the_file_is_found_from_a_folder_below_and_its_path_is_relative_to_it(
    three: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    (three.folder / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(three.folder / "a" / "b")
    assert three.here("head", "-O", "json", target=()).json["book"] == "file"


@ON_A_FILE
@pytest.mark.parametrize("content", ["db = ", "db = 5\n", 'dbs = "x"\n', b"\xff"])
def test_a_settings_file_that_is_wrong_is_said(content: str | bytes, three: Cli) -> None:
    three.write("netbasis.toml", content)
    ran = three.here("head", target=())
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error[usage]: ")
    assert "netbasis.toml" in ran.err


def test_one_book_needs_no_name_and_of_several_one_must_be_said(cli: Cli) -> None:
    alone = ("--db", cli.location)
    assert cli.here("head", "-O", "json", target=alone).json["book"] == "main"
    cli.here("init", target=(*alone, "--book", "second"))
    for command in ("head", "balance", "rebuild"):  # check takes all books
        assert_refused(cli.here(command, target=alone), 1, "book_required", "'main'", "'second'", "--book")
    assert cli.here("head", "-O", "json", target=(*alone, "--book", "second")).json["book"] == "second"


@pytest.mark.parametrize("command", [("head",), ("append", "deposit", "--asset", "RLUSD", "--amount", "1")])
def test_a_book_that_is_not_there_is_said(command: tuple[str, ...], cli: Cli) -> None:
    """An empty name, such as of a shell variable that is not set, is not taken for "the one book there is"."""
    before = cli.unchanged()
    for name in ("mian", "", "x" * 65, "a\x1b[31m", "\udcff"):
        ran = cli.here(*command, target=("--db", cli.location, "--book", name))
        assert_refused(ran, 1, "book_unknown", "expected one of the existing books: 'main'", f"actual {name!r}")
        assert "\x1b" not in ran.err
        assert cli.unchanged() == before, name


# The schema


def test_db_current_and_history(cli: Cli) -> None:
    assert cli.here("db", "current").lines == [f"{NEWEST} (newest: {NEWEST})"]
    assert cli.run("db", "current", "-O", "json").json == {"current": NEWEST, "newest": NEWEST}
    revisions = cli.run("db", "history", "-O", "json").json["revisions"]
    assert [(step["id"], step["applied"]) for step in revisions] == [(revision, True) for revision in REVISIONS]
    lines = cli.here("db", "history").lines
    assert [line.split()[:2] for line in lines[1:]] == [[revision, "applied"] for revision in REVISIONS]


def test_db_upgrade_migrates_what_is_empty_and_leaves_the_newest_schema_alone(empty_cli: Cli) -> None:
    if empty_cli.engine == "sqlite":
        empty_cli.write(LEDGER, b"")
    assert empty_cli.here("db", "current").lines == [f"no schema yet (newest: {NEWEST})"]
    assert empty_cli.run("db", "upgrade").lines == [f"upgraded from nothing to {NEWEST}"]
    before = empty_cli.unchanged()
    assert empty_cli.here("db", "upgrade", "-O", "json").json == {"before": NEWEST, "after": NEWEST}
    assert empty_cli.here("db", "upgrade").lines == [f"already at {NEWEST}"]
    assert empty_cli.unchanged() == before
    # A schema without a book is a ledger that has none yet.
    assert_refused(empty_cli.here("head", target=("--db", empty_cli.location)), 1, "book_unknown", "netbasis init")


def set_revision(cli: Cli, revision: str) -> None:
    """Make the ledger one of another schema."""
    with raw_access(cli.location) as raw:
        raw.execute("UPDATE alembic_version SET version_num = ?", [revision])


EVERY_COMMAND = [
    ("init",),
    ("append", "deposit", "--asset", "RLUSD", "--amount", "1"),
    ("append", "--file", "/dev/null"),
    ("balance",),
    ("pnl",),
    ("audit", "basis"),
    ("rebuild",),
    ("rebuild", "--dry-run"),
    ("check",),
    ("head",),
    ("db", "upgrade"),
]


def test_a_newer_schema_is_left_alone(cli: Cli) -> None:
    set_revision(cli, "9999")
    before = cli.contents()
    for command in EVERY_COMMAND:
        assert_refused(cli.here(*command), 4, "schema_newer", "actual '9999'")
        assert cli.contents() == before, command


@ON_A_FILE
def test_a_path_that_is_not_there_is_said_and_creates_nothing(empty_cli: Cli, tmp_path: Path) -> None:
    for command in EVERY_COMMAND[1:-1]:
        assert_refused(empty_cli.here(*command), 4, "database_missing", LEDGER, "netbasis init")
        assert list(tmp_path.iterdir()) == [], command


@pytest.mark.parametrize("command", [("db", "current"), ("db", "history")], ids=" ".join)
def test_a_path_that_is_not_there_has_no_schema(command: tuple[str, ...], tmp_path: Path) -> None:
    assert_refused(Cli(tmp_path, empty=True).here(*command), 4, "database_missing")
    assert list(tmp_path.iterdir()) == []


def test_db_upgrade_may_make_the_file(empty_cli: Cli) -> None:
    """As init may, and no other command; what it makes has no book yet."""
    assert empty_cli.here("db", "upgrade").code == 0
    assert_refused(empty_cli.here("head", target=("--db", empty_cli.location)), 1, "book_unknown", "netbasis init")


@pytest.mark.parametrize(
    "location", ["missing/ledger.db", "x" * 300, "x/" * 3000, "postgresql+psycopg://bot:s3cret@host/db", "."]
)
@pytest.mark.parametrize("command", ["init", "head"])
def test_a_location_that_cannot_be_is_said(
    command: str, location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = Cli(tmp_path, empty=True).here(command, target=("--db", location))
    assert (ran.code, ran.out) == (4, "")
    assert ran.err.startswith("error[")
    assert "s3cret" not in ran.err
    assert list(tmp_path.iterdir()) == []


@ON_A_FILE
@pytest.mark.parametrize("name", ["a b.db", "ledger?mode=memory", "l%20.db", "büch.db", "#.db", "\udcff.db"])
def test_a_file_may_have_any_name(name: str, empty_cli: Cli, tmp_path: Path) -> None:
    empty_cli.location = str(tmp_path / name)
    assert empty_cli.here("init").code == 0
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert empty_cli.here("head").code == 0


@ON_A_FILE
def test_a_name_that_is_no_text_is_printed_all_the_same(empty_cli: Cli) -> None:
    ran = empty_cli.run("init", target=("--db", "\udcff.db"))
    assert (ran.code, ran.lines[0].endswith("in \\udcff.db")) == (0, True)


# The command itself


@ON_A_FILE
def test_version_and_help(empty_cli: Cli) -> None:
    assert empty_cli.run("--version", target=()).out.startswith("netbasis ")
    shown = empty_cli.run("--help", target=())
    assert shown.code == 0
    assert shown == empty_cli.run("-h", target=())
    for word in ("init", "append", "balance", "pnl", "audit", "rebuild", "check", "head", "db", "Exit codes"):
        assert word in shown.out


def test_an_unknown_command_is_wrong_usage(tmp_path: Path) -> None:
    assert_refused(Cli(tmp_path).run("balnace"), 2, "usage", "balnace", "--help")


@ON_A_FILE
def test_a_name_that_the_terminals_encoding_lacks_is_shown_escaped(empty_cli: Cli) -> None:
    ran = empty_cli.run("--book", "büch", "init", env={"PYTHONIOENCODING": "ascii"})
    assert (ran.code, "b\\xfcch" in ran.out) == (0, True)
