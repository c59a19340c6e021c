"""The mapping of a CSV file: a YAML file that says which columns become which events.

    time: Date                                  # a column, or several that are joined by a blank
    format: "%d.%m.%Y %H:%M:%S"                 # as Python's strptime, or several; absent: RFC 3339, a count since 1970
    zone: Europe/Amsterdam                      # of times that have none; or {column: Timezone}; also UTC+1
    id: Transaction ID                          # the venue's own id; absent: a row is recognised by its content
    take: {Status: [Completed]}                 # other rows are passed over
    rows:                                       # the first rule that fits a row is taken
      - when: {Type: [buy, sell]}
        fill: {side: Type, pair: Market, base_amount: Amount, price: Price, fee_asset: Fee currency, fee_amount: Fee}
      - when: {Type: deposit}
        deposit: {asset: Currency, amount: Amount, tx_hash: Hash}
      - when: {Type: staking}
        adjustment: {asset: Currency, amount: Amount, reason: {value: reward}}
      - when: {Type: perpetual}                 # a position is no fill: only what it cost and earned counts
        contract: {symbol: Market, asset: {value: USDT}, realised: Profit, fee_asset: Fee currency, fee_amount: Fee}
      - when: {Type: transfer}
        skip: a transfer between accounts of one's own

A field is a column's name, or `{value: TEXT}` for a text that is always the same, or `{column: NAME, …}` with

    part: number | unit | base | quote     of `1.50 ETH` or `BTC/USDT`, that part
    map: {Kauf: buy, Verkauf: sell}        what the cell's text stands for

Of columns with equal names the second is called `NAME#2`, the third `NAME#3`. Everything that is not known here is refused,
with its line: Refused `mapping_malformed`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta, timezone, tzinfo
from typing import Any, NoReturn
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml

from ledger.errors import Refusal, Refused, shown

_BYTES = 1 << 18
PARTS = ("number", "unit", "base", "quote")
_TOP = ("delimiter", "skip_lines", "decimal", "thousands", "time", "format", "zone", "id", "take", "rows")
_FEES = ("fee_asset", "fee_amount")
FIELDS: Mapping[str, tuple[str, ...]] = {
    "fill": (
        "side", "pair", "base_asset", "base_amount", "quote_asset", "quote_amount", "price",
        "bought_asset", "bought_amount", "sold_asset", "sold_amount",
        *_FEES, "order_id", "liquidity", "strategy", "note", "tx_hash",
    ),
    "deposit": ("asset", "amount", *_FEES, "tx_hash", "reference", "note"),
    "withdrawal": ("asset", "amount", *_FEES, "tx_hash", "reference", "note"),
    "movement": ("asset", "amount", *_FEES, "tx_hash", "reference", "note"),
    "adjustment": ("asset", "amount", "reason", *_FEES, "note"),
    "contract": ("symbol", "asset", "realised", "funding", *_FEES),
}  # fmt: skip
_FLAGS = ("fee_included", "fee_negative", "negate")
_REQUIRED: Mapping[str, tuple[str, ...]] = {
    "deposit": ("asset", "amount"),
    "withdrawal": ("asset", "amount"),
    "movement": ("asset", "amount"),
    "adjustment": ("asset", "amount", "reason"),
    "contract": ("symbol",),
}
_UNIT = re.compile(r"([-+]?[0-9][0-9.,' ]*)\s*([^\s0-9.,'+-].*)")
_SEPARATORS = "/-_:"
_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])([01]?[0-9]|2[0-3])(?::?([0-5][0-9]))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Cell:
    """Where a field's text comes from.

    column:  the column; None for a text that is always the same
    text:    that text; None for a column
    part:    which part of the cell; None for all of it
    map:     what a cell's text stands for; empty: itself
    """

    column: str | None = None
    text: str | None = None
    part: str | None = None
    map: Mapping[str, str] | None = None

    def of(self, row: Mapping[str, str]) -> str | None:
        """The text of a row; None for an empty cell. Raises ValueError."""
        text = self.text if self.column is None else row[self.column].strip()
        if not text:
            return None
        if self.part is not None:
            text = _part(text, self.part)
        if self.map is not None:
            if text not in self.map:
                raise ValueError(f"{shown(text)} in the column {shown(self.column)} is not in its map")
            text = self.map[text]
        return text or None


def _part(text: str, part: str) -> str:
    if part in ("number", "unit"):
        match = _UNIT.fullmatch(text)
        if match is None:
            raise ValueError(f"{shown(text)} is not a number and its unit")
        return match[1].strip() if part == "number" else match[2].strip()
    base, quote = split_pair(text)
    return base if part == "base" else quote


def split_pair(text: str) -> tuple[str, str]:
    """The assets of a pair such as `BTC/USDT` or `BTC-USDT`. Raises ValueError."""
    for separator in _SEPARATORS:
        base, found, quote = text.partition(separator)
        if found and base and quote and separator not in quote:
            return base.strip(), quote.strip()
    raise ValueError(f"{shown(text)} is no pair such as BTC/USDT")


@dataclass(frozen=True, slots=True)
class Rule:
    """What a row becomes.

    when:    by column, the texts of which a cell must have one; compared without regard to case
    event:   fill, deposit, withdrawal, movement, adjustment, contract, or skip
    fields:  the cells of its fields
    flags:   fee_included: the amount includes the fee; fee_negative: a paid fee is negative; negate: of an adjustment
    reason:  why a row is skipped; "" for any other event
    """

    when: Mapping[str, frozenset[str]]
    event: str
    fields: Mapping[str, Cell]
    flags: frozenset[str]
    reason: str = ""

    def fits(self, row: Mapping[str, str]) -> bool:
        """Whether a row is one of this rule's."""
        return all(row[column].strip().lower() in texts for column, texts in self.when.items())


