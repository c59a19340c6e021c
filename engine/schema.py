"""The schema's revisions: which one a database is at, and upgrading it. Alembic is imported only to migrate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

import migrations
from engine.refolding import refold_all
from engine.schema_proof import require_no_strangers
from ledger.errors import StorageError, StorageFault

if TYPE_CHECKING:
    from alembic.config import Config

NEWEST = migrations.REVISIONS[-1]
_MIGRATION_LOCK = int.from_bytes(b"netbasis", "big") >> 1


@dataclass(frozen=True, slots=True)
class Revision:
    """One step of the schema's history.

    id:       such as `0001`
    what:     what it changes
    applied:  whether the database has it
    """

    id: str
    what: str
    applied: bool


def current(connection: Connection) -> str | None:
    """The revision that the database is at; None for a database without tables.

    Raises StorageError `not_a_ledger` when it holds other tables.
    """
    tables = inspect(connection).get_table_names()
    if "alembic_version" in tables and "events" in tables:
        # There is one row, unless somebody has added another; `check` reports that.
        return max(connection.scalars(text("SELECT version_num FROM alembic_version")), default=None)
    if tables:
        raise StorageError(
            StorageFault.NOT_A_LEDGER,
            "the database is not a netbasis ledger: it holds other tables",
            expected="an empty or new file or database, or a ledger",
            actual=", ".join(sorted(tables)),
            advice="give the ledger a file, a database or a schema of its own",
        )
    return None


def require_newest(connection: Connection) -> None:
    """Raises StorageError `schema_older`, `schema_newer` or `not_a_ledger` unless the schema is the newest."""
    found = current(connection)
    if found == NEWEST:
        return
    if found is None:
        _require_schema(connection)
        raise StorageError(
            StorageFault.NOT_A_LEDGER,
            "the database is empty",
            expected="a ledger",
            advice="make one there with `netbasis init`, or for a copy with `netbasis db upgrade`",
        )
    require_known(found)
    raise StorageError(
        StorageFault.SCHEMA_OLDER,
        "the ledger has an older schema than this netbasis",
        expected=NEWEST,
        actual=found,
        advice="back the file up, then run `netbasis db upgrade`",
    )


def _require_schema(connection: Connection) -> None:
    """Raises StorageError `access_denied` when the server offers this role no schema: a database then looks empty."""
    if connection.dialect.name == "postgresql" and connection.scalar(text("SELECT current_schema()")) is None:
        path = connection.scalar(text("SHOW search_path"))
        raise StorageError(
            StorageFault.ACCESS_DENIED,
            "there is no schema that this role may use",
            expected=f"one of the search_path {path}",
            advice="check its name in the URL, or grant USAGE on it; see docs/postgresql.md",
        )


def require_known(found: str) -> None:
    """Raises StorageError `schema_newer` for a revision that this netbasis does not know."""
    if found not in migrations.REVISIONS:
        raise StorageError(
            StorageFault.SCHEMA_NEWER,
            "the ledger has a newer schema than this netbasis",
            expected=f"at most {NEWEST}",
            actual=found,
            advice="install the netbasis that wrote it, or a newer one",
        )


def upgrade(connection: Connection) -> tuple[str | None, str]:
    """Upgrade the database to the newest schema in the caller's transaction; returns the revisions before and after.

    The revision before is None for an empty database. Raises StorageError `schema_newer`, `schema_altered`,
    `not_a_ledger`.
    """
    from alembic import command

    if connection.dialect.name == "postgresql":
        # Concurrent upgrades run one after the other. (SQLite has one writer at a time anyway.)
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
    before = current(connection)
    if before is not None:
        require_known(before)
        require_no_strangers(connection)
    if before != NEWEST:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        refold_all(connection)  # a new schema may change what a projection counts
    return before, NEWEST


def history(connection: Connection) -> Iterator[Revision]:
    """All revisions, oldest first."""
    from alembic.script import ScriptDirectory

    found = current(connection)
    applied = found is not None
    for script in reversed(list(ScriptDirectory.from_config(_config()).walk_revisions())):
        yield Revision(script.revision, script.doc.rstrip("."), applied)
        applied = applied and script.revision != found


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
    return config
