"""What the log adds up to, read from its columns for a rebuild: thousands of rows at once, and no event is built.

Nothing is proved here, as a rebuild proves nothing: the columns are believed. But what the log's own reader refuses
(`ledger.mapper.decode_row`) is refused here as well, by leaving it to that one: a text that is no amount or no time, a value
of another kind, a mark whose bytes are not one. So are rows of the types that look back, and rows whose columns do not
fit together, of which only the pure folds know what they add up to. Bytes are read of marks only; of the others it is
enough that there are some. Only on SQLite, where a row is texts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter

from sqlalchemy import Connection

from ledger.integrity.fast_forms import COLUMN_AMOUNT, COLUMN_TIME, FORMS
from ledger.integrity.raw_log import COLUMNS, RawRow, driven_rows
from ledger.integrity.tally import Column, Columns, Tally

_READ = tuple(name for name in COLUMNS if name not in ("book", "body", "hash"))
_QUERY = (
    f"SELECT {', '.join(_READ)}, typeof(body) = 'blob' AND typeof(hash) = 'blob',"  # noqa: S608 - names of columns
    " CASE WHEN type = 'mark' THEN body END FROM events WHERE book = ? AND version BETWEEN ? AND ? ORDER BY version"
)
_LAST = 2**63 - 1
_NAMES = (*_READ, "has_bytes", "mark_body")
_TYPE, _VERSION = _READ.index("type"), _READ.index("version")
_type_of, _version_of = itemgetter(_TYPE), itemgetter(_VERSION)
_AMOUNTS = re.compile(f"(?:{COLUMN_AMOUNT.pattern},)*")
_KINDS_OF_VALUES: Mapping[str, frozenset[type]] = {
    **dict.fromkeys(("event_id", "key", "asset"), frozenset({str})),
    **dict.fromkeys(("session_id", "tx_hash", "reason", "strategy"), frozenset({str, type(None)})),
    **dict.fromkeys(("version", "unknown_fees", "unknown_bases"), frozenset({int})),
}
_NO_QUOTE = {"quote_asset": None, "quote_delta": None}
_NO_FEE = {"fee_asset": None, "fee_delta": None, "unknown_fees": 0}
_NO_CAPITAL = {"net_deposits_delta": "0", "basis_delta": "0", "starting_value_delta": "0", "unknown_bases": 0}


def raw_runs(
    connection: Connection, book: str, passed_over: Container[int], *, after: int = 0, until: int | None = None
) -> Iterator[tuple[int, int, Tally | None]]:
    """A book's log as runs of rows of one type: first and last version, and what the run adds up to.

    Of the versions with `after` < version ≤ `until` (None: up to the head). None for a run that is left to the log's own
    reader. `passed_over`: the versions of the marks that no longer stand. It ends where the driver cannot read on, or where
    a version is not a whole number.
    """
    for rows in driven_rows(connection, _QUERY, (book, after + 1, _LAST if until is None else until)):
        for kind, alike in _alike(rows):
            first, last = alike[0][_VERSION], alike[-1][_VERSION]
            if set(map(type, map(_version_of, alike))) != {int}:
                return
            yield first, last, _tally(kind, alike, passed_over)


def _alike(rows: Sequence[RawRow]) -> Iterator[tuple[object, Sequence[RawRow]]]:
    """The runs of rows of one type, in order; as a rule all rows are one."""
    if len(set(map(_type_of, rows))) == 1:
        yield rows[0][_TYPE], rows
        return
    for kind, run in groupby(rows, key=_type_of):
        yield kind, list(run)


def _tally(kind: object, rows: Sequence[RawRow], passed_over: Container[int]) -> Tally | None:
    take = _TAKE.get(kind) if isinstance(kind, str) else None
    if take is None:
        return None
    columns = dict(zip(_NAMES, zip(*rows, strict=True), strict=True))
    try:
        if not _is_readable(columns) or not _is(columns, {"effect_of": kind, "reverses": None}):
            return None
        tally = Tally(columns["version"][-1])
        return tally if take(tally, columns, passed_over) else None
    except (ArithmeticError, TypeError, ValueError):
        return None


def _is_readable(columns: Columns) -> bool:
    """Whether the log's own reader would take the rows, but for their amounts. Raises TypeError where a time is no text."""
    if any(not kinds.issuperset(map(type, columns[name])) for name, kinds in _KINDS_OF_VALUES.items()):
        return False
    if columns["has_bytes"].count(1) != len(columns["has_bytes"]):
        return False
    return all(all(map(COLUMN_TIME.fullmatch, set(columns[name]))) for name in ("at", "recorded_at"))


def _is(columns: Columns, values: Mapping[str, object]) -> bool:
    """Whether columns hold nothing but one value. Numbers are whole ones: their kind is known."""
    return all(columns[name].count(value) == len(columns[name]) for name, value in values.items())


def _are_amounts(column: Column) -> bool:
    """Raises TypeError for what is no text."""
    joined = ",".join(column) + ","
    return joined.count(",") == len(column) and _AMOUNTS.fullmatch(joined) is not None


def _fills(tally: Tally, columns: Columns, passed_over: Container[int]) -> bool:
    fee_deltas, fee_assets = columns["fee_delta"], columns["fee_asset"]
    fees = [delta for delta in fee_deltas if delta is not None]
    unknown = columns["unknown_fees"]
    if not _is(columns, {**_NO_CAPITAL, "price": None}) or {str} != set(map(type, columns["quote_asset"])):
        return False
    if [asset is None for asset in fee_assets] != [count == 1 for count in unknown]:
        return False
    if len(fees) != unknown.count(0) or not {str, type(None)}.issuperset(map(type, fee_assets)):
        return False
    if not (
        _are_amounts(columns["asset_delta"])
        and _are_amounts(columns["quote_delta"])
        and (not fees or _are_amounts(fees))
    ):
        return False
    tally.name_assets(columns)
    tally.add_fills(columns)
    return True


def _deposits(tally: Tally, columns: Columns, passed_over: Container[int]) -> bool:
    prices = [price for price in columns["price"] if price is not None]
    worths = columns["net_deposits_delta"]
    # A transfer has a reason, and its profit a term of its own.
    if not _is(columns, {**_NO_QUOTE, **_NO_FEE, "reason": None}) or columns["starting_value_delta"] != worths:
        return False
    if not all(map(_are_amounts, (columns["asset_delta"], worths, columns["basis_delta"], prices or ["0"]))):
        return False
    tally.name_assets(columns)
    tally.add_deposits(columns)
    return True


def _adjustments(tally: Tally, columns: Columns, passed_over: Container[int]) -> bool:
    if not _is(columns, {**_NO_QUOTE, **_NO_FEE, **_NO_CAPITAL, "price": None}) or not _are_amounts(
        columns["asset_delta"]
    ):
        return False
    tally.name_assets(columns)
    tally.add_adjustments(columns)
    return True


def _marks(tally: Tally, columns: Columns, passed_over: Container[int]) -> bool:
    """A mark's price and source are read from its bytes."""
    if not _is(columns, {**_NO_QUOTE, **_NO_FEE, **_NO_CAPITAL, "asset_delta": None}):
        return False
    texts = FORMS["mark"].read(columns["mark_body"])
    if texts is None or (texts["asset"], texts["price"]) != (columns["asset"], columns["price"]):
        return False
    tally.add_marks(columns, texts["price_source"], passed_over)
    return True


_TAKE: Mapping[str, Callable[[Tally, Columns, Container[int]], bool]] = {
    "fill": _fills,
    "deposit": _deposits,
    "adjustment": _adjustments,
    "mark": _marks,
}