@dataclass(frozen=True, slots=True)
class CsvMapping:
    """How a CSV file becomes events; see the module.

    delimiter:   one character; None to find it out
    skip_lines:  lines before the header
    decimal:     the decimal sign, `.` or `,`
    thousands:   the sign between thousands; "" for none
    times:       the columns of the time
    formats:     of the time, beside the usual forms
    zone:        of times that have none; None for none
    zone_column: the column with each row's zone; None for none
    ids:         the columns of the id; () for none
    take:        by column, the texts of rows that count
    rules:       what rows become
    """

    delimiter: str | None
    skip_lines: int
    decimal: str
    thousands: str
    times: tuple[str, ...]
    formats: tuple[str, ...]
    zone: tzinfo | None
    zone_column: str | None
    ids: tuple[str, ...]
    take: Mapping[str, frozenset[str]]
    rules: Sequence[Rule]

    def columns(self) -> set[str]:
        """All columns that it names."""
        cells = [cell for rule in self.rules for cell in rule.fields.values()]
        named = [cell.column for cell in cells if cell.column is not None]
        whens = [column for rule in self.rules for column in rule.when]
        zone = [] if self.zone_column is None else [self.zone_column]
        return {*named, *whens, *zone, *self.times, *self.ids, *self.take}


def parse_mapping(document: bytes, name: str) -> CsvMapping:
    """A mapping from its YAML. `name`: the file's, for errors. Raises Refused `mapping_malformed`."""
    try:
        return _mapping(_plain(document))
    except _Malformed as error:
        refused = Refused(Refusal.MAPPING_MALFORMED, error.what, expected=error.expected, actual=error.actual)
        refused.where = name if error.line is None else f"{name} line {error.line}"
        raise refused from error


class _Malformed(Exception):
    def __init__(self, what: str, expected: str | None = None, actual: object = None, line: int | None = None) -> None:
        super().__init__(what)
        self.what, self.expected, self.actual, self.line = what, expected, actual, line


class _Object(dict[str, Any]):
    """A YAML mapping, and the line that it begins on."""

    line = 0


