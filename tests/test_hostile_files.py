"""Whatever stands in a file or in JSON on the command line: its reader answers, or refuses it; nothing else escapes."""

from __future__ import annotations

import gzip
import json
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import currently_in_test_context, example, given, settings
from hypothesis import event as seen
from hypothesis import strategies as st

from cli.shared.config import NAME, read_settings
from cli.shared.usage import WrongUsage
from engine.importers.legacy.chain import Holds, chains_of
from engine.importers.legacy.copying import copied_aside
from engine.importers.legacy.events import EarlierImports, plan_events
from engine.importers.legacy.rows import ReadingOptions, read_legacy
from engine.paper.strategy_config import parse_strategy, read_strategy
from engine.paper.tape import read_tape
from ledger.book import Book
from ledger.errors import NetbasisError, Refusal, Refused
from ledger.events import EVENT_TYPES
from ledger.parsing import parse_json, parse_line
from tests.cli_support import ON_A_FILE, Cli, assert_refused
from tests.engine.importers.legacy.legacy_databases import CAPITAL, FILLS, LEDGER, STARTING_VALUE_KEY, STATE

MISTAKES = (NetbasisError, WrongUsage)
DEEP = 50_000


def refused(read: Callable[[], object]) -> bool:
    """Whether a reader refuses what it is given; anything but an error of netbasis fails the test."""
    mistake: Exception | None = None
    try:
        read()
    except MISTAKES as error:
        mistake = error
    if currently_in_test_context():
        seen(getattr(mistake, "code", "usage") if mistake else "read")
    assert len(str(mistake)) < 1500, "an error is read by a person"
    return mistake is not None


# Events as NDJSON, evidence on the command line

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=()), max_size=9)
)
NESTED = st.recursive(
    SCALARS, lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(max_size=5), some, max_size=3)
)


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """An event of a type, with some of its fields and anything in them, and seldom a field of none."""
    kind = draw(st.sampled_from(sorted(EVENT_TYPES)))
    names = st.sampled_from([*EVENT_TYPES[kind].model_fields] * 5 + ["colour"])
    fields = draw(st.dictionaries(names, NESTED, max_size=6))
    return json.dumps({**fields, "type": kind}).encode("utf-8", "surrogatepass")


@given(st.binary(max_size=200))
def test_any_bytes_as_a_line(line: bytes) -> None:
    refused(lambda: parse_line(line))


@settings(max_examples=settings().max_examples * 2)
@given(lines())
def test_any_fields_as_a_line(line: bytes) -> None:
    refused(lambda: parse_line(line))


MANY = ",".join(f'"f{number}":"1"' for number in range(70_000))
UNKNOWN = ",".join(f'"f{number}":"1"' for number in range(20_000))


@pytest.mark.parametrize(
    ("line", "refusal"),
    [
        (f'{{{MANY},"f69999":"2"}}', Refusal.FIELD_DUPLICATE),
        (f'{{"type":"deposit",{UNKNOWN}}}', Refusal.FIELD_UNKNOWN),
        (f'{{"type":"withdrawal","evidence":{{{UNKNOWN}}}}}', Refusal.FIELD_UNKNOWN),
        ("[" * DEEP, Refusal.NOT_JSON),
        ('{"a":' * DEEP, Refusal.NOT_JSON),
        (f'{{"type":"deposit","amount":{"9" * 900_000}}}', Refusal.FIELD_REQUIRED),
    ],
    ids=["a field twice among 70,000", "20,000 fields", "20,000 fields within", "lists", "objects", "digits"],
)
def test_a_line_that_costs_much_is_refused_at_once(line: str, refusal: Refusal) -> None:
    """A name that was counted once for each name took minutes; here it is linear."""
    with pytest.raises(Refused) as raised:
        parse_line(line.encode())
    assert raised.value.refusal is refusal


@given(st.text(st.characters(exclude_categories=()), max_size=50) | NESTED.map(json.dumps))
def test_any_text_as_json(text: str) -> None:
    refused(lambda: parse_json(text))


# netbasis.toml

