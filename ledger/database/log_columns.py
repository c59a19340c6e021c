"""The log as columns: what a statement needs to run on several engines, and the functions that each spells its way.

A statement over the log is built once, with SQLAlchemy Core, and reads one of

    OF_SERVER    the table `events` on PostgreSQL: an amount is one NUMERIC(56,36)
    SEGMENTS     Parquet segments: an amount is its text, a decimal(38,18) and the digits beyond 18 as decimal(38,36)

SQLAlchemy compiles it for PostgreSQL; for DuckDB and Spark it is compiled in PostgreSQL's words, and
`engine.columns.dialects` translates it. The functions of this module are those whose spelling no translator knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    FromClause,
    LargeBinary,
    MetaData,
    Numeric,
    Table,
    Text,
    and_,
    case,
    cast,
    column,
    func,
    literal,
    select,
    table,
)
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from ledger.database.columns import ExactDecimal
from ledger.database.tables import events

AMOUNTS = tuple(each.name for each in events.columns if isinstance(each.type, ExactDecimal))
DECIMAL = Numeric(38, 18)
REST = Numeric(38, 36)


class body_text(FunctionElement[str]):  # noqa: N801 - a function of SQL
    """The bytes of a body as text; NULL where they are not UTF-8. (PostgreSQL raises there.)"""

    name = "nb_text"
    type = Text()
    inherit_cache = True


class json_fields(FunctionElement[Any]):  # noqa: N801
    """The texts of some fields of a JSON object as an array, NULL for one that is absent; NULL where it is no JSON."""

    name = "nb_fields"
    type = ARRAY(Text())
    inherit_cache = True


class sha256_hex(FunctionElement[str]):  # noqa: N801
    """SHA-256 of the bytes of two columns, one after the other, in lower-case hex."""

    name = "nb_sha256"
    type = Text()
    inherit_cache = True


class hex_text(FunctionElement[str]):  # noqa: N801
    """Bytes in lower-case hex."""

    name = "nb_hex"
    type = Text()
    inherit_cache = True


class utc_text(FunctionElement[str]):  # noqa: N801
    """The canonical text of a time: `2026-01-05T09:00:00.000000Z`."""

    name = "nb_time"
    type = Text()
    inherit_cache = True


@compiles(body_text)
@compiles(json_fields)
@compiles(sha256_hex)
@compiles(hex_text)
@compiles(utc_text)
def _neutral(element: Any, compiler: Any, **kw: Any) -> str:
    return f"{element.name}({compiler.process(element.clauses, **kw)})"


@compiles(body_text, "postgresql")
def _body_text(element: Any, compiler: Any, **kw: Any) -> str:
    return f"convert_from({compiler.process(element.clauses, **kw)}, 'UTF8')"


@compiles(json_fields, "postgresql")
def _json_fields(element: Any, compiler: Any, **kw: Any) -> str:
    text, *names = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"ARRAY[{', '.join(f'(({text})::jsonb ->> {name})' for name in names)}]"


@compiles(sha256_hex, "postgresql")
def _sha256_hex(element: Any, compiler: Any, **kw: Any) -> str:
    before, after = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"encode(sha256({before} || {after}), 'hex')"


@compiles(hex_text, "postgresql")
def _hex_text(element: Any, compiler: Any, **kw: Any) -> str:
    return f"encode({compiler.process(element.clauses, **kw)}, 'hex')"


@compiles(utc_text, "postgresql")
def _utc_text(element: Any, compiler: Any, **kw: Any) -> str:
    given = compiler.process(element.clauses, **kw)
    return f"""to_char({given} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


@dataclass(frozen=True)
class LogColumns:
    """A table or subquery with the columns of `events`, and `segment` and `previous_hash` beside them.

    table:     it
    is_split:  each amount X is a canonical text, beside X_decimal and X_rest; otherwise one decimal
    """

    table: FromClause
    is_split: bool

    def __getitem__(self, name: str) -> ColumnElement[Any]:
        """A column."""
        return self.table.c[name]

    def parts(self, amount: str) -> list[ColumnElement[Any]]:
        """The columns whose sum an amount is."""
        if not self.is_split:
            return [self.table.c[amount]]
        return [self.table.c[f"{amount}_decimal"], self.table.c[f"{amount}_rest"]]

    def text(self, amount: str) -> ColumnElement[str]:
        """The canonical text of an amount, NULL for none."""
        column = self.table.c[amount]
        return column if self.is_split else cast(func.trim_scale(column), Text)

    def is_sound(self, amount: str) -> ColumnElement[bool]:
        """Whether the parts of an amount that is there are those of its text, and the text is canonical."""
        if not self.is_split:
            return literal(True)
        text, (main, rest) = self.table.c[amount], self.parts(amount)
        whole = cast(main, Text)
        sign = case((and_(main == 0, rest < 0), literal("-")), else_=literal(""))
        # 0.000000000000000000|900000000000000000
        beyond = func.rtrim(func.substr(cast(func.abs(rest), Text), 21), "0")
        trimmed = func.rtrim(func.rtrim(whole, "0"), ".")
        return case((rest == 0, text == trimmed), else_=text == sign + whole + beyond)

    def is_absent(self, amount: str) -> ColumnElement[bool]:
        """Whether there is no amount, and none of its parts."""
        columns = [self.table.c[amount], *(self.parts(amount) if self.is_split else [])]
        return and_(*(each.is_(None) for each in columns))

    def is_zero(self, amount: str) -> ColumnElement[bool]:
        """Whether an amount and its parts are 0."""
        return and_(self.text(amount) == "0", *(part == 0 for part in self.parts(amount)))


def _segments() -> Table:
    """What a segment's file holds; the types are those that an engine gives its columns."""
    columns: list[Column[Any]] = []
    for each in events.columns:
        kind = Text() if each.name in AMOUNTS else each.type
        columns.append(Column(each.name, kind))
        if each.name in AMOUNTS:
            columns += [Column(f"{each.name}_decimal", DECIMAL), Column(f"{each.name}_rest", REST)]
    columns += [Column("segment", BigInteger), Column("previous_hash", LargeBinary)]
    return Table("log", MetaData(), *columns)


SEGMENTS = LogColumns(_segments(), is_split=True)
# The same log once more in one statement, to look reversals up in.
LATER = LogColumns(SEGMENTS.table.alias("later"), is_split=True)


def of_server(book: str) -> LogColumns:
    """The log of a book on PostgreSQL; a hash's predecessor is looked up in the order of the versions."""
    in_order = {"partition_by": events.c.book, "order_by": events.c.version}
    previous = func.lag(events.c.hash).over(**in_order)  # type: ignore[arg-type]
    genesis = func.decode(literal("00" * 32), literal("hex"), type_=LargeBinary())
    query = select(
        *events.columns,
        literal(1, BigInteger).label("segment"),
        func.coalesce(previous, genesis).label("previous_hash"),
    ).where(events.c.book == book)
    return LogColumns(query.subquery("log"), is_split=False)


@dataclass(frozen=True, slots=True)
class Run:
    """Rows of a segment that stand one after the other. `segment`: its first version; `run`: a number that names the run."""

    book: str
    segment: int
    run: int
    first: int
    last: int


# A table that the engine is given: see `Duck.let_runs`, `Spark.let_runs`.
RUN_COLUMNS = ("book", "segment", "run", "first", "last")


def in_runs(log: LogColumns) -> LogColumns:
    """The rows of a log that are in one of the runs of the table `runs`, with the column `run` beside theirs."""
    of_runs = table("runs", column("book", Text), *(column(name, BigInteger) for name in RUN_COLUMNS[1:]))
    is_in = and_(
        of_runs.c.book == log["book"],
        of_runs.c.segment == log["segment"],
        log["version"].between(of_runs.c.first, of_runs.c.last),
    )
    query = select(*log.table.c, of_runs.c.run).select_from(log.table.join(of_runs, is_in))
    return LogColumns(query.subquery("of_runs"), log.is_split)


def joined(pieces: Sequence[ColumnElement[str]]) -> ColumnElement[str]:
    """Texts one after the other; NULL when one of them is."""
    first, *rest = pieces
    whole: ColumnElement[str] = first
    for piece in rest:
        whole = whole.op("||")(piece)
    return whole


def instant(time: datetime) -> ColumnElement[datetime]:
    """A time, as every engine reads it."""
    return cast(literal(time.astimezone(UTC).isoformat(timespec="microseconds")), TIMESTAMP(timezone=True))