def _plain(document: bytes) -> _Object:
    """YAML as objects, lists and texts: a scalar is the text that was typed."""
    if len(document) > _BYTES:
        raise _Malformed("the mapping is too long", f"at most {_BYTES} bytes")
    try:
        node = yaml.compose(document.decode("utf-8-sig"), Loader=yaml.SafeLoader)
        found = _value(node)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error)
        raise _Malformed(f"not YAML: {problem}", "a YAML file", line=mark.line + 1 if mark else None) from error
    if not isinstance(found, _Object):
        raise _Malformed("not a mapping", "an object with time and rows")
    return found


def _value(node: Any) -> Any:
    if isinstance(node, yaml.MappingNode):
        found = _Object()
        found.line = node.start_mark.line + 1
        for name_node, value_node in node.value:
            name = _value(name_node)
            if not isinstance(name, str):
                raise _Malformed("a name must be a text", line=name_node.start_mark.line + 1)
            if name in found:
                raise _Malformed("it is given twice", actual=name, line=name_node.start_mark.line + 1)
            found[name] = _value(value_node)
        return found
    if isinstance(node, yaml.SequenceNode):
        return [_value(each) for each in node.value]
    return None if node is None or node.tag.endswith(":null") else str(node.value)


def _mapping(given: _Object) -> CsvMapping:
    _require_known(given, _TOP)
    if "time" not in given or "rows" not in given:
        raise _Malformed("it must say which column is the time, and what rows become", "time and rows")
    zone_given = given.get("zone")
    zone_column = _text(zone_given.get("column"), "zone.column") if isinstance(zone_given, dict) else None
    return CsvMapping(
        delimiter=_delimiter(given.get("delimiter")),
        skip_lines=_whole(given.get("skip_lines", "0"), "skip_lines"),
        decimal=_one_of(given.get("decimal", "."), (".", ","), "decimal"),
        thousands=_one_of(given.get("thousands") or "", ("", ",", ".", "'", " "), "thousands"),
        times=_texts(given["time"], "time"),
        formats=() if given.get("format") is None else _texts(given["format"], "format"),
        zone=None if zone_given is None or zone_column is not None else _zone(_text(zone_given, "zone")),
        zone_column=zone_column,
        ids=_texts(given["id"], "id") if given.get("id") is not None else (),
        take=_conditions(given.get("take"), "take"),
        rules=_rules(given["rows"]),
    )


def _rules(given: Any) -> list[Rule]:
    if not isinstance(given, list) or not given:
        raise _Malformed("rows: not a list of rules", "a list", given)
    return [_rule(each) for each in given]


def _rule(given: Any) -> Rule:
    if not isinstance(given, _Object):
        raise _Malformed("a rule must be an object", "such as {when: {Type: buy}, fill: {…}}", given)
    _require_known(given, ("when", "skip", *FIELDS))
    events = [name for name in ("skip", *FIELDS) if name in given]
    if len(events) != 1:
        raise _Malformed(
            "a rule must say what a row becomes", f"one of {', '.join(('skip', *FIELDS))}", line=given.line
        )
    (event,) = events
    when = _conditions(given.get("when"), "when")
    if event == "skip":
        return Rule(when, event, {}, frozenset(), _text(given["skip"], "skip"))
    fields = given[event]
    if not isinstance(fields, _Object):
        raise _Malformed(f"{event}: not an object of fields", line=given.line)
    _require_known(fields, (*FIELDS[event], *_FLAGS))
    cells = {name: _cell(each, name, fields.line) for name, each in fields.items() if name not in _FLAGS}
    flags = frozenset(name for name in _FLAGS if name in fields and _flag(fields[name], name))
    missing = [name for name in _REQUIRED.get(event, ()) if name not in cells] or (
        _lacking_in_fill(cells) if event == "fill" else _lacking_in_contract(cells) if event == "contract" else []
    )
    if missing:
        raise _Malformed(f"{event}: it lacks {', '.join(missing)}", line=fields.line)
    return Rule(when, event, cells, flags)


