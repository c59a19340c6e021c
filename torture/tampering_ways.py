"""The ways to tamper with a ledger: crude ones, consistent ones, and bytes of the file."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from random import Random

from sqlalchemy import Connection, text

from engine.projection_store import replace_rows
from engine.proof.check import check_ledger
from engine.proof.heads import ExpectedHead
from engine.proof.request import CheckRequest
from engine.refolding import folded
from ledger import store
from ledger.book import GENESIS_HASH
from ledger.database.connections import Database
from ledger.errors import NetbasisError
from ledger.stored import chain_hash
from projections import tables as projections
from projections.rows import rows_of
from projections.state import EMPTY
from tests.support import BOOK
from torture.tampering_table import COLUMNS, VALUES, Change, Coverage, Table

# ---- crude


def event_columns(table: Table) -> None:
    """Each column of the first event of each type."""
    kinds: dict[str, tuple[str, int]] = {}
    for (book, version), row in sorted(table.before.items()):
        kinds.setdefault(str(row[COLUMNS.index("type")]), (book, version))
    for kind, (book, version) in kinds.items():
        for column in COLUMNS:
            for value in VALUES:
                change = _set("events", column, value, f"book = '{book}' AND version = {version}")
                table.tried("event columns", f"{column} of {kind} = {value!r}", change)


def projection_columns(table: Table) -> None:
    """Each column of each stored projection; each of its rows removed, and one added."""
    for made in projections.TABLES:
        for column in made.columns:
            for value in (None, "7.5", 7, "2026-01-05T09:00:00.000000Z"):
                change = _set(made.name, column.name, value, "book = 'main'")
                name = "another book|orphan|no book|belongs" if column.name == "book" else made.name
                table.tried("projection columns", f"{made.name}.{column.name} = {value!r}", change, _or_book(name))
        rows = table.connection.execute(text(f"SELECT * FROM {made.name} WHERE book = 'main'")).all()
        for row in rows:
            key = [column.name for column in made.primary_key]
            where = " AND ".join(f"{name} = '{getattr(row, name)}'" for name in key)
            table.tried(
                "projection rows removed",
                f"{made.name} {where}",
                _run(f"DELETE FROM {made.name} WHERE {where}"),
                made.name,
            )


def _or_book(name: str) -> str:
    return f"{name}|projection"


def book_columns(table: Table) -> None:
    """Each column of a book's row; the row removed; the announced forms and the revision changed."""
    names = [row[0] for row in table.connection.execute(text("SELECT * FROM books")).cursor.description]
    for column in names:
        for value in (None, "7.5", 7, b"\x00" * 32, "2026-01-05T09:00:00.000000Z", "paper"):
            table.tried(
                "book columns", f"{column} = {value!r}", _set("books", column, value, "book = 'main'"), "book|head"
            )
    table.tried("book removed", "main", _run("DELETE FROM books WHERE book = 'main'"), "book")
    table.tried("revision", "another", _run("UPDATE alembic_version SET version_num = '0001'"), "schema")
    table.tried("revision", "none", _run("DELETE FROM alembic_version"), "revision|ledger|schema")
    forms = table.connection.execute(text("SELECT type, version FROM event_types")).all()
    for kind, version in forms:
        where = f"type = '{kind}' AND version = {version}"
        table.tried("announced form removed", f"{kind}/{version}", _run(f"DELETE FROM event_types WHERE {where}"), kind)


def log_rows(table: Table) -> None:
    """Each row removed; neighbours exchanged; one inserted behind the end; the tail cut at each place."""
    versions = sorted(version for book, version in table.before if book == BOOK)
    last = versions[-1]
    of = f"FROM events WHERE book = '{BOOK}' AND version"
    for version in versions:
        table.tried("event removed", str(version), _run(f"DELETE {of} = {version}"))
        table.tried("tail cut, head as it was", str(version), _run(f"DELETE {of} >= {version}"))
        if version < last:
            table.tried("events exchanged", str(version), _exchange(version, version + 1))
    for source in versions:
        names = ", ".join(name for name in COLUMNS if name not in ("version", "key", "event_id", "reverses"))
        insert = (
            f"INSERT INTO events (version, key, event_id, {names})"
            f" SELECT {last + 1}, 'forged', 'forged', {names} {of} = {source}"
        )
        table.tried("event inserted", f"a copy of {source}", _run(insert))


