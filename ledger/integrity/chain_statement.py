"""The proof of the chain as one statement for every engine: which rows are proved, and which are left to the prover.

A row is proved by itself: its hash follows from its predecessor's and its body, and its body is, byte for byte, the
canonical JSON of its columns and of a few fields that no column has:

    {"at":"<at>","base_amount":"<|asset_delta|>","base_asset":"<asset>",…,"order_id":"<of the body>",…,"version":<version>}

What is taken out of the body for it need not be trusted, since the whole is compared. Only the link needs a neighbour: the
predecessor's hash, version and time, which a window over a few narrow columns gives. Proved are fills, marks and
adjustments, nearly all of a log; what is of another type, fails or is only unusual (not ASCII, an escape, a tag, a
correction) is not, and the prover goes over it and words what it finds. So the statement may be too strict, never too lax.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, and_, case, cast, func, literal, or_, select, true

from ledger.database.log_columns import (
    LogColumns,
    body_text,
    hex_text,
    instant,
    joined,
    json_fields,
    sha256_hex,
    utc_text,
)
from ledger.integrity.fast_forms import VERSIONS
from ledger.texts import ASSET_CHARACTERS, KEY_CHARACTERS, NAME_CHARACTERS, NOTE_CHARACTERS

KINDS = ("fill", "mark", "adjustment")
# Fields that no column has, or not in the same form; the others are columns of the same name.
_OF_BODY = ("actor", "source_note", "order_id", "liquidity", "price_source", "group", "fee_asset", "type")
_ASSET = f"^[!-<>-~]{{1,{ASSET_CHARACTERS}}}$"
_HASH = f"^[0-9A-F]{{1,{KEY_CHARACTERS}}}$"
_ZEROS = ("net_deposits_delta", "basis_delta", "starting_value_delta")
_LINK = ("book", "segment", "version", "previous_hash", "hash", "recorded_at")


@dataclass(frozen=True)
class _Row:
    """A row and what was taken out of its body."""

    log: LogColumns
    fields: Mapping[str, ColumnElement[str]]
    text: ColumnElement[str]

    def __getitem__(self, name: str) -> ColumnElement[Any]:
        return self.log[name]


def unproved(
    log: LogColumns, forms: Mapping[str, Sequence[int]], until: datetime, where: ColumnElement[bool] | None = None
) -> Select[Any]:
    """The rows that are not proved, and the first and the last of each segment, with whether each `is_proved`.

    `forms`: by type, the versions of it that the ledger lists. `until`: what is dated later has a note, and is not proved.
    The first row of a segment is proved on its `previous_hash`: whoever knows where the segment begins compares that.
    """
    one = _alone(log, forms, until, where).subquery("alone")
    in_order: Any = {"partition_by": [one.c.book, one.c.segment], "order_by": one.c.version}
    before = {name: func.lag(one.c[name]).over(**in_order) for name in ("hash", "version", "recorded_at")}
    is_first = before["version"].is_(None)
    follows = and_(
        before["hash"] == one.c.previous_hash,
        before["version"] + 1 == one.c.version,
        before["recorded_at"] <= one.c.recorded_at,
    )
    is_proved = and_(one.c.is_alone, or_(is_first, func.coalesce(follows, literal(False))))
    is_end = or_(is_first, func.lead(one.c.version).over(**in_order).is_(None))
    kept = [one.c[name] for name in _LINK]
    found = select(*kept, is_proved.label("is_proved"), is_end.label("is_end")).subquery("linked")
    return select(*found.c).where(or_(~found.c.is_proved, found.c.is_end))


def _alone(
    log: LogColumns, forms: Mapping[str, Sequence[int]], until: datetime, where: ColumnElement[bool] | None
) -> Select[Any]:
    """What of a row can be said without its neighbours (`is_alone`), and what its neighbours are told."""
    text = body_text(log["body"])
    texts = select(
        *log.table.c, text.label("text"), json_fields(text, *(literal(name) for name in _OF_BODY)).label("fields")
    )
    read = (texts if where is None else texts.where(where)).subquery("read")
    fields = {name: read.c.fields[place] for place, name in enumerate(_OF_BODY, 1)}
    row = _Row(LogColumns(read, log.is_split), fields, read.c.text)
    conditions = and_(
        *_of_chain(row),
        read.c.at <= instant(until),
        # A CASE, since an engine evaluates only the branch that a row takes.
        case(*((read.c.type == kind, and_(*_of_kind(row, kind, forms.get(kind, ())))) for kind in KINDS)),
    )
    return select(*(read.c[name] for name in _LINK), func.coalesce(conditions, literal(False)).label("is_alone"))


def _of_chain(row: _Row) -> list[ColumnElement[bool]]:
    """The hash, and what holds of any body: ASCII without escapes, texts as long as they may be."""
    return [
        sha256_hex(row["previous_hash"], row["body"]) == hex_text(row["hash"]),
        func.octet_length(row["body"]) == func.char_length(row.text),
        func.strpos(row.text, "\ufffd") == 0,  # what Spark makes of a byte that is no UTF-8
        func.strpos(row.text, "\\") == 0,
        func.strpos(row.text, func.chr(127)) == 0,
        _is_text(row["key"], 1, KEY_CHARACTERS),
        _may_be_text(row["session_id"], 0, KEY_CHARACTERS),
        _may_be_text(row.fields["actor"], 0, KEY_CHARACTERS),
        _may_be_text(row.fields["source_note"], 0, NOTE_CHARACTERS),
        or_(row["tx_hash"].is_(None), row["tx_hash"].regexp_match(_HASH)),
        row["reverses"].is_(None),
        row["unknown_bases"] == 0,
        row["effect_of"] == row["type"],
        row["asset"].regexp_match(_ASSET),
        *(row.log.is_zero(name) for name in _ZEROS),
    ]


def _of_kind(row: _Row, kind: str, versions: Sequence[int]) -> list[ColumnElement[bool]]:
    """What holds of a row of one type; at last, that its body is the JSON of its columns."""
    types = [f"{kind}/{version}" for version in versions if str(version) in VERSIONS[kind]]
    is_known = row.fields["type"].in_(types) if types else ~true()
    return [is_known, *_CONDITIONS[kind](row), row.text == _canonical(row, _FIELDS[kind](row))]


def _of_fill(row: _Row) -> list[ColumnElement[bool]]:
    return [
        row.log.is_absent("price"),
        row["reason"].is_(None),
        row.log.is_sound("asset_delta"),
        row.log.is_sound("quote_delta"),
        row.log.text("asset_delta") != "0",
        row.log.text("quote_delta") != "0",
        row["quote_asset"].regexp_match(_ASSET),
        _may_be_text(row["strategy"], 1, NAME_CHARACTERS),
        _may_be_text(row.fields["order_id"], 0, KEY_CHARACTERS),
        or_(row.fields["liquidity"].is_(None), row.fields["liquidity"].in_(["maker", "taker"])),
        case(
            (
                row["fee_asset"].is_(None),
                and_(
                    row.log.is_absent("fee_delta"),
                    row["unknown_fees"] == 1,
                    or_(row.fields["fee_asset"].is_(None), row.fields["fee_asset"].regexp_match(_ASSET)),
                ),
            ),
            else_=and_(row.log.is_sound("fee_delta"), row["unknown_fees"] == 0, row["fee_asset"].regexp_match(_ASSET)),
        ),
    ]


def _of_mark(row: _Row) -> list[ColumnElement[bool]]:
    return [
        *_without_fill(row),
        row.log.is_absent("asset_delta"),
        row["reason"].is_(None),
        row.log.is_sound("price"),
        ~_is_negative(row.log.text("price")),
        _may_be_text(row.fields["price_source"], 0, KEY_CHARACTERS),
    ]


def _of_adjustment(row: _Row) -> list[ColumnElement[bool]]:
    return [
        *_without_fill(row),
        row.log.is_absent("price"),
        row.log.is_sound("asset_delta"),
        row.log.text("asset_delta") != "0",
        _is_text(row["reason"], 1, KEY_CHARACTERS),
        _may_be_text(row.fields["group"], 1, KEY_CHARACTERS),
    ]


def _without_fill(row: _Row) -> list[ColumnElement[bool]]:
    absent = ("quote_asset", "fee_asset", "strategy")
    amounts = (row.log.is_absent(name) for name in ("quote_delta", "fee_delta"))
    return [*(row[name].is_(None) for name in absent), *amounts, row["unknown_fees"] == 0]


_CONDITIONS: Mapping[str, Any] = {"fill": _of_fill, "mark": _of_mark, "adjustment": _of_adjustment}


def _envelope(row: _Row) -> dict[str, ColumnElement[str]]:
    """The fields of every body, each as its text; NULL for one that is left out."""
    return {
        "actor": row.fields["actor"],
        "at": utc_text(row["at"]),
        "book": row["book"],
        "event_id": row["event_id"],
        "key": row["key"],
        "recorded_at": utc_text(row["recorded_at"]),
        "session_id": row["session_id"],
        "source_note": row.fields["source_note"],
        "tx_hash": row["tx_hash"],
        "type": row.fields["type"],
    }


def _fill_fields(row: _Row) -> dict[str, ColumnElement[str]]:
    base, quote, fee = (row.log.text(name) for name in ("asset_delta", "quote_delta", "fee_delta"))
    sells = _is_negative(base)
    return {
        "base_amount": case((sells, _without_sign(base)), else_=base),
        "base_asset": row["asset"],
        "fee_amount": case(
            (fee == "0", fee), (_is_negative(fee), _without_sign(fee)), else_=literal("-").op("||")(fee)
        ),
        "fee_asset": func.coalesce(row["fee_asset"], row.fields["fee_asset"]),
        "liquidity": row.fields["liquidity"],
        "order_id": row.fields["order_id"],
        "quote_amount": case((sells, quote), else_=_without_sign(quote)),
        "quote_asset": row["quote_asset"],
        "side": case((sells, literal("sell")), else_=literal("buy")),
        "strategy": row["strategy"],
    }


def _mark_fields(row: _Row) -> dict[str, ColumnElement[str]]:
    return {
        "asset": row["asset"],
        "price": row.log.text("price"),
        "price_source": row.fields["price_source"],
    }


def _adjustment_fields(row: _Row) -> dict[str, ColumnElement[str]]:
    return {
        "amount": row.log.text("asset_delta"),
        "asset": row["asset"],
        "group": row.fields["group"],
        "reason": row["reason"],
    }


_FIELDS: Mapping[str, Any] = {"fill": _fill_fields, "mark": _mark_fields, "adjustment": _adjustment_fields}
_REQUIRED = frozenset(
    {"at", "book", "event_id", "key", "recorded_at", "type", "base_amount", "base_asset", "quote_amount", "quote_asset"}
    | {"side", "asset", "price", "amount", "reason"}
)


def _canonical(row: _Row, fields: Mapping[str, ColumnElement[str]]) -> ColumnElement[str]:
    """The canonical JSON of fields, sorted by name, and of the version."""
    pieces: list[ColumnElement[str]] = [literal("{")]
    for name, value in sorted({**_envelope(row), **fields}.items()):
        piece = joined([literal(f'"{name}":"'), value, literal('",')])
        pieces.append(piece if name in _REQUIRED else func.coalesce(piece, literal("")))
    return joined([*pieces, literal('"version":'), cast(row["version"], Text), literal("}")])


def _is_negative(text: ColumnElement[str]) -> ColumnElement[bool]:
    return func.substr(text, 1, 1) == "-"


def _without_sign(text: ColumnElement[str]) -> ColumnElement[str]:
    return func.substr(text, 2)


def _is_text(column: ColumnElement[str], least: int, most: int) -> ColumnElement[bool]:
    return func.char_length(column).between(least, most)


def _may_be_text(column: ColumnElement[str], least: int, most: int) -> ColumnElement[bool]:
    return or_(column.is_(None), _is_text(column, least, most))