def _lacking_in_fill(cells: Mapping[str, Cell]) -> list[str]:
    exchanged = ("bought_asset", "bought_amount", "sold_asset", "sold_amount")
    if any(name in cells for name in exchanged):
        return [name for name in exchanged if name not in cells]
    missing = [name for name in ("side", "base_amount") if name not in cells]
    if "pair" not in cells:
        missing += [name for name in ("base_asset", "quote_asset") if name not in cells]
    if "quote_amount" not in cells and "price" not in cells:
        missing.append("quote_amount or price")
    return missing


def _lacking_in_contract(cells: Mapping[str, Cell]) -> list[str]:
    return ["asset"] if {"realised", "funding"} & cells.keys() and "asset" not in cells else []


def _cell(given: Any, name: str, line: int) -> Cell:
    if isinstance(given, str):
        return Cell(column=given)
    if not isinstance(given, _Object):
        raise _Malformed(f"{name}: neither a column nor an object", line=line)
    if "value" in given:
        _require_known(given, ("value",))
        return Cell(text=_text(given["value"], name))
    _require_known(given, ("column", "part", "map"))
    if "column" not in given:
        raise _Malformed(f"{name}: it lacks column or value", line=given.line)
    part = given.get("part")
    return Cell(
        column=_text(given["column"], name),
        part=None if part is None else _one_of(part, PARTS, f"{name}.part"),
        map=None if given.get("map") is None else _map(given["map"], name),
    )


def _map(given: Any, name: str) -> Mapping[str, str]:
    if not isinstance(given, dict):
        raise _Malformed(f"{name}.map: not an object")
    return {text: _text(each, f"{name}.map") for text, each in given.items()}


def _conditions(given: Any, name: str) -> Mapping[str, frozenset[str]]:
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise _Malformed(f"{name}: not an object of columns", "such as {Type: [buy, sell]}", given)
    return {column: frozenset(text.strip().lower() for text in _texts(texts, name)) for column, texts in given.items()}


def _texts(given: Any, name: str) -> tuple[str, ...]:
    return tuple(_text(each, name) for each in (given if isinstance(given, list) else [given]))


def _text(given: Any, name: str) -> str:
    if given is None or isinstance(given, list | dict):
        raise _Malformed(f"{name}: not a text", "a text", given)
    return str(given)


def _flag(given: Any, name: str) -> bool:
    return _one_of(given, ("true", "false"), name) == "true"


def _one_of(given: Any, choices: Sequence[str], name: str) -> str:
    if given not in choices:
        raise _Malformed(f"{name}: no such choice", f"one of {', '.join(repr(each) for each in choices)}", given)
    return str(given)


def _whole(given: Any, name: str) -> int:
    if not isinstance(given, str) or not given.isascii() or not given.isdecimal() or len(given) > 6:
        raise _Malformed(f"{name}: not a whole number", "a number of lines", given)
    return int(given)


def _delimiter(given: Any) -> str | None:
    if given is None:
        return None
    return {"tab": "\t", "\\t": "\t"}.get(given) or _one_of(given, (",", ";", "|", "\t", " "), "delimiter")


def _zone(name: str) -> tzinfo:
    try:
        return zone_named(name)
    except ValueError as error:
        raise _Malformed(f"zone: {error}") from error


def zone_named(name: str) -> tzinfo:
    """A zone such as `Europe/Amsterdam`, `UTC`, `UTC+1` or `+05:30`. Raises ValueError."""
    offset = _OFFSET.fullmatch(name)
    if offset is not None:
        shift = timedelta(hours=int(offset[2]), minutes=int(offset[3] or 0))
        return timezone(-shift if offset[1] == "-" else shift)
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"no such time zone: {shown(name)}; expected such as Europe/Zurich or UTC") from error


def _require_known(given: _Object, names: Sequence[str]) -> None:
    for name in given:
        if name not in names:
            _refuse_unknown(name, names, given.line)


def _refuse_unknown(name: str, names: Sequence[str], line: int) -> NoReturn:
    raise _Malformed("no such setting", f"one of {', '.join(names)}", name, line)
