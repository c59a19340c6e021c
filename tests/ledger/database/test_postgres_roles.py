"""The grants of docs/postgresql.md let a bot append and an auditor read, and nothing else. Every statement is tried."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import psycopg
import pytest

from engine.bookkeeper import Bookkeeper
from engine.proof.check import check
from engine.upkeep.rebuild import rebuild
from ledger.errors import StorageError
from ledger.events import Opened
from tests.ledger.database.store_support import append_sample
from tests.postgres_support import connect, fresh_database, url_of
from tests.support import BOOK, ROOT, event

PAGE = ROOT / "docs" / "postgresql.md"
ROLES = ("ledger_bot", "ledger_auditor")
PASSWORD = "of a test"
FORBIDDEN = [
    "UPDATE events SET key = 'x' WHERE version = 2",
    "DELETE FROM events WHERE version = 2",
    "TRUNCATE events CASCADE",
    "DROP TRIGGER events_refuse_update ON events",
    "ALTER TABLE events DISABLE TRIGGER ALL",
    "CREATE OR REPLACE FUNCTION events_refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "DROP TABLE events CASCADE",
    "INSERT INTO books SELECT 'other', mode, numeraire, base_asset, withdrawal_policy, 0, head_hash, head_recorded_at "
    "FROM books",
    "UPDATE books SET numeraire = 'USD'",
    "DELETE FROM books",
    "CREATE TABLE public.mine (id integer)",
    "CREATE SCHEMA mine",
    "SELECT * FROM secrets.plans",
    "UPDATE alembic_version SET version_num = '9999'",
]
FORBIDDEN_TO_THE_AUDITOR = [
    "INSERT INTO events SELECT * FROM events",
    "UPDATE books SET head_version = 1",
    "UPDATE inventory SET total = 0",
    "DELETE FROM inventory",
    "SELECT * FROM books FOR UPDATE",
]


@pytest.fixture
def database() -> Iterator[str]:
    """A ledger whose roles were granted what the page says; the roles go with the test."""
    name = fresh_database()
    with Bookkeeper.open(url_of(name)) as keeper:
        keeper.open_book(BOOK, Opened(mode="live"))
        append_sample(keeper)
    match = re.search(r"```sql\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert match is not None
    with connect(name) as connection:
        connection.execute("CREATE SCHEMA secrets")
        connection.execute("CREATE TABLE secrets.plans (id integer)")
        connection.execute(own(match[1]))
        for role in ROLES:
            connection.execute(f"ALTER ROLE {own(role)} PASSWORD '{PASSWORD}'")
    yield name
    with connect(name) as connection:
        for role in ROLES:
            connection.execute(f"DROP OWNED BY {own(role)}")
            connection.execute(f"DROP ROLE {own(role)}")


def own(statements: str) -> str:
    """Roles are of the whole server, which other test processes may share: each has its own."""
    return re.sub(r"ledger_(bot|auditor)", rf"ledger_\1_{os.getpid()}", statements)


def url_as(role: str, database: str) -> str:
    """The URL of a database for one of the roles."""
    return url_of(database, username=own(role), password=PASSWORD)


def test_a_bot_appends_and_reads(database: str) -> None:
    with Bookkeeper.open(url_as("ledger_bot", database)) as bot:
        before = bot.view(BOOK).head.version
        assert bot.append(BOOK, event("mark", asset="XRP", price="1.33", key="bot:1")).stored.version == before + 1
        assert bot.append(BOOK, event("mark", asset="XRP", price="1.33", key="bot:1")).existed
        deposit = event("deposit", asset="USDC", amount="5", price="1", key="bot:2")
        assert not bot.append(BOOK, deposit).existed  # a new row of a projection, too
        assert check(bot.database, BOOK).ok


def test_an_auditor_reads_and_checks_and_cannot_append(database: str) -> None:
    with Bookkeeper.open(url_as("ledger_auditor", database), "read") as auditor:
        assert check(auditor.database, BOOK).ok
        assert rebuild(auditor.database, BOOK, dry_run=True).changes == []
    with Bookkeeper.open(url_as("ledger_auditor", database)) as auditor, pytest.raises(StorageError) as raised:
        auditor.append(BOOK, event("mark", asset="XRP", price="1.33", key="auditor:1"))
    assert raised.value.code == "access_denied"


@pytest.mark.parametrize("role", ROLES)
def test_what_is_forbidden_is_refused_by_the_server(database: str, role: str) -> None:
    statements = FORBIDDEN + (FORBIDDEN_TO_THE_AUDITOR if role == "ledger_auditor" else [])
    with connect(database, user=own(role), password=PASSWORD) as connection:
        for statement in statements:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
    with Bookkeeper.open(url_of(database), "read") as keeper:
        assert check(keeper.database, BOOK).ok
