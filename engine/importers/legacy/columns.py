"""The column of each field in the old tables: found by its usual names, or given with `--map table.field=column`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ledger.errors import Refusal, Refused, shown

CAPITAL, LEDGER, FILLS, STATE = "capital_events", "inventory_ledger", "fills", "engine_state"
TABLES = (CAPITAL, LEDGER, FILLS, STATE)
TIME = "time"
_TIMES = ("ts", "timestamp", "created_at", "at", "time")

ColumnNames = Mapping[tuple[str, str], str]


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an old table.

    name:         the field's name
    columns:      the usual names of its column; empty for the field's own name
    is_required:  the import is refused without it
    is_missed:    its absence is worth a note
    """

    name: str
    columns: tuple[str, ...] = ()
    is_required: bool = False
    is_missed: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The usual names of its column."""
        return self.columns or (self.name,)


_FIELDS: dict[str, tuple[Field, ...]] = {
    CAPITAL: (
        Field("id"),
        Field(TIME, _TIMES),
        Field("event_type", is_required=True),
        Field("asset", is_required=True),
        Field("amount", is_required=True),
        Field("price_rlusd", is_required=True),
        Field("basis_delta_rlusd", is_missed=True),
        Field("source_note", is_missed=True),
        Field("tx_hash", is_missed=True),
    ),
    LEDGER: (
        Field("id"),
        Field(TIME, _TIMES),
        Field("asset", is_required=True),
        Field("new_balance", is_required=True),
        Field("change", ("change", "delta", "change_amount", "balance_change")),
        Field("fill_id"),
    ),
    FILLS: (
        Field("id"),
        Field(TIME, _TIMES),
        Field("session_id", is_missed=True),
        Field("side", is_required=True),
        Field("price", is_required=True),
        Field("quantity", ("quantity", "qty", "size", "amount"), is_required=True),
        Field("quote_amount", ("quote_amount", "quote_quantity", "quote_qty", "quote_size")),
        Field("base_asset"),
        Field("quote_asset"),
        Field("fee_amount", ("fee_amount", "fee")),
        Field("fee_asset", ("fee_asset", "fee_currency")),
        Field("order_id"),
        Field("tx_hash"),
    ),
    STATE: (Field("key", is_required=True), Field("value", is_required=True)),
}


def parse_mapping(texts: Iterable[str]) -> ColumnNames:
    """Parse texts of the form `table.field=column`; a field may go by a usual name of its column. Raises ValueError."""
    mapped: dict[tuple[str, str], str] = {}
    for text in texts:
        place, equals, column = text.partition("=")
        table, dot, name = place.partition(".")
        if not (equals and dot and column):
            raise ValueError(f"not TABLE.FIELD=COLUMN: {text!r}; expected such as fills.quantity=filled_qty")
        if table not in TABLES:
            raise ValueError(f"no such table: {table!r}; there are {', '.join(TABLES)}")
        found = next((field for field in _FIELDS[table] if name in (field.name, *field.names)), None)
        if found is None:
            names = ", ".join(field.name for field in _FIELDS[table])
            raise ValueError(f"no such field of {table}: {name!r}; there are {names}")
        if (table, found.name) in mapped:
            raise ValueError(f"{table}.{found.name} is mapped twice")
        mapped[table, found.name] = column
    return mapped


@dataclass(slots=True)
class Layout:
    """What was found in an old database.

    tables:  by existing table and existing field, the column
    notes:   what is missing and worth knowing
    """

    tables: dict[str, dict[str, str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def find_layout(
    connection: sqlite3.Connection, numeraire: str, mapped: ColumnNames, *, has_engine_start: bool
) -> Layout:
    """Find the columns of the old tables. Names are compared without regard to case, as SQLite does.

    `mapped`: columns given by the user. `has_engine_start`: rows need no time of their own. Raises Refused `field_required`,
    naming everything that is missing.
    """
    kinds = "type IN ('table', 'view') AND name NOT LIKE 'sqlite!_%' ESCAPE '!'"
    there = [str(name) for (name,) in connection.execute(f"SELECT name FROM sqlite_master WHERE {kinds}")]  # noqa: S608
    layout, missing = Layout(), []
    for table in TABLES:
        name = next((name for name in there if name.lower() == table), None)
        if name is None:
            layout.notes.append(f"there is no table {table}: nothing is taken from it")
            missing += [f"the table {table}" for mapped_table, _ in mapped if mapped_table == table]
            continue
        columns = {str(row[1]).lower(): str(row[1]) for row in connection.execute(f"PRAGMA table_info({quoted(name)})")}
        layout.tables[table] = {}
        for wanted in _FIELDS[table]:
            found = _find(wanted, columns, numeraire, mapped.get((table, wanted.name)))
            if found is not None:
                layout.tables[table][wanted.name] = found
                continue
            lacks = wanted.is_required or (wanted.name == TIME and not has_engine_start)
            if lacks or (table, wanted.name) in mapped:
                missing.append(_missing(table, wanted, numeraire, mapped.get((table, wanted.name))))
            elif wanted.is_missed:
                layout.notes.append(f"{table} has no column {wanted.name}: nothing is taken from it")
    # A netbasis ledger also has a table engine_state.
    if missing or not layout.tables.keys() - {STATE}:
        raise _lacking(missing or [f"the tables {CAPITAL}, {LEDGER} and {FILLS}"], there)
    return layout


def _find(wanted: Field, columns: Mapping[str, str], numeraire: str, mapped: str | None) -> str | None:
    names = (mapped,) if mapped is not None else _usual_names(wanted, numeraire)
    return next((columns[name.lower()] for name in names if name.lower() in columns), None)


def _usual_names(wanted: Field, numeraire: str) -> tuple[str, ...]:
    """The usual names of a field's column; a name that contains the numeraire contains the book's own."""
    symbol = numeraire.partition(".")[0].lower()
    return tuple(name.replace("_rlusd", f"_{symbol}") for name in wanted.names)


def _missing(table: str, wanted: Field, numeraire: str, mapped: str | None) -> str:
    names = _usual_names(wanted, numeraire) if mapped is None else (mapped,)
    return f"{table}.{wanted.name} (a column named {' or '.join(shown(name) for name in names)})"


def _lacking(missing: list[str], there: list[str]) -> Refused:
    return Refused(
        Refusal.FIELD_REQUIRED,
        f"the old database lacks {'; '.join(missing)}",
        actual=f"tables {', '.join(there)}" if there else "no table",
        advice="name other columns with --map TABLE.FIELD=COLUMN; where times are absent, give --engine-start TIME",
    )


def quoted(name: str) -> str:
    """A table or column name, quoted for SQL."""
    return '"' + name.replace('"', '""') + '"'
