"""The codec between a book's state and the rows it is stored in, and the comparison of two sets of rows.

Rows are `{(table, key): {column: value}}`. The key is the asset or name within the book, and "" for a table with one row
per book. With this form, one writer and one comparison serve every projection.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ledger.amounts import ZERO
from ledger.book import Book
from projections.basis import Basis
from projections.engine_state import EngineState, starting_value_key
from projections.fees import Fees
from projections.inventory import Holding, Inventory
from projections.marks import Price
from projections.state import BookState
from projections.tables import TABLES

RowKey = tuple[str, str]
Rows = Mapping[RowKey, Mapping[str, Any]]
NAMES = tuple(table.name for table in TABLES)


@dataclass(frozen=True, slots=True)
class Difference:
    """A stored figure that differs from what the log adds up to.

    projection:  the table
    key:         the row's key and the column
    stored:      the stored figure; None when there is no such row
    rebuilt:     the figure folded from the log; None when there should be no such row
    """

    projection: str
    key: str
    stored: Any
    rebuilt: Any


def rows_of(state: BookState, book: Book) -> Rows:
    """Encode a state as rows."""
    rows: dict[RowKey, Mapping[str, Any]] = {}
    for asset, holding in state.inventory.items():
        rows["inventory", asset] = {"total": holding.total, **_figures(holding)}
    rows["basis", ""] = _figures(state.basis)
    rows["engine_state", starting_value_key(book.numeraire)] = {"value": state.engine_state.starting_value}
    for asset, price in state.marks.items():
        rows["marks", asset] = _figures(price)
    for asset, amount in state.fees.paid.items():
        rows["fees", asset] = {"amount": amount}
    rows["projection_heads", ""] = {"version": state.version, "unknown_fees": state.fees.unknown}
    return rows


def _figures(of: Any) -> dict[str, Any]:
    """A frozen dataclass's fields by name. (`asdict` would copy their contents on every append.)"""
    return {name: getattr(of, name) for name in of.__slots__}


def state_of(rows: Rows, book: Book) -> BookState:
    """Decode rows into a state; a projection without rows is empty."""
    by_table: dict[str, dict[str, Mapping[str, Any]]] = {name: {} for name in NAMES}
    for (table, key), row in rows.items():
        by_table[table][key] = row
    head = by_table["projection_heads"].get("", {"version": 0, "unknown_fees": 0})
    starting = by_table["engine_state"].get(starting_value_key(book.numeraire), {"value": ZERO})
    return BookState(
        version=head["version"],
        inventory=Inventory(
            {
                asset: Holding(row["fills"], row["capital"], row["adjustments"])
                for asset, row in by_table["inventory"].items()
            }
        ),
        basis=Basis(**by_table["basis"].get("", {})),
        engine_state=EngineState(starting["value"]),
        marks={asset: Price(**row) for asset, row in by_table["marks"].items()},
        fees=Fees({asset: row["amount"] for asset, row in by_table["fees"].items()}, head["unknown_fees"]),
    )


def differences(stored: Rows, rebuilt: Rows) -> list[Difference]:
    """The figures in which two sets of rows differ, by table, key and column."""
    found = []
    order = {name: index for index, name in enumerate(NAMES)}
    for name, key in sorted(stored.keys() | rebuilt.keys(), key=lambda row: (order[row[0]], str(row[1]))):
        before, after = stored.get((name, key), {}), rebuilt.get((name, key), {})
        for column in dict.fromkeys([*before, *after]):
            if before.get(column) != after.get(column):
                label = f"{key}.{column}" if key else column
                found.append(Difference(name, label, before.get(column), after.get(column)))
    return found
