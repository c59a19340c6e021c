"""The schema of a ledger on a server, read from PostgreSQL's catalogue, which every role may read.

The tables are found by their bare names along the search path, as the program finds them, so that a view or a table that
stands in front of one is seen instead of it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, text

from ledger.integrity.schema_words import Facts

SESSION = "the session"

_RELATIONS = text("""
SELECT wanted.name AS name, CAST(c.oid AS bigint) AS oid, CAST(c.relkind AS text) AS kind, n.nspname AS schema,
    concat_ws(', ',
        CASE CAST(c.relpersistence AS text) WHEN 'u' THEN 'unlogged' WHEN 't' THEN 'temporary' END,
        CASE WHEN c.relrowsecurity THEN 'row security' END,
        CASE WHEN c.relforcerowsecurity THEN 'row security for its owner' END,
        CASE WHEN EXISTS (SELECT FROM pg_inherits WHERE inhrelid = c.oid) THEN 'inherits from another table' END,
        CASE WHEN EXISTS (SELECT FROM pg_inherits WHERE inhparent = c.oid) THEN 'another table inherits from it' END,
        CASE WHEN EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid AND tgisinternal AND tgenabled <> 'O')
            THEN 'triggers of foreign keys disabled' END) AS state
FROM unnest(CAST(:names AS text[])) AS wanted (name)
JOIN pg_class c ON c.oid = to_regclass(quote_ident(wanted.name))
JOIN pg_namespace n ON n.oid = c.relnamespace
""")

# Each gives table (an oid), part and definition.
_PARTS = (
    """
SELECT CAST(a.attrelid AS bigint), 'column ' || a.attname, concat_ws(' ', format_type(a.atttypid, a.atttypmod),
    CASE WHEN a.attcollation <> t.typcollation THEN 'COLLATE ' || quote_ident(co.collname) END,
    CASE WHEN a.attnotnull THEN 'NOT NULL' END,
    CASE WHEN a.attidentity <> '' THEN 'AS IDENTITY' END,
    CASE WHEN a.attgenerated <> '' THEN 'GENERATED' END,
    'DEFAULT ' || pg_get_expr(d.adbin, d.adrelid))
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_collation co ON co.oid = a.attcollation
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = ANY (CAST(:oids AS oid[])) AND a.attnum > 0 AND NOT a.attisdropped
""",
    # Of those that a column is not null, a part of the catalogue since PostgreSQL 18, the column itself tells.
    """
SELECT CAST(conrelid AS bigint), 'constraint ' || conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE conrelid = ANY (CAST(:oids AS oid[])) AND contype <> 't' AND NOT (contype = 'n' AND convalidated)
""",
    """
SELECT CAST(confrelid AS bigint), 'foreign key ' || conname || ' of ' || CAST(CAST(conrelid AS regclass) AS text),
    pg_get_constraintdef(oid)
FROM pg_constraint
WHERE confrelid = ANY (CAST(:oids AS oid[])) AND conrelid <> ALL (CAST(:oids AS oid[])) AND contype = 'f'
""",
    """
SELECT CAST(i.indrelid AS bigint), 'index ' || c.relname, concat_ws(' ',
    replace(pg_get_indexdef(i.indexrelid), ' ON ' || quote_ident(n.nspname) || '.', ' ON '),
    CASE WHEN NOT (i.indisvalid AND i.indisready AND i.indislive) THEN 'NOT VALID' END)
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE i.indrelid = ANY (CAST(:oids AS oid[]))
""",
)
_ACTIVE_PARTS = (
    """
