"""Alembic's environment: one connection, from the caller or opened from `-x db=PATH`, and transactional DDL.

Alembic assumes that SQLite has no transactional DDL, so a migration that is killed halfway blocks every later one. But with
the driver's own transaction handling off (see `ledger.database.sqlite`), a whole upgrade is one transaction.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from ledger.database.connections import Database


def _migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        transactional_ddl=True,
        transaction_per_migration=False,
    )
    context.run_migrations()


def _main() -> None:
    connection = context.config.attributes.get("connection")
    if connection is not None:
        _migrate(connection)
        return
    location = context.get_x_argument(as_dictionary=True).get("db")
    if not location:
        raise SystemExit("say which database: alembic -x db=PATH …")
    with Database.open(location, "write") as database, database.writing() as connection:
        _migrate(connection)


_main()
