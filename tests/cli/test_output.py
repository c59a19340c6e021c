"""How texts of somebody's own choice are printed: nothing steers, nothing hides, and programs get UTF-8."""

from __future__ import annotations

import csv
import io
import json
import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cli.shared.output import csv_lines, harmless, json_text
from engine.reports.report import Table
from ledger.events import Mark
from tests.cli_support import ON_A_FILE, Cli, deposit
from tests.engine.importers.legacy.legacy_databases import EXACT

# What a text may hold and nobody sees, or what turns the others around; by its code point.
HIDDEN = (
    0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180E, 0x200B, 0x200C, 0x200D, 0x200E, 0x200F, 0x2028,
    0x2029, 0x202A, 0x202E, 0x2060, 0x2064, 0x2066, 0x2069, 0x206F, 0x3164, 0xFE0F, 0xFEFF, 0xFFA0, 0xFFF9, 0xE0001,
    0xE007F, 0xE01EF,
)  # fmt: skip
FORMULAS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


def csv_cell(cell: object) -> str:
    """A cell as a reader of CSV gets it."""
    *_, row = csv.reader(io.StringIO("\n".join(csv_lines(Table(("cell",), [[cell]])))))
    return row[0]


@pytest.mark.parametrize("code", HIDDEN, ids=hex)
def test_what_nobody_sees_is_shown_escaped_and_kept_for_programs(code: int) -> None:
    text = f"ma{chr(code)}in"
    escaped = f"ma{chr(code).encode('unicode_escape').decode()}in"
    assert harmless(text) == escaped == csv_cell(text)
    assert json.loads(csv_cell([text])) == [text]
    assert csv_cell([text]).isascii()
    assert json.loads(json_text({"name": text})) == {"name": text}


@given(st.text(st.characters(exclude_categories=()), max_size=20))
@example("\x1b]0;title\x07")
@example("a\u2067b")
def test_no_text_has_a_format_or_control_character_when_it_is_shown(text: str) -> None:
    shown = harmless(text)
    assert not {unicodedata.category(character) for character in shown} & {"Cc", "Cs", "Zl", "Zp"}
    # The signs that stand before a number of another script are formats, and are seen.
    seen = {chr(code) for code in (*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD)}
    egyptian = {chr(code) for code in range(0x13430, 0x13440)}
    assert not [one for one in shown if unicodedata.category(one) == "Cf" and one not in seen | egyptian]
    assert harmless(shown) == shown


@pytest.mark.parametrize("text", ["main", "büch", "日本", "RLUSD.rMxCK", "a b", "=", "é", "\u00a0", "a\\u200b"])
def test_a_text_that_can_be_seen_is_shown_as_it_is(text: str) -> None:
    assert harmless(text) == text


@pytest.mark.parametrize("blank", ["", " ", "   ", "\u00a0", "\u3000", "\u2003 "])
@pytest.mark.parametrize("sign", FORMULAS)
def test_no_cell_of_text_is_a_formula(sign: str, blank: str) -> None:
    assert csv_cell(f"{blank}{sign}1+1") == f"'{blank}{sign}1+1"


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("-0.050000", "-0.050000"),
        ("-1.5e+20", "-1.5e+20"),
        ("-0.05+1", "'-0.05+1"),
        ("-", "'-"),
        ("-0.05\n", "'-0.05\\n"),
    ],
)
def test_a_negative_rate_is_a_number_and_no_formula(text: str, cell: str) -> None:
    assert csv_cell(text) == cell


@pytest.mark.parametrize("lead", ["\t", "\r", "\n", "\u200b", "\ufeff", "\x0b"])
def test_a_cell_that_begins_with_what_is_not_seen_begins_with_its_escape_or_an_apostrophe(lead: str) -> None:
    assert csv_cell(f"{lead}=1").startswith(("\\", "'"))


@pytest.mark.parametrize("cell", ["a=1", "main", "1", "", None, 5, True])
def test_other_cells_are_left_as_they_are(cell: object) -> None:
    assert csv_cell([cell]) == json.dumps([cell], separators=(",", ":"))
    assert csv_cell(cell) == ("" if cell is None else str(cell))


