"""The JSON Schema of events agrees with what a line of a file is taken for, and with every example of the docs."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from cli.main import run
from docs import event_pages
from docs.event_pages import PAGES
from ledger.book import Book
from ledger.errors import Refusal, Refused
from ledger.event_schema import event_schema
from ledger.events import EVENT_TYPES
from ledger.given import CORRECTS_KEY, REVERSES_KEY, parse_file_line
from ledger.idempotency import has_key
from ledger.rules import complete
from tests.support import ROOT, SMALLEST, a_share_of

BOOK = Book("main", "live", "RLUSD", "XRP", "profit_first/1")
# What only the book, the calendar or the value of a number with an exponent can tell.
BEYOND_A_SCHEMA = {
    Refusal.BOOK_DIFFERS,
    Refusal.ASSETS_MUST_DIFFER,
    Refusal.ASSET_MUST_BE_NUMERAIRE,
    Refusal.ASSET_MUST_NOT_BE_NUMERAIRE,
    Refusal.PRICE_REQUIRED,
    Refusal.PRICE_MUST_BE_ABSENT,
    Refusal.VALUE_OUT_OF_RANGE,
    Refusal.AMOUNT_MUST_EQUAL_BASIS_DELTA,
}


@cache
def validator() -> Draft202012Validator:
    schema = event_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@cache
def validator_of(kind: str) -> Draft202012Validator:
    """The same schema for one type, which takes a ninth of the time."""
    return Draft202012Validator({**event_schema(), "oneOf": [{"$ref": f"#/$defs/{kind}"}]})


def refusal_of(line: str) -> Refusal | None:
    """Why `append --file` refuses a line before it has looked at the log; None when it takes it."""
    try:
        found = parse_file_line(line.encode("utf-8", "surrogatepass"))
        if not has_key(found.event):
            return Refusal.KEY_REQUIRED
        complete(found.event, BOOK)
    except Refused as refused:
        return refused.refusal
    return None


def agrees(fields: dict[str, Any]) -> None:
    """The schema and the reader say the same of a line, except for what a schema cannot know."""
    line = json.dumps(fields)
    refusal = refusal_of(line)
    if refusal in BEYOND_A_SCHEMA:
        return
    assert validator_of(fields["type"]).is_valid(fields) == (refusal is None), (line, refusal)


def examples_of_the_docs() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every event in the docs: on the pages of the types, as JSON in any page, as a dict in an example in Python."""
    for kind, page in PAGES.items():
        for number, fields in enumerate([page.example, *page.before]):
            yield f"{kind}-{number}", fields
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = path.read_text("utf-8")
        for match in re.finditer(r'\{ ?"type"', text):
            try:
                fields, _ = json.JSONDecoder().raw_decode(text, match.start())
            except json.JSONDecodeError:
                continue  # a piece of Python, or one with dots in it
            if fields["type"] in EVENT_TYPES:
                yield f"{path.name}:{text.count(chr(10), 0, match.start()) + 1}", fields
        for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
            for node in ast.walk(ast.parse(code)):
                if isinstance(node, ast.Dict) and '"type"' in ast.unparse(node).replace("'", '"'):
                    yield path.name, ast.literal_eval(node)


EXAMPLES = list(examples_of_the_docs())


@pytest.mark.parametrize(("place", "fields"), EXAMPLES, ids=[place for place, _ in EXAMPLES])
def test_an_example_of_the_docs_is_valid(place: str, fields: dict[str, Any]) -> None:
    if fields.get("base_amount") == "ten":  # the README shows how it is refused
        assert not validator().is_valid(fields)
        return
    # On the pages of the types an example is a single event, which gets a key of its own.
    validator().validate(fields if fields["type"] != "reversal" or "key" in fields else {**fields, "key": "k"})


def test_the_docs_have_examples_of_every_type() -> None:
    assert {fields["type"] for _, fields in EXAMPLES} == EVENT_TYPES.keys()
    assert len(EXAMPLES) > 2 * len(EVENT_TYPES)
    assert any(place.startswith("README") for place, _ in EXAMPLES)


def test_the_command_prints_what_is_in_the_docs(capsys: pytest.CaptureFixture[str]) -> None:
    file = event_pages.FOLDER / "event.schema.json"
    assert run(["schema"]) == 0
    assert capsys.readouterr().out == file.read_text("utf-8")
    assert json.loads(file.read_text("utf-8")) == event_schema()


VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    1.5,
    2**53,
    10**15 - 1,
    10**15,
    [],
    {},
    "",
    " ",
    "a",
    "0",
    "-0",
    "-0.00",
    "1",
    "-1",
    "+1",
    "01",
    ".5",
    "5.",
    "1.50",
    "1e3",
    "-1E-3",
    "0e5",
    "1e1000",
    "1_0",
    "１",
    "NaN",
    "9" * 20,
    "9" * 21,
    "0" * 30 + "9" * 20,
    "0." + "0" * 35 + "1",
    "0." + "0" * 36 + "1",
    "0." + "1" * 36 + "000",
    "buy",
    "SELL",
    "Maker",
    "live",
    "LIVE",
    "XRP/RLUSD",
    "/XRP",
    "a/b/c",
    "A=B",
    "A B",
    "line\nbreak",
    "tab\t",
    "bell\x07",
    "\x85",
    "☃",
    "x" * 64,
    "x" * 65,
    "x" * 128,
    "x" * 129,
    "x" * 200,
    "x" * 201,
    "x" * 10_001,
    "2026-01-31T14:30:00Z",
    "2026-01-31 14:30+01:00",
    "2026-01-31t14:30:00,5z",
    "2026-01-31T14:30:00.1234560Z",
    "2026-01-31T14:30:00.1234567Z",
    "2026-01-31T14:30:00",
    "2026-01-31T14:30.5Z",
    "2026-13-01T00:00:00Z",
    "2026-01-01T24:00:00Z",
    "2026-01-01T00:60:00Z",
    "2026-01-01T00:00:60Z",
    "2026-01-01T00:00:00+24:00",
    "2026-01-01T00:00:00-0530",
    "0000-01-01T00:00:00Z",
    "1767222000",
    ["a"],
    ["b", "a"],
    ["a", ""],
    [1],
    {"id": "t", "book": "other"},
    {"id": "t"},
    {"id": "t", "book": "other", "more": "1"},
    {"equity_before": "1", "basis_before": "-" + "9" * 40, "profit": "0", "principal": "1", "marks": [], "policy": "p/1"},
    {"equity_before": "1", "basis_before": "1", "profit": "-1", "principal": "1", "marks": [], "policy": "p/1"},
    {"equity_before": "1", "basis_before": "1", "profit": "0", "principal": "1", "marks": [{"asset": "X"}], "policy": "p"},
    {"equity_before": "1", "basis_before": "1", "profit": "0", "principal": "1", "marks": [], "policy": "p", "pending": 3},
]  # fmt: skip
FIELDS = {
    kind: sorted({*model.model_fields, CORRECTS_KEY, REVERSES_KEY, "strange"} - {"type"})
    for kind, model in EVENT_TYPES.items()
}


def smallest(kind: str) -> dict[str, Any]:
    return {"type": kind, "key": "k", **SMALLEST[kind]}


@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_of_every_value_in_every_field_both_say_the_same(kind: str) -> None:
    agrees(smallest(kind))
    assert validator().is_valid(smallest(kind))
    for number, name in enumerate(FIELDS[kind], len(kind)):
        agrees({field: value for field, value in smallest(kind).items() if field != name})
        for value in a_share_of(VALUES, number):
            agrees({**smallest(kind), name: value})


@given(st.sampled_from(sorted(EVENT_TYPES)), st.data())
def test_of_several_fields_together_both_say_the_same(kind: str, data: st.DataObject) -> None:
    fields = smallest(kind)
    for name in data.draw(st.lists(st.sampled_from(FIELDS[kind]), min_size=1, max_size=4, unique=True)):
        if data.draw(st.booleans()):
            fields.pop(name, None)
        else:
            fields[name] = data.draw(st.sampled_from(VALUES))
    agrees(fields)


@pytest.mark.parametrize("line", [{}, {"type": None}, {"type": "opening"}, {"type": ["fill"]}, [], "fill", 1, None])
def test_what_is_no_event_is_not_valid(line: Any) -> None:
    assert not validator().is_valid(line)
    assert refusal_of(json.dumps(line)) is not None