SELECT CAST(t.tgrelid AS bigint), 'trigger ' || t.tgname, concat_ws(' ',
    replace(pg_get_triggerdef(t.oid), ' ON ' || quote_ident(n.nspname) || '.', ' ON '),
    CASE CAST(t.tgenabled AS text) WHEN 'D' THEN 'DISABLED' WHEN 'R' THEN 'ON REPLICAS' WHEN 'A' THEN 'ALWAYS' END,
    'LANGUAGE ' || l.lanname, CASE WHEN p.prosecdef THEN 'SECURITY DEFINER' END, array_to_string(p.proconfig, ' '),
    'AS ' || p.prosrc)
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_language l ON l.oid = p.prolang
WHERE t.tgrelid = ANY (CAST(:oids AS oid[])) AND NOT t.tgisinternal
""",
    """
SELECT CAST(ev_class AS bigint), 'rule ' || rulename, pg_get_ruledef(oid) FROM pg_rewrite
WHERE ev_class = ANY (CAST(:oids AS oid[])) AND rulename <> '_RETURN'
""",
)
_POLICIES = """
SELECT CAST(polrelid AS bigint), 'policy ' || polname,
    concat_ws(' ', CAST(polcmd AS text), pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
FROM pg_policy WHERE polrelid = ANY (CAST(:oids AS oid[]))
"""
_ONE = r"\('[^']*'::character varying\)::text"
_CAST_ONE_BY_ONE = re.compile(rf"ARRAY\[({_ONE}(?:, {_ONE})*)\]")
_CAST_OF_ONE = re.compile(r"\(('[^']*'::character varying)\)::text")
_KINDS = {"r": "table", "v": "view", "m": "materialized view", "f": "foreign table", "p": "partitioned table"}


def read_postgresql(connection: Connection, tables: Collection[str]) -> Facts:
    """The tables that are there, and what hangs on each; under `SESSION` whether triggers fire at all."""
    relations = connection.execute(_RELATIONS, {"names": list(tables)}).all()
    home = _home(relations)
    facts: Facts = {}
    names: dict[int, str] = {}
    for relation in relations:
        elsewhere = "" if relation.schema == home else f"in the schema {relation.schema}, the others in {home}"
        kind = _KINDS.get(relation.kind, relation.kind)
        facts[relation.name] = {kind: ", ".join(filter(None, (relation.state, elsewhere)))}
        if kind == "table":
            names[relation.oid] = relation.name
    _add_parts(connection, facts, names, (*_PARTS, *_ACTIVE_PARTS, _POLICIES))
    replication = connection.scalar(text("SELECT current_setting('session_replication_role')"))
    facts[SESSION] = {"session_replication_role": str(replication)}
    return facts


def read_active_postgresql(connection: Connection, tables: Collection[str]) -> Facts:
    """Only the triggers and rules of the tables."""
    relations = connection.execute(_RELATIONS, {"names": list(tables)}).all()
    facts: Facts = {relation.name: {} for relation in relations}
    _add_parts(connection, facts, {relation.oid: relation.name for relation in relations}, _ACTIVE_PARTS)
    return facts


def _home(relations: Sequence[Row[Any]]) -> str:
    """The schema that most of the tables are in."""
    counted = Counter(relation.schema for relation in relations).most_common(1)
    return str(counted[0][0]) if counted else ""


def _add_parts(connection: Connection, facts: Facts, names: Mapping[int, str], queries: Sequence[str]) -> None:
    """Add what hangs on the tables; `names` are those of the tables by their oids."""
    for query in queries:
        for oid, part, definition in connection.execute(text(query), {"oids": list(names)}):
            facts[names[oid]][part] = _as_made(definition)


def _as_made(definition: str) -> str:
    """A definition as the migrations' own is shown, where a server that was restored from a dump shows the same otherwise.

    `x IN ('a', 'b')` is shown as `x = ANY ((ARRAY['a'::…, 'b'::…])::text[])`, and when that is read back as
    `x = ANY (ARRAY[('a'::…)::text, ('b'::…)::text])`.
    """
    return _CAST_ONE_BY_ONE.sub(_cast_together, definition)


def _cast_together(match: re.Match[str]) -> str:
    each = ", ".join(_CAST_OF_ONE.findall(match[1]))
    return f"(ARRAY[{each}])::text[]"