NOTE = "grüße €, 日本 ₿\u200b"
LOCALES = {
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "ascii, strict": {"PYTHONIOENCODING": "ascii:strict"},
    "utf-16": {"PYTHONIOENCODING": "utf-16"},
}


@ON_A_FILE
@pytest.mark.parametrize(("locale", "output"), list(zip(LOCALES, ("json", "csv", "ndjson", "json"), strict=True)))
def test_what_programs_read_is_utf_8_whatever_the_locale(locale: str, output: str, cli: Cli) -> None:
    """A stream of rows, and where every character counts a document. `Cli.run` fails on what is not UTF-8."""
    cli.append(deposit("k", source_note=NOTE, actor="=Žofie"))
    command = ("pnl",) if locale == "utf-16" else ("audit", "basis")
    ran = cli.run(*command, "-O", output, env=LOCALES[locale])
    assert ran == cli.here(*command, "-O", output)
    assert locale == "utf-16" or (NOTE if output != "csv" else harmless(NOTE)) in ran.out


@ON_A_FILE
def test_a_refusal_for_programs_is_utf_8_too(cli: Cli) -> None:
    bad = json.dumps({"type": "deposit", "key": "k", "asset": "ŽŽ", "amount": "日本"}, ensure_ascii=False).encode()
    ran = cli.run("append", "--file", "-", "-O", "json", stdin=bad, env=LOCALES["cp1252"])
    assert (ran.code, "日本" in ran.json["actual"]) == (1, True)


@ON_A_FILE
def test_text_stays_in_the_terminals_encoding(cli: Cli) -> None:
    cli.append(deposit("k", source_note=NOTE))
    shown = cli.run("audit", "basis", env={"PYTHONIOENCODING": "ascii"}).out
    assert "gr\\xfc\\xdfe \\u20ac, \\u65e5\\u672c \\u20bf\\u200b" in shown


def test_a_hidden_character_in_a_name_is_seen_wherever_it_is_shown(empty_cli: Cli) -> None:
    """A book that looks like `main` and is another; an asset that is shown from right to left; a key and a note."""
    book, asset = "ma\u200bin", "XRP\u202egk"
    target = ("--db", empty_cli.location, "--book", book)
    made = empty_cli.here("init", "--numeraire", f"N\u2066{asset}", "--base-asset", asset, target=target)
    assert (made.code, "ma\\u200bin" in made.out) == (0, True)
    mark = Mark(asset=asset, price="2", key="k\u200e", source_note="\u061cn")  # type: ignore[arg-type]
    flags = [
        part
        for name in ("asset", "key", "source_note")
        for part in (f"--{name.replace('_', '-')}", getattr(mark, name))
    ]
    assert empty_cli.here("append", "mark", *flags, "--price", "2", target=target).code == 0
    assert empty_cli.here("inject", "5", target=target).code == 0
    for command in (
        ("balance",), ("pnl",), ("register",), ("audit", "basis"), ("summary",), ("check",), ("head",),
        ("withdraw", "1", "--dry-run"), ("inject", "1", "--dry-run"), ("backfill-basis", "--amount", "1", "--even-so"),
        ("verify-injection", "1"), ("rebuild",), ("append", "fill", "--side", "x"), ("reverse", "3", "--dry-run"),
    ):  # fmt: skip
        ran = empty_cli.here(*command, target=target)
        assert ran.code in (0, 1, 2)
        assert not set(ran.out + ran.err) & set("\u200b\u202e\u2066\u200e\u061c"), command


@ON_A_FILE
def test_a_path_that_is_no_text_can_be_printed(cli: Cli, tmp_path: Path) -> None:
    name = os.fsdecode(b"old\xff.db")
    EXACT["plain"](tmp_path / name)
    ran = cli.run("import", "legacy-db", name, "--dry-run", "-O", "json")
    assert (ran.code, ran.json["file"]) == (0, "old\\udcff.db")
    assert "old\\udcff.db" in cli.run("import", "legacy-db", name).out