TOML = {
    "nested brackets": b"db = " + b"[" * DEEP,
    "nested tables": b"[" + b"a." * DEEP + b"a]\n",
    "nested inline tables": b"db = " + b"{a=" * DEEP,
    "an integer of 10,000 digits": b"db = " + b"9" * 10_000,
    "a float of 10,000 digits": b"db = 0." + b"9" * 10_000,
    "a date that there is not": b"db = 2026-13-45",
    "a year of no calendar": b"db = 0000-01-01",
    "not UTF-8": b'db = "\xff"',
    "half a character": b'db = "\\ud800"',
    "another code point": b'db = "\\UFFFFFFFF"',
    "another encoding": 'db = "a"'.encode("utf-16"),
    "a NUL in a path": b'db = "a\\u0000b"',
    "a NUL": b"\0",
    "a megabyte": b"#" * (1 << 20),
    "another key": b'colour = "red"',
    "a number": b"db = 5",
}


@pytest.mark.parametrize("name", TOML)
def test_settings_that_cannot_be_read_are_wrong_usage_and_name_the_file(name: str, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(TOML[name])
    with pytest.raises(WrongUsage, match=NAME) as raised:
        read_settings(tmp_path)
    assert len(str(raised.value)) < 600


@ON_A_FILE
def test_settings_that_cannot_be_read_end_a_command_with_exit_2(cli: Cli) -> None:
    for name in ("nested brackets", "an integer of 10,000 digits", "a NUL in a path"):
        cli.write(NAME, TOML[name])
        assert_refused(cli.run("balance", target=()), 2, "usage", NAME)
    (cli.folder / NAME).unlink()


TOML_WORDS = [
    "db",
    "book",
    "=",
    '"',
    "'''",
    "[",
    "]",
    "{",
    "}",
    "\\u",
    "\n",
    ".",
    "1",
    "0x",
    "e9",
    "nan",
    "2026-01-05",
    "T",
    "#",
    "é",
]


@given(
    st.binary(max_size=60)
    | st.lists(st.sampled_from(TOML_WORDS), max_size=25).map(lambda words: "".join(words).encode())
)
def test_any_settings_at_all(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as made:
        (Path(made) / NAME).write_bytes(content)
        refused(lambda: read_settings(Path(made)))


# A strategy

BOMB = b"a: &a [x,x]\n" + b"".join(
    b"%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c]\n" % (n, n, *([n - 1] * 6)) for n in range(98, 123)
)
DEEP_IN_YAML = 1_000  # three times what is read; the cost grows with the square
YAML = {
    "nested lists": b"[" * DEEP_IN_YAML,
    "nested mappings": b"{" * DEEP_IN_YAML,
    "nested blocks": b"- " * 30_000,
    "nested questions": b"? " * 30_000,
    "an alias bomb": BOMB,
    "an alias bomb as a setting": b"strategy:\n  base_size_rlusd: 1\n" + BOMB.replace(b"\n", b"\n  "),
    "an alias of itself": b"&a [*a]",
    "a merge of itself": b"strategy: &a\n  <<: *a\n",
    "a merge bomb": b"strategy: &a\n" + b"".join(b"  <<: *a\n" for _ in range(1000)),
    "a version of 6000 digits": b"%YAML 1." + b"9" * 6000 + b"\n---\nstrategy: 1",
    "a code point of none": b'"\\UFFFFFFFF"',
    "half a character": b'strategy: "\\ud800"',
    "an object of Python": b"!!python/object/apply:os.system [x]",
    "a key that is a list": b"[a, b]: 1",
    "another encoding": "strategy: 1".encode("utf-16"),
    "not UTF-8": b"strategy: \xff\xfe\xfa",
    "a NUL": b"\0",
    "a name of 60,000 characters": b"*" + b"a" * 60_000,
    "more than a strategy is long": b"#" * (1 << 20),
    "nothing": b"",
}


@pytest.mark.parametrize("name", YAML)
def test_a_strategy_that_cannot_be_read_is_refused(name: str) -> None:
    with pytest.raises(Refused) as raised:
        parse_strategy(YAML[name], name="paper.yaml")
    assert raised.value.where is not None
    assert raised.value.where.startswith("'paper.yaml'")
    assert len(str(raised.value)) < 1000


SETTINGS = ["strategy", "base_size_rlusd", "max_rlusd_exposure", "anchor_max_divergence_bps", "half_spread_bps"]
YAML_WORDS = [
    *SETTINGS,
    ":",
    ": ",
    "\n",
    "\n  ",
    "- ",
    "? ",
    "&a",
    "*a",
    "!!int",
    "<<",
    "|",
    ">",
    "'",
    '"',
    "{",
    "}",
    "[",
    "]",
    "%YAML",
    "---",
    "...",
    "\\U0",
    "15.0",
    "120",
    "1e999",
    "1:25",
    "~",
    "\t",
    "#",
    "é",
]
GOOD = b"strategy:\n  base_size_rlusd: 15.0\n  max_rlusd_exposure: 120\n  anchor_max_divergence_bps: 10.0\n"


@settings(max_examples=settings().max_examples * 4)
@given(
    st.binary(max_size=60)
    | st.lists(st.sampled_from(YAML_WORDS), max_size=40).map(lambda words: "".join(words).encode())
)
@example(GOOD)
def test_any_strategy_at_all(document: bytes) -> None:
    refused(lambda: parse_strategy(document, name="paper.yaml"))


@given(st.dictionaries(st.sampled_from(SETTINGS[1:]), st.text(max_size=12) | st.decimals().map(str), max_size=5))
def test_any_settings_of_a_strategy(given_settings: dict[str, str]) -> None:
    """JSON is YAML."""
    refused(lambda: parse_strategy(json.dumps({"strategy": given_settings}).encode(), name="paper.yaml"))


# A tape

TAPE_WORDS = [
    "at,price,size\n",
    "at,bid,ask\n",
    "2026-01-05T12:00:00Z",
    ",",
    "1.33",
    "1e9",
    "-1",
    "nan",
    '"',
    '""',
    "\n",
    "\r",
    "\0",
    "9" * 50,
    "\ufeff",
    "é",
]
TAPES = st.binary(max_size=80) | st.lists(st.sampled_from(TAPE_WORDS), max_size=30).map(
    lambda words: "".join(words).encode()
)


@settings(max_examples=settings().max_examples * 4)
@given(TAPES, st.booleans(), st.integers(0, 60), st.integers(0, 255))
def test_any_tape_at_all(content: bytes, is_compressed: bool, place: int, byte: int) -> None:
    """Plain, or compressed and then changed at one place."""
    if is_compressed:
        packed = bytearray(gzip.compress(content, mtime=0))
        packed[place % len(packed)] = byte
        content = bytes(packed)
    with tempfile.TemporaryDirectory() as made:
        path = Path(made) / "tape.csv"
        path.write_bytes(content)
        refused(lambda: list(read_tape(path).ticks()))


def test_a_cell_that_never_ends_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tape.csv"
    path.write_bytes(b'at,price,size\n"' + b"x\n" * 200_000)
    with pytest.raises(Refused) as raised:
        read_tape(path)
    assert raised.value.refusal is Refusal.TAPE_MALFORMED


@pytest.mark.parametrize("read", [read_tape, read_strategy])
def test_a_nul_in_a_path_is_refused(read: Callable[[Path], object], tmp_path: Path) -> None:
    with pytest.raises(Refused, match="NUL"):
        read(tmp_path / "a\0b")


def test_a_nul_in_a_path_on_the_command_line_is_an_error(cli: Cli) -> None:
    for line in (
        ("append", "--file", "a\0b"),
        ("import", "legacy-db", "a\0b"),
        ("config", "check", "a\0b"),
        ("summary", "--plot", "a\0.png"),
        ("exposure", "--config", "a\0b"),
        ("paper", "run", "--tape", "a\0b", "--config", "a\0b"),
        ("copy", "--to", "a\0b"),
        ("append", "--file", "-", "--rejects", "a\0b"),
    ):
        ran = cli.here(*line)
        assert ran.code in (1, 2, 4), line
        assert ran.err.startswith("error["), line
        assert "\0" not in ran.err
    assert cli.here("head", target=("--db", "a\0b")).code == 4
    assert cli.here("init", target=("--db", "a\0b")).code == 4


# An old database

CELLS = (
    st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.binary(max_size=6)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
    | st.sampled_from(
        [
            "deposit",
            "withdrawal",
            "basis_commit",
            "buy",
            "sell",
            "RLUSD",
            "XRP",
            "2025-11-03T08:00:00Z",
            "1.5",
            1,
            0,
            50.0,
            1762156800,
            "9" * 5000,
            "1e999",
            "\0",
        ]
    )
)
COLUMNS = {
    CAPITAL: (
        "id",
        "event_type",
        "asset",
        "amount",
        "price_rlusd",
        "basis_delta_rlusd",
        "source_note",
        "tx_hash",
        "ts",
    ),
    LEDGER: ("id", "asset", "new_balance", "change", "fill_id", "ts"),
    FILLS: ("id", "session_id", "side", "price", "quantity", "fee", "fee_asset", "ts"),
    STATE: ("key", "value"),
}
PLAUSIBLE = {
    "event_type": st.sampled_from(["deposit", "withdrawal", "basis_commit"]),
    "asset": st.sampled_from(["RLUSD", "XRP"]),
    "side": st.sampled_from(["buy", "sell"]),
    "ts": st.integers(1762156800, 1762160000),
    "key": st.just(STARTING_VALUE_KEY),
    "id": st.integers(1, 99),
    **dict.fromkeys(
        ("amount", "price", "price_rlusd", "quantity", "new_balance", "change"),
        st.floats(0, 1e9) | st.integers(0, 1000),
    ),
}


@st.composite
def old_rows(draw: st.DrawFn) -> dict[str, list[tuple[Any, ...]]]:
    """Rows of which most cells could be, and some could not."""
    rows: dict[str, list[tuple[Any, ...]]] = {}
    for table, columns in COLUMNS.items():
        count = draw(st.integers(0, 3))
        is_odd = draw(st.booleans())
        rows[table] = [
            tuple(draw(CELLS if is_odd else PLAUSIBLE.get(name, st.none())) for name in columns) for _ in range(count)
        ]
    return rows


def read_old(path: Path) -> None:
    """All that an import does with an old database, but for writing."""
    how = ReadingOptions(numeraire="RLUSD", base_asset="XRP", starting_value_key=STARTING_VALUE_KEY)
    with copied_aside(str(path)) as copy:
        rows = read_legacy(copy, str(path), how)
    for holds in Holds:
        plan_events(
            rows, chains_of(rows, holds), Book("main", "live", "RLUSD", "XRP", "profit_first/1"), EarlierImports()
        )


@settings(max_examples=settings().max_examples * 2)
@given(old_rows())
def test_any_cells_of_an_old_database(rows: dict[str, list[tuple[Any, ...]]]) -> None:
    with tempfile.TemporaryDirectory() as made:
        path = Path(made) / "old.db"
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("PRAGMA synchronous = OFF")
            for table, columns in COLUMNS.items():
                connection.execute(f"CREATE TABLE {table} ({', '.join(columns)})")
                connection.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})", rows[table])
        refused(lambda: read_old(path))


