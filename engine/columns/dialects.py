"""One statement in the words of several engines: compiled by SQLAlchemy in PostgreSQL's, translated by sqlglot.

What no translator knows are the functions of `ledger.database.log_columns`; each engine's spelling of them stands here. The
values of a statement stand in its text, as literals.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

from sqlalchemy import Select
from sqlalchemy.dialects.postgresql.base import PGDialect

from engine.columns.stores import extra_missing

Engine = Literal["duckdb", "spark"]


class _Neutral(PGDialect):
    """PostgreSQL's words, but for the functions that each engine spells its way."""

    name = "columns"
    supports_statement_cache = False


# {0}, {1}: the arguments; {fields}: the JSON fields, each spelled by _FIELD; {names}: their names as columns of a type.
_SPELLED: dict[Engine, dict[str, str]] = {
    "duckdb": {
        "nb_text": "TRY(DECODE({0}))",
        "nb_fields": "TRY(JSON_EXTRACT_STRING({0}, [{fields}]))",
        "nb_sha256": "SHA256({0} || {1})",
        "nb_hex": "LOWER(HEX({0}))",
        "nb_time": "STRFTIME({0} AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%fZ')",
    },
    "spark": {
        "nb_text": "DECODE({0}, 'UTF-8')",
        # Spark would put a bare ARRAY(…), and the parsing in it, in place of each use of one of its items.
        "nb_fields": "TRANSFORM(ARRAY(FROM_JSON({0}, '{names}')), found -> ARRAY({fields}))[0]",
        "nb_sha256": "SHA2(CONCAT({0}, {1}), 256)",
        "nb_hex": "LOWER(HEX({0}))",
        "nb_time": "DATE_FORMAT({0}, \"yyyy-MM-dd'T'HH:mm:ss.SSSSSS'Z'\")",
    },
}
_FIELD: dict[Engine, str] = {"duckdb": "'$.{name}'", "spark": "found.`{name}`"}


def compiled(query: Select[Any]) -> str:
    """A statement in PostgreSQL's words, its values in it, the functions of `log_columns` under their own names."""
    dialect = _Neutral()  # type: ignore[no-untyped-call]
    return str(query.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))


def text_for(engine: Engine, query: Select[Any]) -> str:
    """A statement in an engine's words. Raises StorageError `extra_missing`."""
    return _translated(engine, compiled(query))


# The same statement is asked of one segment after the other, and to translate it takes longer than to run it.
@lru_cache(maxsize=32)
def _translated(engine: Engine, text: str) -> str:
    try:
        import sqlglot
        from sqlglot import exp
    except ImportError as error:
        raise extra_missing("statements on segments") from error

    def spelled(node: Any) -> Any:
        if not isinstance(node, exp.Anonymous) or str(node.this).lower() not in _SPELLED[engine]:
            return node
        arguments = [argument.transform(spelled) for argument in node.expressions]
        return sqlglot.parse_one(_spelling(engine, str(node.this).lower(), arguments), read=engine)

    tree = sqlglot.parse_one(text, read="postgres")
    return str(tree.transform(spelled).sql(dialect=engine))


def _spelling(engine: Engine, name: str, arguments: list[Any]) -> str:
    texts = [argument.sql(dialect=engine) for argument in arguments]
    names = [argument.name for argument in arguments[1:]] if name == "nb_fields" else []
    fields = ", ".join(_FIELD[engine].format(name=each) for each in names)
    types = ", ".join(f"`{each}` STRING" for each in names)
    return _SPELLED[engine][name].format(*texts, fields=fields, names=types)