def schema_objects(table: Table) -> None:
    """Each object dropped; one of each kind added; triggers made harmless."""
    if table.is_file:
        objects = table.connection.execute(
            text("SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        ).all()
        for kind, name, _, statement in objects:
            if kind in ("index", "trigger"):
                table.tried(f"{kind} dropped", name, _run(f"DROP {kind} {name}"), name, of_schema=True)
            if kind == "trigger":
                weak = re.sub(r"SELECT RAISE\(.*?\);", "SELECT 1;", statement, flags=re.DOTALL)
                table.tried("trigger changed", name, _run(f"DROP TRIGGER {name}", weak), name, of_schema=True)
        added = {
            "trigger": "CREATE TRIGGER strange BEFORE INSERT ON events BEGIN SELECT RAISE(IGNORE); END",
            "index": "CREATE INDEX strange ON events (price)",
            "view": "CREATE VIEW strange AS SELECT * FROM events",
            "table": "CREATE TABLE strange (a REFERENCES books (book))",
            "column": "ALTER TABLE books ADD COLUMN strange TEXT",
        }
    else:
        found = "SELECT tgname, CAST(CAST(tgrelid AS regclass) AS text) FROM pg_trigger WHERE NOT tgisinternal"
        for name, of in table.connection.execute(text(found)).all():
            table.tried("trigger dropped", name, _run(f"DROP TRIGGER {name} ON {of}"), name, of_schema=True)
            table.tried("trigger changed", name, _run(f"ALTER TABLE {of} DISABLE TRIGGER {name}"), name, of_schema=True)
        found = "SELECT indexname FROM pg_indexes WHERE schemaname = 'public' AND indexname LIKE 'idx%'"
        for name in table.connection.scalars(text(found)).all():
            table.tried("index dropped", name, _run(f"DROP INDEX {name}"), name, of_schema=True)
        added = {
            "trigger": "CREATE TRIGGER strange BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION events_refuse()",
            "index": "CREATE INDEX strange ON events (price)",
            "rule": "CREATE RULE strange AS ON INSERT TO events DO INSTEAD NOTHING",
            "column": "ALTER TABLE books ADD COLUMN strange text",
            "policy": "CREATE POLICY strange ON events USING (false)",
        }
    for kind, statement in added.items():
        table.tried(f"{kind} added", kind, _run(statement), "strange", of_schema=True)


def _set(table: str, column: str, value: object, where: str) -> Change:
    def change(connection: Connection) -> None:
        connection.execute(text(f'UPDATE {table} SET "{column}" = :value WHERE {where}'), {"value": value})

    return change


def _run(*statements: str) -> Change:
    def change(connection: Connection) -> None:
        for statement in statements:
            connection.exec_driver_sql(statement)

    return change


def _exchange(one: int, other: int) -> Change:
    """The contents of two events change places; each keeps its version."""

    def change(connection: Connection) -> None:
        query = text(f"SELECT body, hash FROM events WHERE book = '{BOOK}' AND version = :version")
        rows = [connection.execute(query, {"version": version}).one() for version in (one, other)]
        for version, row in zip((other, one), rows, strict=True):
            connection.execute(
                text(f"UPDATE events SET body = :body, hash = :hash WHERE book = '{BOOK}' AND version = :version"),
                {"body": row.body, "hash": row.hash, "version": version},
            )

    return change


# ---- consistent


def consistent(table: Table) -> None:
    """Forgeries in which everything fits: plain `check` is silent, and each head that was kept later tells."""
    kept = [
        ExpectedHead(bytes(row[COLUMNS.index("hash")]), version, book=book)
        for (book, version), row in table.before.items()
    ]
    versions = sorted(version for book, version in table.before if book == BOOK)
    places = (versions[-1] - 2, versions[len(versions) // 2])
    for version in places if table.share == 1 else places[:1]:
        for what, forge in (
            ("tail cut", _cut(version)),
            ("note changed", _annotated(version)),
            ("id changed", _renamed(version)),
        ):
            nested = table.connection.begin_nested()
            with table.unguarded():
                forge(table.connection)
                _refold(table.connection)
            plain = table.checked()
            if plain.says_something and what != "tail cut":
                table.coverage.elsewhere.append(f"consistent: {what} at {version} is no forgery: {plain.told()}")
            later = [head for head in kept if head.book == BOOK and (head.version or 0) > version]
            for head in {later[0].version: later[0], later[-1].version: later[-1]}.values():
                found = table.checked([head])
                table.count(f"{what}, all fits; a kept head", f"{head.version} after {version}", found, head.version)
            nested.rollback()


def _cut(version: int) -> Change:
    def change(connection: Connection) -> None:
        connection.execute(text(f"DELETE FROM events WHERE book = '{BOOK}' AND version > {version}"))
        _rehead(connection)

    return change


def _annotated(version: int) -> Change:
    """A note is added to an event's body, and every hash after it computed anew."""

    def change(connection: Connection) -> None:
        _rehash(connection, version, lambda body: re.sub(rb'"source_note":"[^"]*"', b'"source_note":"forged"', body)
                if b'"source_note"' in body else body.replace(b',"type":', b',"source_note":"forged","type":'))  # fmt: skip

    return change


def _renamed(version: int) -> Change:
    """An event gets another id, and every hash after it is computed anew."""

    def change(connection: Connection) -> None:
        made = "00000000-0000-4000-8000-00000000f0f0"
        new = f'"event_id":"{made}"'.encode()
        _rehash(connection, version, lambda body: re.sub(rb'"event_id":"[^"]*"', new, body))
        connection.execute(text(f"UPDATE events SET event_id = '{made}' WHERE book = '{BOOK}' AND version = {version}"))

    return change


def _rehash(connection: Connection, version: int, change: Callable[[bytes], bytes]) -> None:
    query = text(f"SELECT version, body FROM events WHERE book = '{BOOK}' ORDER BY version")
    previous = GENESIS_HASH
    for at, body in connection.execute(query).all():
        changed = change(bytes(body)) if at == version else bytes(body)
        previous = chain_hash(previous, changed)
        given = {"body": changed, "hash": previous, "version": at}
        connection.execute(
            text(f"UPDATE events SET body = :body, hash = :hash WHERE book = '{BOOK}' AND version = :version"), given
        )
    _rehead(connection)


def _rehead(connection: Connection) -> None:
    last = f"SELECT {{}} FROM events WHERE book = '{BOOK}' ORDER BY version DESC LIMIT 1"
    parts = {"head_version": "version", "head_hash": "hash", "head_recorded_at": "recorded_at"}
    sets = ", ".join(f"{name} = ({last.format(of)})" for name, of in parts.items())
    connection.execute(text(f"UPDATE books SET {sets} WHERE book = '{BOOK}'"))


def _refold(connection: Connection) -> None:
    book, _ = store.require_book(connection, BOOK)
    replace_rows(connection, BOOK, rows_of(folded(connection, BOOK, EMPTY, None), book))


# ---- bytes of the file


def flipped_bytes(path: Path, coverage: Coverage, dice: Random, count: int) -> None:
    """Bytes of a closed file changed, one at a time: `check` tells, or what can be read is what it was."""
    whole = path.read_bytes()
    before = _readable(path)
    aside = path.with_name("flipped.db")
    for _ in range(count):
        place, bit = dice.randrange(len(whole)), 1 << dice.randrange(8)
        changed = bytearray(whole)
        changed[place] ^= bit
        aside.write_bytes(changed)
        told = _told_of(aside)
        if told:
            coverage.named["byte of the file flipped"] += 1
        elif _readable(aside) == before:
            coverage.harmless["byte of the file flipped"] += 1
        else:
            coverage.unseen.append(f"byte {place} ^ {bit}")
        for name in ("", "-wal", "-shm"):
            Path(f"{aside}{name}").unlink(missing_ok=True)


def _told_of(path: Path) -> bool:
    try:
        with Database.open(str(path), "read") as database:
            return not check_ledger(database, None, CheckRequest()).ok
    except NetbasisError:
        return True


def _readable(path: Path) -> list[str] | None:
    try:
        with contextlib.closing(sqlite3.connect(path)) as file:
            return list(file.iterdump())
    except (sqlite3.Error, UnicodeError):
        return None
