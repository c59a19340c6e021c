"""JSON of any length: exact, value by value, and what is not sound is told without losing the rest."""

from __future__ import annotations

import io
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.importers import json_stream
from engine.importers.json_stream import read_json
from engine.importers.json_values import Element, MalformedJson


def read(text: str) -> list[Any]:
    """The values; for malformed text, its line and the beginning of its reason."""
    return [
        found.value if isinstance(found, Element) else (found.line, found.reason.split(";")[0])
        for found in read_json(io.StringIO(text))
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n ", []),
        ("[]", []),
        ('[{"a": 1}]', [{"a": 1}]),
        ('{"a": 1}\n\n{"b": 2}\n', [{"a": 1}, {"b": 2}]),
        ('{"a": 1}{"b": 2}', [{"a": 1}, {"b": 2}]),
        ('{"a":\n 1}\n{"b": 2}', [{"a": 1}, {"b": 2}]),
        ('[1]\n[2, 3]\n{"a": 4}', [1, 2, 3, {"a": 4}]),
        ("[\n1\n]\n[\n2\n]", [1, 2]),
        # A stream of lists, a list a line: a bad line is told by itself.
        (
            "[1]\nnonsense\n[2]\n[3",
            [1, (2, "not JSON: a line must be a whole value"), 2, (4, "not JSON: a line must be a whole value")],
        ),
        (
            "[4.000001, 1e-8, 12345678901234567890]",
            [Decimal("4.000001"), Decimal("1e-8"), Decimal(12345678901234567890)],
        ),
        # In NDJSON a bad line is told by itself.
        ('{"a": 1}\nnonsense\n{"b": 2}', [{"a": 1}, (2, "not JSON: a line must be a whole value"), {"b": 2}]),
        ('{"a": 1}\n{"a": 1, "a": 2}', [{"a": 1}, (2, "the name 'a' is given twice in one object")]),
        # In an array what is around a doubtful value is read; after a fault of form nothing is.
        ('[1, {"x": {"a": 1, "a": 2}}, 3]', [1, (1, "the name 'a' is given twice in one object"), 3]),
        ("[NaN, 1]", [(1, "NaN is no number"), 1]),
        ("[1, Infinity]", [1, (1, "Infinity is no number")]),
        ("[1e99999999999999999999]", [(1, "the number 1e99999999999999999999 is out of range")]),
        ('[{"a": 1},\n{"b"', [{"a": 1}, (2, "not JSON: Expecting ':' delimiter")]),
        ("[1 2]", [1, (1, "expected , or ] here")]),
        ("[1", [1, (1, "the array breaks off here")]),
        ("[" * 100_000, [(1, "nested too deeply")]),
    ],
)
def test_what_is_read(text: str, expected: list[Any]) -> None:
    assert read(text) == expected


def test_a_value_is_told_with_the_line_that_it_begins_on() -> None:
    text = '[\n {"a": 1},\n {\n  "b": {\n   "c": 2\n  }\n },\n\n {"d": 3}]'
    assert [found.line for found in read_json(io.StringIO(text))] == [2, 3, 9]


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(
    given=st.lists(st.dictionaries(st.text(max_size=4), values, max_size=4), max_size=8),
    form=st.sampled_from(["array", "indented", "lines", "one after the other"]),
    piece=st.integers(1, 40),
)
def test_every_form_gives_the_same_values(given: list[Any], form: str, piece: int) -> None:
    """Whatever the pieces are that the text arrives in."""
    text = {
        "array": lambda: json.dumps(given),
        "indented": lambda: json.dumps(given, indent=2),
        "lines": lambda: "\n".join(json.dumps(each) for each in given),
        "one after the other": lambda: "".join(json.dumps(each, indent=1) for each in given),
    }[form]()
    before = json_stream.CHUNK_CHARACTERS
    json_stream.CHUNK_CHARACTERS = piece
    try:
        assert read(text) == given
    finally:
        json_stream.CHUNK_CHARACTERS = before


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"trades": [{"a": 1}, 2], "trades_count": 2}', [(("trades",), {"a": 1}), (("trades",), 2)]),
        (
            '{"metadata": {"x": [1]}, "strategy": {"S": {"y": 1, "trades": [7]}, "T": {"trades": [8]}}, "z": null}\n'
            '{"trades": [9]}',
            [(("strategy", "S", "trades"), 7), (("strategy", "T", "trades"), 8), (("trades",), 9)],
        ),
        ('{"pair": "A", "n": {"b": 1}}\n{"trades": [1]}', [((), {"pair": "A", "n": {"b": 1}}), (("trades",), 1)]),
        ('{"a": {}, "trades": []}', []),
        # Not in an envelope.
        ('{"pair": "A", "trade": [1]}', [((), {"pair": "A", "trade": [1]})]),
        ('[{"trades": [1]}]', [((), {"trades": [1]})]),
    ],
)
def test_the_items_of_an_envelopes_list(text: str, expected: list[Any]) -> None:
    for indented in (text, text.replace(" ", "\n  ")):
        found = list(read_json(io.StringIO(indented), lists=("trades",)))
        assert [(each.path, each.value) for each in found if isinstance(each, Element)] == expected
        assert len(found) == len(expected)


@pytest.mark.parametrize(
    ("text", "reasons"),
    [
        ('{"trades": [1', ["the array breaks off here"]),
        ('{"trades": [1]', ["the object breaks off here"]),
        ('{"trades": [1] 2', ["expected , or } here"]),
        ('{"trades": [1], 2', ["expected a name here"]),
        ('{"trades": [1], "a" 2', ["expected : here"]),
        (
            '{"trades": [1, {"a": 1, "a": 2}, 3], "n": NaN}',
            ["the name 'a' is given twice in one object", "NaN is no number"],
        ),
    ],
)
def test_a_fault_in_an_envelope_is_said_once(text: str, reasons: list[str]) -> None:
    found = list(read_json(io.StringIO(text), lists=("trades",)))
    assert [each.value for each in found if isinstance(each, Element)][:1] == [1]
    assert [each.reason.split(";")[0] for each in found if isinstance(each, MalformedJson)] == reasons


@given(st.text(alphabet='[]{}",:0123456789.eE-+truefalsn \n\\u', max_size=60), st.booleans())
def test_any_text_is_read_to_its_end_without_an_error(text: str, enveloped: bool) -> None:
    text = f'{{"trades": [1], {text}' if enveloped else text
    for found in read_json(io.StringIO(text), lists=("trades",) if enveloped else ()):
        assert isinstance(found, Element | MalformedJson)
        assert 1 <= found.line <= text.count("\n") + 1
        assert not _has_float(found.value if isinstance(found, Element) else None)


def _has_float(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_float(each) for each in value.values())
    return any(_has_float(each) for each in value) if isinstance(value, list) else isinstance(value, float)


def test_a_stream_gives_a_value_before_the_next_line_arrives() -> None:
    class Arriving(io.StringIO):
        def __init__(self, lines: list[str]) -> None:
            super().__init__()
            self.lines = lines

        def readline(self, size: int | None = -1, /) -> str:  # type: ignore[override]
            return self.lines.pop(0) if self.lines else ""

    for lines in (['{"a": 1}\n', '{"b": 2}\n'], ["{\n", ' "a": 1\n', "}\n", "{\n", ' "b": 2\n', "}\n"]):
        left = len(lines) // 2
        stream = read_json(Arriving(lines))
        assert next(stream) == Element(1, {"a": 1})
        assert len(lines) == left