@settings(max_examples=settings().max_examples * 2)
@given(st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), max_size=8), st.booleans())
def test_an_old_database_with_any_bytes_changed(changes: list[tuple[int, int]], in_the_schema: bool) -> None:
    with tempfile.TemporaryDirectory() as made:
        path = Path(made) / "old.db"
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("PRAGMA synchronous = OFF")
            for table, columns in COLUMNS.items():
                connection.execute(f"CREATE TABLE {table} ({', '.join(columns)})")
            connection.execute(f"INSERT INTO {FILLS} VALUES (1, 's', 'buy', 1.3, 10, NULL, NULL, 1762156800)")
        content = bytearray(path.read_bytes())
        for place, byte in changes:
            content[place % (4096 if in_the_schema else len(content))] = byte
        path.write_bytes(content)
        refused(lambda: read_old(path))


REST = "1 AS id, 2 AS price, 3 AS quantity, 4 AS ts"
SCHEMAS = {
    "a view that fails": f"CREATE VIEW {FILLS} AS SELECT abs(-9223372036854775808) AS side, {REST}",
    "a view of itself": f"CREATE VIEW {FILLS} AS SELECT * FROM {FILLS}",
    "a view that reads a file": f"CREATE VIEW {FILLS} AS SELECT load_extension('x') AS side, {REST}",
    "names with quotes": 'CREATE TABLE fills ("id", "si""de", "price", "quantity", "ts")',
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_an_old_schema_that_somebody_prepared(name: str, tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(SCHEMAS[name])
    assert refused(lambda: read_old(path))
