"""Compiled statements, kept for all engines of the process: to compile one takes longer than to run it.

SQLAlchemy keeps them for one engine. A bot that opens a ledger anew, a command that opens a second one and a test suite that
opens thousands would compile the same statements each time.
"""

from __future__ import annotations

from typing import Any

MOST = 1000


class CompiledStatements(dict[Any, Any]):
    """A cache for SQLAlchemy's execution option `compiled_cache`, whose keys begin with the engine's dialect.

    Two dialects of one kind, driver and server version compile alike, so such a key stands for the dialect.
    """

    def get(self, key: Any, default: Any = None) -> Any:
        """The compiled statement of a key."""
        return super().get(_of_its_kind(key), default)

    def __setitem__(self, key: Any, compiled: Any) -> None:
        if len(self) >= MOST:
            self.clear()
        super().__setitem__(_of_its_kind(key), compiled)


def _of_its_kind(key: Any) -> Any:
    dialect, *rest = key
    version = getattr(dialect, "server_version_info", None)
    return (dialect.name, dialect.driver, version, *rest)


COMPILED = CompiledStatements()
